"""DataComp's subset file: the uids of the kept samples as a sorted ``.npy`` of pairs of 64-bit halves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from tamis.pipeline.algorithms.order import by_uid
from tamis.pipeline.store.digesting import Writable
from tamis.pipeline.store.numpy_arrays import sound_header

DTYPE = np.dtype("u8,u8")
"""(int(uid[:16], 16), int(uid[16:32], 16))"""

BLOCK = 1 << 20
"""Uids of one read."""


def write(file: Writable, total: int, spans: Iterable[npt.NDArray[np.uint64]]) -> None:
    """Write ``total`` uids: spans of halves, uint64 (n, 2), in any order inside a span, each smaller than the next.

    A uid may stand more than once in a span.

    Raises:
        ValueError: the spans have another number of uids.
    """
    npy.write_array_header_1_0(
        file, {"descr": DTYPE.descr, "fortran_order": False, "shape": (total,)}
    )
    written = 0
    for uid in spans:
        order = by_uid(uid)
        file.write(np.ascontiguousarray(uid[order], dtype="<u8").tobytes())
        written += len(uid)
    if written != total:
        raise ValueError(f"{written} uids in the spans, but total is {total}")


def changes(
    former: BinaryIO, spans: Iterable[npt.NDArray[np.uint64]]
) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]]:
    """Uids only in ``spans`` (as for ``write``) and only in the file ``former``: sorted uint64 (n, 2), span by span.

    Raises:
        ValueError: ``former`` is no subset file, or is cut short.

    A uid that stands more than once in one of the two counts once.
    """
    total, waiting = _total(former), np.empty((0, 2), dtype=np.uint64)
    for uid in spans:
        if len(uid):
            last = uid[by_uid(uid)[-1]]
            pieces = [waiting]
            while total and (not len(pieces[-1]) or not _exceeds(pieces[-1][-1:], last)[0]):
                pieces.append(_block(former, min(total, BLOCK)))
                total -= len(pieces[-1])
            rows = np.concatenate(pieces)
            later = _exceeds(rows, last)
            waiting = rows[later]
            yield _differences(uid, rows[~later])
    nothing = np.empty((0, 2), dtype=np.uint64)
    yield nothing, _once(waiting)
    last = waiting[-1:]
    while total:
        rest = _block(former, min(total, BLOCK))
        total -= len(rest)
        yield nothing, _once(np.concatenate([last, rest]))[len(last) :]
        last = rest[-1:]


def _total(file: BinaryIO) -> int:
    shape, _, kind = sound_header(file)
    if kind != DTYPE:
        raise ValueError(f"a subset file holds {DTYPE}, not {kind}")
    if len(shape) != 1 or shape[0] < 0:
        raise ValueError(f"a subset file holds a list, not an array {shape}")
    return int(shape[0])


def _block(file: BinaryIO, count: int) -> npt.NDArray[np.uint64]:
    data = file.read(count * DTYPE.itemsize)
    if len(data) < count * DTYPE.itemsize:
        raise ValueError("the subset file is cut short")
    return np.frombuffer(data, dtype="<u8").reshape(-1, 2).astype(np.uint64)


def _exceeds(uid: npt.NDArray[np.uint64], last: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """(n,) True for uids that are larger than ``last``."""
    greater: npt.NDArray[np.bool_] = (uid[:, 0] > last[0]) | (
        (uid[:, 0] == last[0]) & (uid[:, 1] > last[1])
    )
    return greater


def _once(uid: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The distinct uids, sorted."""
    ordered = uid[by_uid(uid)]
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return ordered[first]


def _differences(
    one: npt.NDArray[np.uint64], two: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Uids only in ``one`` and uids only in ``two``, each sorted and once."""
    one, two = _once(one), _once(two)
    both = np.concatenate([one, two])
    order = by_uid(both)
    same = (both[order[1:]] == both[order[:-1]]).all(axis=1)
    single = order[~(np.append(same, False) | np.append(False, same))] if len(both) else order
    return both[single[single < len(one)]], both[single[single >= len(one)]]
