"""Odd surroundings of a command: standard streams closed or full, variables odd or gone, few files."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping

Prepare = Callable[[], object]
"""What is done in the process of a command, before it is called."""


def _closed(*numbers: int) -> Prepare:
    def prepare() -> None:
        for number in numbers:
            os.close(number)
            setattr(sys, ("stdin", "stdout", "stderr")[number], None)

    return prepare


def _output_to(path: str, number: int = 1) -> Prepare:
    def prepare() -> None:
        os.dup2(os.open(path, os.O_WRONLY), number)

    return prepare


def _broken_pipe(number: int = 1) -> Prepare:
    def prepare() -> None:
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, number)
        name = ("stdin", "stdout", "stderr")[number]
        stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - one that knows it is a pipe
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)

    return prepare


def _variables(**values: str | None) -> Prepare:
    def prepare() -> None:
        tempfile.tempdir = None
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    return prepare


def _encoded(encoding: str) -> Prepare:
    def prepare() -> None:
        os.environ.update(PYTHONIOENCODING=encoding, LANG="C", LC_ALL="C")
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding=encoding, errors="strict")  # type: ignore[union-attr]  # text of files

    return prepare


def _limit(kind: int, most: int) -> Prepare:
    return lambda: resource.setrlimit(kind, (most, most))


SURROUNDINGS: Mapping[str, Prepare] = {
    "as usual": lambda: None,
    "standard input is closed": _closed(0),
    "standard output is closed": _closed(1),
    "standard error is closed": _closed(2),
    "all three are closed": _closed(0, 1, 2),
    "standard output is full": _output_to("/dev/full"),
    "standard error is full": _output_to("/dev/full", 2),
    "nobody reads standard output": _broken_pipe(),
    "nobody reads standard error": _broken_pipe(2),
    "ASCII alone": _encoded("ascii"),
    "Latin letters alone": _encoded("latin-1"),
    "no terminal and one column": _variables(TERM=None, COLUMNS="1", LINES="1"),
    "columns that are no number": _variables(TERM="nosuch", COLUMNS="-5", LINES="x"),
    "no home": _variables(HOME=None, XDG_CACHE_HOME=None),
    "a home that is none": _variables(HOME="/dev/null/home"),
    "no temporary folder": _variables(TMPDIR="/nosuch/tmp"),
    "64 open files": _limit(resource.RLIMIT_NOFILE, 64),
    "files of 64 kB": _limit(resource.RLIMIT_FSIZE, 1 << 16),
    "no core files, no locked memory": _limit(resource.RLIMIT_MEMLOCK, 0),
}
