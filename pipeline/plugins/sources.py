"""Sources of code of the user's own: packed as one word that stands in a job, and imported as a module.

Sources travel as one text inside the job, so that a finished run is read, and a job sent to other machines, without the
files. They are imported where a job is checked and where values are computed, and nowhere else.
"""

from __future__ import annotations

import base64
import builtins
import hashlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from functools import lru_cache, partial
from types import ModuleType
from typing import Any

from tamis.schemas.errors import PlugInError
from tamis.schemas.nearest import nearest

Sources = Mapping[str, str]
"""A file's name -> its text; the file that the job names is the first."""

MOST_BYTES = 64 << 10
"""Of the sources of a function or class: they stand in the job, on its way to a cluster a variable of 128 KiB."""


_reading: ContextVar[bool] = ContextVar("reading", default=False)


@contextmanager
def nothing_imported() -> Iterator[None]:
    """Refuse imports inside the block: a run that is read may be anybody's."""
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


def is_reading() -> bool:
    """Whether a run is read, and not made."""
    return _reading.get()


def check_importing(what: str) -> None:
    """Refuse to import where a run is read.

    Raises:
        PlugInError: one is.
    """
    if is_reading():
        raise PlugInError(
            f"{what}: its type does not stand in the run's job.yaml, and to read a run imports nothing: run the job "
            "again, which writes it"
        )


def pack(sources: Sources) -> str:
    """The sources as one word."""
    return base64.b64encode(json.dumps([*sources.items()]).encode()).decode()


def unpack(packed: str) -> Sources:
    """The sources that ``pack`` has packed.

    Raises:
        PlugInError: it is no such word.
    """
    try:
        sources = {str(name): str(text) for name, text in json.loads(base64.b64decode(packed))}
        if not sources:
            raise ValueError("it is empty")
        return sources
    except (ValueError, TypeError, RecursionError) as error:
        raise PlugInError(
            f"`packed` holds no sources ({error}): leave it out, and name the file alone"
        ) from None


def check_size(sources: Sources) -> None:
    """Refuse sources that are too large to stand in a job.

    Raises:
        PlugInError: they are.
    """
    size = sum(len(text.encode()) for text in sources.values())
    if size > MOST_BYTES:
        raise PlugInError(
            f"{next(iter(sources))} and what stands in `with` have {size:,} bytes: the limit is {MOST_BYTES:,}, for "
            "they travel with the job: leave data out of them"
        )


@lru_cache(maxsize=32)
def digest(packed: str) -> str:
    """The sha256 by which fingerprints know the sources."""
    return hashlib.sha256(packed.encode()).hexdigest()


@lru_cache(maxsize=32)
def load(packed: str, name: str) -> Callable[..., Any]:
    """The function, its file imported with the files beside it as modules of their names.

    Raises:
        PlugInError: one line with the file and the line of the error.
    """
    file = next(iter(unpack(packed)))
    check_importing(f"{file}: {name}")
    own = _imported(packed)
    function = vars(own).get(name)
    if not callable(function):
        functions = [
            key for key, value in vars(own).items() if callable(value) and not key.startswith("_")
        ]
        raise PlugInError(
            f"{file}: has no function `{name}`{nearest(name, functions) if functions else ''}"
        )
    found: Callable[..., Any] = function
    return found


@lru_cache(maxsize=32)
def _imported(packed: str) -> ModuleType:
    """The module of the file that the job names: once for all of its functions, so that they share their classes."""
    return _Family(packed).module(0)


class _Family:
    """The modules of some sources, each executed when one of the others first imports it.

    They stay in ``sys.modules``, where pickle, dataclasses and type hints look for them, under names of their own:
    another job may have files of the same names.
    """

    def __init__(self, packed: str) -> None:
        self._files = [*unpack(packed).items()]
        self._numbers = {name.removesuffix(".py"): at for at, (name, _) in enumerate(self._files)}
        self._unique = f"tamis_plugin_{digest(packed)[:16]}"
        self._made: dict[int, ModuleType] = {}

    def module(self, number: int) -> ModuleType:
        """The module of a file; the one that the job names is 0.

        Raises:
            PlugInError: one line with the file and the line of the error.
        """
        if number in self._made:  # perhaps half made, where files import each other
            return self._made[number]
        file, text = self._files[number]
        name = f"{self._unique}_{number}" if number else self._unique
        made = self._made[number] = sys.modules[name] = ModuleType(name)
        made.__file__ = file
        own = partial(self._import, number)
        vars(made)["__builtins__"] = {**vars(builtins), "__import__": own}
        try:
            _execute(made, file, text)
        except BaseException:
            del self._made[number], sys.modules[name]
            raise
        return made

    def _import(
        self,
        importer: int,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - as Python's own
        locals: Mapping[str, object] | None = None,  # noqa: A002 - likewise
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        """What ``import`` calls in these files: the others of them come before what is installed."""
        number = self._numbers.get(name)
        if number is None or number == importer or level:
            return builtins.__import__(name, globals, locals, fromlist, level)
        half_made = number in self._made
        found = self.module(number)
        lacking = [one for one in fromlist or () if one != "*" and not hasattr(found, one)]
        if lacking:
            why = " yet: the two files import each other" if half_made else ""
            raise ImportError(f"{self._files[number][0]} has no `{lacking[0]}`{why}")
        return found


def _execute(module: ModuleType, file: str, text: str) -> None:
    try:
        # What it prints is no part of a command's own output, which may be JSON.
        with redirect_stdout(sys.stderr):
            exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the user's own code, named in the job
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise PlugInError(
            f"{error.filename or file}{line}: cannot be imported: {error.msg}"
        ) from None
    except (KeyboardInterrupt, PlugInError):  # the latter of a file that it imports
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a file of somebody else's raises
        missing = isinstance(error, ModuleNotFoundError)
        mend = ": name its file in `with`, or install it on all machines" if missing else ""
        raise PlugInError(
            f"{place(error, file)}: cannot be imported: {said(error)}{mend}"
        ) from None


def place(error: BaseException, file: str) -> str:
    """The file, and the line in it that an error passed last."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    return f"{file}, line {lines[-1]}" if lines else file


def said(error: BaseException) -> str:
    """An error's class and message, as one line."""
    message = " ".join(shown(error).split())[:200]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def shown(value: object) -> str:
    """A stranger's value as text, if it has any."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - whatever its own method raises
        return f"a {type(value).__name__} without words"
