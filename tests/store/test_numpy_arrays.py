"""Arrays in bytes of strangers: those that are whole are read, and all else is one line."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tamis.pipeline.store import numpy_arrays
from tamis.pipeline.store.numpy_arrays import load_archive, load_array


def stored(array: npt.NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def header(text: str, magic: bytes = b"\x93NUMPY\x01\x00") -> bytes:
    padded = text.encode().ljust(117) + b"\n"
    return magic + len(padded).to_bytes(2, "little") + padded


def told(read: Callable[[bytes], object], data: bytes) -> str:
    """The message of the one error that damage may raise; nothing where there is none."""
    try:
        read(data)
    except ValueError as error:
        return str(error)
    return ""


ARRAYS = arrays.arrays(
    st.sampled_from(["<f4", ">f8", "<f2", "|u1", "<i8", "|b1", "<U3", "u8,u8"]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@given(ARRAYS, st.booleans())
def test_what_numpy_has_saved(array: npt.NDArray[Any], by_columns: bool) -> None:
    array = np.asfortranarray(array) if by_columns else array
    found = load_array(stored(array))
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


@given(ARRAYS, st.data())
def test_what_is_damaged_is_told_or_another_array(array: npt.NDArray[Any], data: Any) -> None:
    raw = bytearray(stored(array))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    assert "\n" not in told(load_array, cut)


WHOLE = "'descr':'<f4','fortran_order':False,"
ODD = {
    "too large to be held": header(f"{{{WHOLE}'shape':(1000000000000,8),}}"),
    "too large for a number": header(f"{{{WHOLE}'shape':({'9' * 30},),}}"),
    "a negative side": header(f"{{{WHOLE}'shape':(-1,8),}}") + bytes(32),
    "two negative sides": header(f"{{{WHOLE}'shape':(-2,-4),}}") + bytes(32),
    "brackets": header("(" * 90),
    "no dictionary": header("3"),
    "another type": header("{'descr':'<Q99','fortran_order':False,'shape':(8,),}"),
    "objects": header("{'descr':'|O','fortran_order':False,'shape':(1,),}") + bytes(8),
    "a later version": header("{}", b"\x93NUMPY\x09\x00"),
    "short": header(f"{{{WHOLE}'shape':(8,),}}") + b"123",
    "long": header(f"{{{WHOLE}'shape':(0,),}}") + b"123",
    "no header": b"\x93NUMPY\x01\x00",
    "a zip": b"PK\x03\x04junk",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_files(kind: str) -> None:
    for read in (load_array, load_archive):
        with pytest.raises(ValueError) as told:  # noqa: PT011 - whatever it says, it is one line
            read(ODD[kind])
        assert "\n" not in str(told.value)


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return out.getvalue()


@pytest.mark.parametrize("kind", ODD)
def test_an_archive_with_an_odd_member(kind: str) -> None:
    with pytest.raises(ValueError) as told:  # noqa: PT011 - as above
        load_archive(zipped(good=stored(np.ones(3)), odd=ODD[kind]))
    assert "\n" not in str(told.value)


@given(st.data())
def test_a_damaged_archive(data: Any) -> None:
    raw = bytearray(zipped(a=stored(np.arange(50.0)), b=stored(np.ones((3, 3), np.float32))))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert "\n" not in told(load_archive, bytes(raw))


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_arrays, "MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match="unpacked 1,000,128 bytes: at most 10,000 are read"):
        load_archive(zipped(a=stored(np.zeros(125_000))))
