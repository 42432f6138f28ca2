"""Commands in processes of their own, forked from one that has imported what they need: half of a short one is imports.

Each has its own standard streams, variables, umask and end, as a command that a person gives; what must be seen of the
start of a process (which modules it imports, say) is tested with one that is started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from tests.conftest import ROOT

PROGRAM = """
import importlib, json, os, pkgutil, sys

from tamis.jobs import commands
from tamis.jobs.cli.app import main

for module in pkgutil.iter_modules(commands.__path__, "tamis.jobs.commands."):
    importlib.import_module(module.name)
for name in sys.argv[1:]:
    importlib.import_module(name)

while line := sys.stdin.readline():
    asked = json.loads(line)
    files = [os.memfd_create(name) for name in ("out", "err")]
    child = os.fork()
    if not child:
        for number, file in enumerate([os.open(os.devnull, os.O_RDONLY), *files]):
            os.dup2(file, number)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.umask(asked["umask"])
        sys.argv[1:] = asked["arguments"]
        main()
        sys.exit()
    _, status = os.waitpid(child, 0)
    told = [os.waitstatus_to_exitcode(status)]
    for file in files:
        size = os.lseek(file, 0, os.SEEK_END)
        told.append(os.pread(file, size, 0).decode())
        os.close(file)
    print(json.dumps(told), flush=True)
"""


class Commands:
    """The process that commands are forked from."""

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        modules: Sequence[str] = (),
        before: Sequence[str] = (),
    ) -> None:
        """Start it.

        Args:
            environment: of the commands.
            modules: what they import when they are called.
            before: words before the program, by which it has other rights, say.
        """
        self._environment = dict(environment)
        self._process = subprocess.Popen(
            [*before, sys.executable, "-c", PROGRAM, *modules],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self,
        *arguments: object,
        umask: int = 0o022,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        """What a command ended with, called from the project's folder, with these variables more."""
        words = [str(argument) for argument in arguments]
        asked: dict[str, Any] = {
            "arguments": words,
            "environment": {**self._environment, **environment},
            "umask": umask,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that commands are forked from has ended"
        code, out, err = json.loads(answer)
        return subprocess.CompletedProcess(words, code, out, err)

    def end(self) -> None:
        """End it."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


@contextmanager
def forked_commands(
    environment: Mapping[str, str] = os.environ,
    modules: Sequence[str] = (),
    before: Sequence[str] = (),
) -> Iterator[Commands]:
    """Such a process, ended with the block."""
    made = Commands(environment, modules, before)
    try:
        yield made
    finally:
        made.end()
