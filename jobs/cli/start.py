"""Preparation of the process and its arguments before a command begins: most of a short command is imports."""

from __future__ import annotations

import codecs
import copy
import gc
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, BinaryIO, cast

import typer

from tamis.schemas.errors import JobError, StorageError, Terminated

GARBAGE_THRESHOLD = 50_000
"""New objects before Python collects garbage; 700 by default."""


ESCAPED = "tamis.escaped"
"""How what cannot be encoded is printed."""

_checks: list[Callable[[], object]] = []


def at_the_end(check: Callable[[], object]) -> None:
    """Have ``check`` called when the command has done its work; what it raises is the command's error."""
    _checks.append(check)


def forget_checks() -> None:
    """Forget what an earlier command of this process wanted checked: it did not end well."""
    _checks.clear()


def check_at_the_end() -> None:
    """Call what ``at_the_end`` was given."""
    while _checks:
        _checks.pop()()


def open_streams() -> None:
    """Open what is closed of the three standard streams, for nobody: the next file opened would be in its place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - as long as the process
    codecs.register_error(ESCAPED, _escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=ESCAPED)
    if sys.__stderr__ is not None and sys.stderr is sys.__stderr__:
        unheard = cast(BinaryIO, _Unheard(2, "wb", closefd=False))
        sys.stderr = io.TextIOWrapper(unheard, sys.stderr.encoding, ESCAPED, write_through=True)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, as JSON writes it, and as a person can read it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end


class _Unheard(io.FileIO):
    """Standard error: a line that cannot be written there is lost, and ends no run."""

    def write(self, data: Any, /) -> int:
        """Write it, or pretend to."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def is_of_printing(error: OSError) -> bool:
    """Whether it comes from a line that was printed, and not from a file."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals["__name__"]).partition(".")[0] in {"click", "rich", "typer"}


def check_printed() -> None:
    """Write to its end what is printed; what cannot be written is given up, or Python's own end would fail as well.

    Raises:
        StorageError: standard output takes no more.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, 1)
        os.close(nobody)
        raise unprinted(error) from None


def unprinted(error: OSError) -> StorageError:
    """The error of a standard output that takes no more."""
    why = os.strerror(error.errno or 0).lower()
    return StorageError(f"standard output cannot be written: {why}: it lacks what was asked for")


def terminate(*_: object) -> None:
    """Raise `Terminated`: the handler of SIGTERM."""
    raise Terminated


def speed_up_imports() -> None:
    """Collect garbage rarely, and keep pydantic from searching all packages for plugins."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def one_value_each(arguments: Sequence[str]) -> list[str]:
    """Arguments with one value to each ``--set``: ``--set a=1 b=2`` becomes ``--set a=1 --set b=2``."""
    single: list[str] = []
    option = ""
    for argument in arguments:
        follows = single[-1] if single else ""
        if argument.startswith("-"):
            option = argument if argument == "--set" else ""
        elif option and follows != option:
            if "=" in argument:
                single.append(option)
            else:
                option = ""
        single.append(argument)
    return single


def check_text(arguments: Sequence[str]) -> None:
    """Refuse an argument that is not UTF-8: no job file, table or page could hold it.

    Raises:
        JobError: one is, or Python takes the names of files for something else: a sample's uid would depend on that.
    """
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        raise JobError(
            f"the names of files are taken for {encoding}, as the language settings of this shell say, and jobs and "
            "tables are in UTF-8: set PYTHONUTF8=1"
        )
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise JobError(
                f"`{argument}`: is not UTF-8, in which jobs and tables are written: rename the file, or type it anew"
            )


def check_quoted(arguments: Sequence[str]) -> None:
    """Refuse a pattern that the shell has replaced by the names of files.

    Raises:
        JobError: more than one file stands behind ``--input``.
    """
    for place, argument in enumerate(arguments):
        if argument == "--input":
            rest = list(takewhile(lambda word: not word.startswith("-"), arguments[place + 1 :]))
            files = [
                name
                for name in rest
                if not name.endswith((".yaml", ".yml")) and os.path.isfile(name)
            ]
            if len(files) > 1:
                folder, ending = os.path.dirname(files[0]), os.path.splitext(files[0])[1]
                pattern = os.path.join(folder, f"*{ending}")
                raise JobError(
                    f"--input: {len(files):,} files follow it: the shell has put them in the place of a pattern: "
                    f"quote it: --input '{pattern}'"
                )


def with_called_command(app: typer.Typer, arguments: Sequence[str]) -> typer.Typer:
    """``app`` with the called command alone: typer would build all of them at every call."""
    called = [
        command
        for command in app.registered_commands
        if command.callback is not None and [command.callback.__name__] == list(arguments[:1])
    ]
    if not called:
        return app
    one = copy.copy(app)
    one.registered_commands, one.registered_groups = called, []
    one.add_typer(typer.Typer())  # a lone command would lose its name; one beside a group keeps it
    return one
