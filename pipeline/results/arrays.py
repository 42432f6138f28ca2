"""A ``.npz`` written a block of rows at a time: the same bytes on a disk as on an object store, and at any time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from tamis.pipeline.store.digesting import Writable

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of members of a zip, which holds none that is earlier."""


def write_header(file: Any, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
    """The header of an array whose rows follow, one after another, in the order of C."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


class ArraysWriter:
    """Writes the arrays of one archive, one after another, uncompressed, so that rows can be read where they lie."""

    def __init__(self, file: Writable) -> None:
        self._archive = zipfile.ZipFile(_Stream(file), "w")

    @contextmanager
    def array(self, name: str, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Iterator[Writable]:
        """A file for the rows of the array ``name``: their bytes, as many as ``shape`` says."""
        member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
        with self._archive.open(member, "w", force_zip64=True) as inner:
            write_header(inner, dtype, shape)
            yield inner

    def close(self) -> None:
        """Write the archive's directory."""
        self._archive.close()


class _Stream(io.RawIOBase):
    """A file that only goes on, as on an object store."""

    def __init__(self, file: Writable) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Write all of it."""
        return self._file.write(data)
