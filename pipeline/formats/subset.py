"""DataComp's subset file: the uids of the chosen samples as a sorted ``.npy`` of pairs of 64-bit halves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from pipeline.digesting import Writable

DTYPE = np.dtype("u8,u8")
"""(int(uid[:16], 16), int(uid[16:32], 16))"""


def write(file: Writable, total: int, spans: Iterable[npt.NDArray[np.uint64]]) -> None:
    """Write ``total`` uids: (n, 2) halves in spans, all of a span smaller than all of the next. Sorts each span.

    Raises:
        ValueError: the spans hold another number of uids.
    """
    npy.write_array_header_1_0(
        file, {"descr": DTYPE.descr, "fortran_order": False, "shape": (total,)}
    )
    written = 0
    for uid in spans:
        order = np.lexsort((uid[:, 1], uid[:, 0]))
        file.write(np.ascontiguousarray(uid[order], dtype="<u8").tobytes())
        written += len(uid)
    if written != total:
        raise ValueError(f"{written} uids were given, {total} announced")


def read(file: BinaryIO) -> list[str]:
    """The uids of a subset file, as 32 hex digits each."""
    return [f"{high:016x}{low:016x}" for high, low in np.load(file, allow_pickle=False).tolist()]
