"""Rows of stored embeddings, against NumPy reading the whole file."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.audit.verify.vectors import rows_differ
from tamis.pipeline.inputs.embedding_files import read_header, read_rows
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tests.support.damaging import damaged

ARRAYS: dict[str, NDArray[Any]] = {
    "b32_img": np.random.default_rng(1).normal(size=(23, 8)).astype(np.float16),
    "b32_txt": np.random.default_rng(2).normal(size=(23, 8)).astype(np.float16),
    "l14_img": np.random.default_rng(3).normal(size=(23, 12)).astype(np.float32),
}


def stored(array: NDArray[Any]) -> io.BytesIO:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer


def archive(compressed: bool) -> io.BytesIO:
    buffer = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(buffer, allow_pickle=False, **ARRAYS)
    return buffer


@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from(["<f2", "<f4", ">f4", "<f8"]))
def test_npy_as_numpy(data: st.DataObject, dtype: str) -> None:
    count = data.draw(st.integers(0, 30))
    stop = data.draw(st.integers(0, count))
    start = data.draw(st.integers(0, stop))
    array = np.random.default_rng(count).normal(size=(count, 5)).astype(dtype)
    file = stored(array)
    matrix = read_header(file)
    assert (matrix.rows, matrix.dim) == array.shape
    got = read_rows(file, matrix, start, stop)
    np.testing.assert_array_equal(got, array[start:stop])
    assert got.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("member", ARRAYS)
def test_npz_as_numpy(member: str, compressed: bool) -> None:
    file = archive(compressed)
    matrix = read_header(file, member)
    assert matrix.compressed == compressed
    for start, stop in ((0, 23), (7, 11), (22, 23), (5, 5)):
        np.testing.assert_array_equal(
            read_rows(file, matrix, start, stop), ARRAYS[member][start:stop]
        )


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    class Counting(io.FileIO):
        count = 0

        def readinto(self, buffer: object) -> int:
            got = super().readinto(buffer)  # type: ignore[arg-type]
            self.count += got
            return got

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(-1 if size is None else size)
            self.count += len(data)
            return data

    np.savez(tmp_path / "a.npz", img=np.ones((100_000, 64), np.float16))
    with Counting(tmp_path / "a.npz") as file:
        matrix = read_header(file, "img")
        file.count = 0
        assert read_rows(file, matrix, 90_000, 90_010).shape == (10, 64)
        assert file.count == 10 * 64 * 2


def test_what_is_no_matrix_of_floats_is_refused() -> None:
    for array, message in (
        (np.zeros(4, np.float32), r"an array \(4,\)"),
        (np.zeros((4, 2), np.int64), "of int64"),
        (np.zeros((4, 2), np.complex64), "of complex64"),
        (np.asfortranarray(np.zeros((4, 2), np.float32)), "stored by columns"),
    ):
        with pytest.raises(InputError, match=message):
            read_header(stored(array))


def test_a_pickle_is_never_read() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([[{}], [{}]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="of object"):
        read_header(buffer)


def test_damage_is_said_in_one_line() -> None:
    whole = stored(ARRAYS["l14_img"]).getvalue()
    matrix = read_header(io.BytesIO(whole))
    with pytest.raises(InputError, match="ends 10 bytes early: the file is truncated"):
        read_rows(io.BytesIO(whole[:-10]), matrix, 0, 23)
    with pytest.raises(InputError, match="no numpy header"):
        read_header(io.BytesIO(b"not an array, by far"))
    with pytest.raises(InputError, match="no numpy header"):
        read_header(io.BytesIO(b""))
    with pytest.raises(InputError, match="npz is damaged or truncated"):
        read_header(io.BytesIO(archive(False).getvalue()[:400]), "b32_img")
    broken = bytearray(archive(True).getvalue())
    start = broken.index(b"l14_img.npy") + 300
    broken[start : start + 40] = bytes(40)
    with pytest.raises(InputError, match="damaged"):
        read_rows(io.BytesIO(bytes(broken)), read_header(archive(True), "l14_img"), 0, 23)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(
        InputError, match=r"no array `l14_txt`; it has b32_img, b32_txt, l14_img.*`text_feature`"
    ):
        read_header(archive(False), "l14_txt")
    with pytest.raises(InputError, match="`l14_txt` of a file that is no archive"):
        read_header(stored(ARRAYS["l14_img"]), "l14_txt")
    matrix = read_header(stored(ARRAYS["l14_img"]))
    with pytest.raises(InputError, match="rows 20 to 24 wanted of an array that has 23"):
        read_rows(stored(ARRAYS["l14_img"]), matrix, 20, 24)


def test_a_member_larger_than_four_gigabytes_could_be_reached() -> None:
    """numpy forces the 64-bit form: its extra field must be skipped, not taken for data."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w") as zipped,
        zipped.open("img.npy", "w", force_zip64=True) as out,
    ):
        np.save(out, ARRAYS["l14_img"])
    matrix = read_header(buffer, "img")
    np.testing.assert_array_equal(read_rows(buffer, matrix, 3, 9), ARRAYS["l14_img"][3:9])


@pytest.mark.filterwarnings("ignore")  # numpy's, on headers as Python 2 wrote them
@pytest.mark.parametrize("compressed", [False, True])
def test_an_archive_whose_bytes_are_others_is_read_or_refused(
    compressed: bool, tmp_path: Path
) -> None:
    """From the disk, where a place before the file's first byte is an error of the system; and by ``verify``."""
    path = tmp_path / "x.npz"

    @given(damaged(archive(compressed).getvalue()))
    def read(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(InputError), storage.open_read(str(path)) as file:
            matrix = read_header(file, "b32_img")
            read_rows(file, matrix, 0, min(3, matrix.rows))
        rows_differ(str(path), 23)

    read()
