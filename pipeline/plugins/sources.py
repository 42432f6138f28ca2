"""Sources of code of the user's own: packed as one word that stands in a job, and imported as a module.

Sources travel as one text inside the job, so that a finished run is read, and a job sent to other machines, without the
files. They are imported where a job is checked and where values are computed, and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from functools import lru_cache
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
    sources = unpack(packed)
    check_importing(f"{next(iter(sources))}: {name}")
    (file, text), *others = sources.items()
    beside = {name.removesuffix(".py"): (name, text) for name, text in others}
    hidden = {module: sys.modules.get(module) for module in beside}
    try:
        for module, (its_file, its_text) in reversed(beside.items()):
            sys.modules[module] = _executed(module, its_file, its_text)
        own = _executed(f"tamis_plugin_{digest(packed)[:16]}", file, text)
    finally:  # another signal may have a file of the same name
        for module, before in hidden.items():
            sys.modules.pop(module, None)
            if before is not None:
                sys.modules[module] = before
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


def _executed(module: str, file: str, text: str) -> ModuleType:
    made = ModuleType(module)
    made.__file__ = file
    try:
        # What it prints is no part of a command's own output, which may be JSON.
        with redirect_stdout(sys.stderr):
            exec(compile(text, file, "exec", dont_inherit=True), made.__dict__)  # noqa: S102 - the user's own code, named in the job
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise PlugInError(
            f"{error.filename or file}{line}: cannot be imported: {error.msg}"
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a file of somebody else's raises
        missing = isinstance(error, ModuleNotFoundError)
        mend = ": name its file in `with`, or install it on all machines" if missing else ""
        raise PlugInError(
            f"{place(error, file)}: cannot be imported: {said(error)}{mend}"
        ) from None
    return made


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
