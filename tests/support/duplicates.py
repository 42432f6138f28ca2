"""What judges the duplicate steps: all pairs compared, and groups made of them, by straight paths of their own."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from tamis.pipeline.algorithms.near_pictures import details, layouts
from tamis.pipeline.inputs.detail import detail_of
from tamis.pipeline.inputs.images import MAX_PIXELS
from tamis.pipeline.runs.plan import Plan
from tests.support.running import ledger, run_here

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

REMEMBERED = 1 << 15
"""Captions of which it is remembered what was made of them: each is compared with many."""


@lru_cache(REMEMBERED)
def normal(text: str | None) -> str:
    """As captions of the tests are compared: entities read, NFKC, case folded, white space as single spaces."""
    plain = html.unescape(text or "").translate(str.maketrans("\u2018\u2019\u2013\u2014", "''--"))
    folded = unicodedata.normalize("NFKC", plain).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


@lru_cache(REMEMBERED)
def pieces(text: str, size: int = 3) -> frozenset[str]:
    """Its character n-grams; a shorter text is one."""
    last = max(len(text) - size, 0) if text else -1
    return frozenset(text[i : i + size] for i in range(last + 1))


def jaccard(a: str | None, b: str | None) -> float:
    """True similarity of two raw captions."""
    left, right = pieces(normal(a)), pieces(normal(b))
    return len(left & right) / len(left | right) if left or right else 0.0


def alike_captions(texts: Sequence[str | None], bound: float) -> tuple[Ints, Ints]:
    """All pairs a < b of captions at or above the bound, by the product of the incidence matrix with itself."""
    sets = [pieces(normal(text)) for text in texts]
    number: dict[str, int] = {}
    columns = [number.setdefault(piece, len(number)) for one in sets for piece in sorted(one)]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in sets])]).astype(np.int64)
    matrix = sparse.csr_array(
        (np.ones(len(columns), np.int32), columns, offsets), shape=(len(texts), max(len(number), 1))
    )
    size = np.diff(offsets)
    pairs = [np.empty((2, 0), np.int64)]
    for start in range(0, len(texts), 256):
        common = (matrix[start : start + 256] @ matrix.T).tocoo()
        a, b = common.row.astype(np.int64) + start, common.col.astype(np.int64)
        union = size[a] + size[b] - common.data
        keep = (common.data / union >= bound) & (a < b)
        pairs.append(np.stack([a[keep], b[keep]]))
    a, b = np.concatenate(pairs, axis=1)
    return a, b


def groups(a: Ints, b: Ints, n: int) -> Ints:
    """(n,) the component of each."""
    graph = sparse.coo_array((np.ones(len(a)), (a, b)), shape=(n, n))
    label = connected_components(graph, directed=False)[1]
    return label.astype(np.int64)


def survivors(label: Iterable[Hashable], uid: Sequence[str]) -> dict[str, str]:
    """uid of each that is dropped -> the smallest uid of its group."""
    members: dict[Hashable, list[str]] = {}
    for one, name in zip(label, uid, strict=True):
        members.setdefault(one, []).append(name)
    return {name: min(group) for group in members.values() for name in group if name != min(group)}


def led(
    a: Ints, b: Ints, uid: Sequence[str], value: Sequence[float], better: Sequence[float] = ()
) -> dict[str, tuple[str, float]]:
    """uid of each that falls -> the kept one before it that it is most alike to, and the value.

    One sample after another, the better first and then by uid: kept unless alike to a kept one.
    """
    place = {row: (-better[row] if len(better) else 0.0, name) for row, name in enumerate(uid)}
    alike: dict[int, list[tuple[float, int]]] = {}
    for i, j, v in zip(a.tolist(), b.tolist(), value, strict=True):
        first, second = sorted((i, j), key=place.__getitem__)
        alike.setdefault(second, []).append((v, first))
    fallen: dict[int, tuple[str, float]] = {}
    for row in sorted(place, key=place.__getitem__):
        kept = [(-v, place[other], other) for v, other in alike.get(row, []) if other not in fallen]
        if kept:
            least, _, other = min(kept)
            fallen[row] = (uid[other], -least)
    return {uid[row]: found for row, found in fallen.items()}


def alike_pictures(
    rows: Sequence[dict[str, Any]],
    radius: int,
    bound: float = 0.11,
    pictures: Mapping[str, bytes] | None = None,
    detail: float = 0.18,
) -> tuple[Ints, Ints, Ints]:
    """All pairs a < b whose hashes and layouts are near, and the bits in which the hashes differ.

    With ``pictures``, the bytes by uid, their details have to be near too.
    """
    hashes = np.array([row["phash"] for row in rows], dtype=np.uint64)
    table = np.frombuffer(b"".join(row["layout"] for row in rows), np.uint8).reshape(len(rows), -1)
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    a, b = np.nonzero(np.triu(bits <= radius, 1))
    near = layouts.difference(table, a, b) <= bound
    a, b = a[near], b[near]
    if pictures is not None and len(a):
        asked, places = np.unique(np.stack([a, b]), return_inverse=True)
        raw = b"".join(detail_of(pictures[rows[row]["uid"]], MAX_PIXELS) for row in asked)
        made = np.frombuffer(raw, np.uint8).reshape(len(asked), -1)
        near = details.difference(made, *places.reshape(2, -1)) <= detail
        a, b = a[near], b[near]
    return a, b, bits[a, b].astype(np.int64)


def stored(output: Path) -> list[dict[str, Any]]:
    """The ledger's rows, each with the perceptual hash and the size that ingest stored."""
    rows = ledger(output)
    read: list[dict[str, Any]] = []
    for path in sorted((output / "tables/ingest/files").glob("file-*.parquet")):
        columns = ["uid", "phash", "layout", "width", "height"]
        read += pq.ParquetFile(path).read(columns).to_pylist()
    by_uid = {row["uid"].hex(): row for row in read}
    return [{**by_uid[row["uid"]], **row} for row in rows]


def run_in(plan: Plan) -> list[dict[str, Any]]:
    """Do the plan here; what it read and what it decided."""
    run_here(plan)
    return stored(Path(plan.root))


def dropped(rows: Iterable[dict[str, Any]], step: str) -> dict[str, str]:
    """uid of each that a step dropped -> the survivor's."""
    return {row["uid"]: row["survivor_uid"] for row in rows if row["step"] == step}


def edges(
    output: Path, step: str, phases: Sequence[str], value: str
) -> dict[tuple[str, str], float]:
    """(smaller uid, larger uid) -> the stored value of every edge."""
    values: dict[tuple[str, str], float] = {}
    for phase in phases:
        for path in sorted((output / "tables" / step / phase).glob("bucket-*.parquet")):
            for row in pq.ParquetFile(path).read(["uid_a", "uid_b", value]).to_pylist():
                one, other = sorted((row["uid_a"].hex(), row["uid_b"].hex()))
                pair = (one, other)
                assert values.setdefault(pair, row[value]) == row[value]
    return values
