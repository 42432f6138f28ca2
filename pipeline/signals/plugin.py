"""Functions of the user's own: what the signature of one says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import pyarrow as pa

from tamis.pipeline.plugins import sources
from tamis.schemas.errors import PlugInError
from tamis.schemas.nearest import nearest

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


@dataclass(frozen=True)
class Form:
    """A function's signature: the signal's Arrow type, its parameters, and whether it takes one sample."""

    type: str
    reads: tuple[str, ...]
    by_row: bool


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def form_of(function: Callable[..., Any], where: str, *, others: bool = False) -> Form:
    """Read a function's signature; ``where`` is for messages.

    ``others``: its parameters may have other names than those of COLUMNS, which their reader knows.

    Raises:
        PlugInError: the signature says too little, or too much.
    """
    try:
        signature = inspect.signature(function, eval_str=True)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - an annotation may be any expression
        raise PlugInError(
            f"{where}: its annotations cannot be read: {sources.said(error)}"
        ) from None
    returned = signature.return_annotation
    union = get_args(returned) if get_origin(returned) in {Union, UnionType} else (returned,)
    said = [kind for kind in union if kind is not NoneType]
    # By identity, as what stands there need not have a hash.
    known = [kind for kind in (*ROW_TYPES, *COLUMN_TYPES) if any(kind is one for one in said)]
    if len(said) != 1 or not known:
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
    by_row = known[0] in ROW_TYPES
    if not reads:
        raise PlugInError(f"{where}: takes nothing: name a parameter {', '.join(COLUMNS)}")
    if "pixels" in reads and not by_row:
        raise PlugInError(f"{where}: pictures come one by one: return {_names(ROW_TYPES)}")
    return Form({**ROW_TYPES, **COLUMN_TYPES}[known[0]], reads, by_row)


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


def _names(kinds: Mapping[Any, str]) -> str:
    names: Sequence[str] = [kind.__name__ for kind in kinds]
    return f"{', '.join(names[:-1])} or {names[-1]}"
