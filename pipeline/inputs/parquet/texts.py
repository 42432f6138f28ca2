"""Text of a parquet file that may hold any bytes: nothing checks what somebody has written as a string."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs.parquet.file import is_string
from tamis.pipeline.inputs.part_builder import MAX_URL_BYTES

MAX_BYTES = MAX_URL_BYTES
"""Of a text that is a signal: a part holds thousands of them, and a small file may unfold to any number."""


def bounded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of strings, null where one is not UTF-8 or has more than MAX_BYTES."""
    return _each_chunk(pa.chunked_array(map(_short, column.chunks), column.type), repaired=False)


def _short(array: pa.Array) -> pa.Array:
    """The array without its long texts: taken, since a choice by a condition would keep their bytes."""
    length = pc.binary_length(array.cast(pa.binary()))
    fits = np.asarray(pc.fill_null(pc.less_equal(length, MAX_BYTES), True))
    if fits.all():
        return array
    return array.take(pa.array(np.arange(len(array)), mask=~fits))


def repaired(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of any type, in which bytes that are not UTF-8 are U+FFFD; null where they stand inside other values."""
    return _each_chunk(column, repaired=True)


def _each_chunk(column: pa.ChunkedArray, *, repaired: bool) -> pa.ChunkedArray:
    return pa.chunked_array([_sound(chunk, repaired) for chunk in column.chunks], column.type)


def _sound(array: pa.Array, repaired: bool) -> pa.Array:
    if _is_sound(array):
        return array
    if pa.types.is_dictionary(array.type):
        values = _sound(array.dictionary, repaired)
        return pa.DictionaryArray.from_arrays(array.indices, values, ordered=array.type.ordered)
    if is_string(array.type):
        raw = array.cast(pa.large_binary()).to_pylist()
        return pa.array([_decoded(value, repaired) for value in raw], array.type)
    # Taken, not sliced: of a slice all of what lies inside is looked at.
    whole = pa.array([_is_sound(array.take(pa.array([row]))) for row in range(len(array))])
    return pc.if_else(whole, array, pa.scalar(None, array.type))


def _is_sound(array: pa.Array) -> bool:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _decoded(value: bytes | None, repaired: bool) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value.decode(errors="replace") if repaired and value is not None else None
