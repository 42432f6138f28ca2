"""Signals from files of one's own: a function named in the job, its sources, and what its signature says.

Sources travel as one text inside the job, so that a finished run is read, and a job sent to other machines, without the
files. A function is imported where a job is checked and where its values are computed, and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType, NoneType
from typing import Any, get_args

import pyarrow as pa

from tamis.schemas.errors import PlugInError
from tamis.schemas.nearest import nearest

Sources = Mapping[str, str]
"""A file's name -> its text; the file with the function is the first."""

COLUMNS = {
    "text": "text",
    "key": "key",
    "width": "width",
    "height": "height",
    "bytes": "image_size",
    "pixels": "pixels",
}
"""A parameter's name -> the column of ingest's table that is given for it, or "pixels", the decoded picture."""

ROW_TYPES = {int: "int64", float: "double", bool: "bool", str: "string"}
"""What a function of one sample returns -> the signal's Arrow type."""

COLUMN_TYPES = {
    pa.Int64Array: "int64",
    pa.Int32Array: "int32",
    pa.DoubleArray: "double",
    pa.FloatArray: "float",
    pa.BooleanArray: "bool",
    pa.StringArray: "string",
}
"""The same for a function of many samples."""

MOST_BYTES = 64 << 10
"""Of the sources of one signal: they stand in the job, and a job that is sent to a cluster is a variable of 128 KiB."""


@dataclass(frozen=True)
class Form:
    """A function's signature: the signal's Arrow type, its parameters, and whether it takes one sample."""

    type: str
    reads: tuple[str, ...]
    by_row: bool


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_reading: ContextVar[bool] = ContextVar("reading", default=False)


@contextmanager
def nothing_imported() -> Iterator[None]:
    """Refuse imports inside the block: a run that is read may be anybody's."""
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


def check_importing(what: str) -> None:
    """Refuse to import where a run is read.

    Raises:
        PlugInError: one is.
    """
    if _reading.get():
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


def form_of(function: Callable[..., Any], where: str, *, others: bool = False) -> Form:
    """Read a function's signature; ``where`` is for messages.

    ``others``: its parameters may have other names than those of COLUMNS, which their reader knows.

    Raises:
        PlugInError: the signature says too little, or too much.
    """
    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError, AttributeError) as error:
        raise PlugInError(f"{where}: its annotations cannot be read: {error}") from None
    returned = signature.return_annotation
    kinds = [kind for kind in get_args(returned) if kind is not NoneType] or [returned]
    found = ROW_TYPES.get(kinds[0]) or COLUMN_TYPES.get(kinds[0]) if len(kinds) == 1 else None
    if found is None:
        raise PlugInError(
            f"{where}: say by an annotation what it returns: {_names(ROW_TYPES)} for one sample, "
            f"{_names(COLUMN_TYPES)} (of pyarrow) for many"
        )
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise PlugInError(f"{where}: is async, or yields: it has to return its value")
    reads = tuple(signature.parameters)
    for read in reads:
        if signature.parameters[read].kind not in _BY_POSITION:
            raise PlugInError(
                f"{where}: `{read}` cannot be given by its position: take `*` out of its parameters"
            )
        if read not in COLUMNS and not others:
            raise PlugInError(
                f"{where}: no column `{read}`{nearest(read, list(COLUMNS))}: its parameters are named after what it "
                f"reads: {', '.join(COLUMNS)}"
            )
    by_row = kinds[0] in ROW_TYPES
    if not reads:
        raise PlugInError(f"{where}: takes nothing: name a parameter {', '.join(COLUMNS)}")
    if "pixels" in reads and not by_row:
        raise PlugInError(f"{where}: pictures come one by one: return {_names(ROW_TYPES)}")
    return Form(found, reads, by_row)


def check_form(kind: str, reads: Sequence[str], where: str, *, others: bool = False) -> None:
    """Refuse what no signature says, in a job that has been settled; ``others`` as for ``form_of``.

    Raises:
        PlugInError: an unknown type, or an unknown column.
    """
    unknown = [kind] if kind not in {*ROW_TYPES.values(), *COLUMN_TYPES.values()} else []
    unknown += [read for read in reads if read not in COLUMNS and not others]
    if unknown or not reads:
        raise PlugInError(
            f"{where}: `{unknown[0] if unknown else ''}` is no type or column of a function: leave `type` and `reads` "
            "out, which its signature says"
        )


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
        own = _executed(f"tamis_signal_{digest(packed)[:16]}", file, text)
    finally:  # another signal may have a file of the same name
        for module, before in hidden.items():
            sys.modules.pop(module, None)
            if before is not None:
                sys.modules[module] = before
    function = getattr(own, name, None)
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
        exec(compile(text, file, "exec", dont_inherit=True), made.__dict__)  # noqa: S102 - the user's own code, named in the job
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise PlugInError(
            f"{error.filename or file}{line}: cannot be imported: {error.msg}"
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a file of somebody else's raises
        raise PlugInError(f"{place(error, file)}: cannot be imported: {said(error)}") from None
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


def _names(kinds: Mapping[Any, str]) -> str:
    names: Sequence[str] = [kind.__name__ for kind in kinds]
    return f"{', '.join(names[:-1])} or {names[-1]}"
