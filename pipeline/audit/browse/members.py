"""The samples of one concept on a plane, for the browser page: single ones where they are few, else tiles of many."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tamis.pipeline.algorithms import plane
from tamis.pipeline.algorithms.arrays import BoolArray, Float64Array, Int64Array
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.search.stored import Embedding
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.store.recent import Recent
from tamis.schemas.errors import InputError

if TYPE_CHECKING:
    import duckdb

MOST = 10_000
"""Samples of a concept that are placed, at most: those whose uids have the smallest hashes."""
PARTS = 32
"""Parts whose vectors are read, at most: of a concept that lies in more, so many spread evenly over them."""
SINGLE = 300
"""Samples that are shown one by one."""
TILES = 32
"""Tiles on a side of what is seen, where there are more."""
HELD = 8
"""Concepts whose places are kept in memory."""

PARTS_OF = """
    SELECT sid >> 32, count(*) FROM ledger WHERE cluster = $cluster AND {placed} GROUP BY 1 ORDER BY 1
"""
CHOSEN = """
    SELECT sid, kept FROM ledger WHERE cluster = $cluster AND {placed} AND sid >> 32 IN (SELECT unnest($parts))
    ORDER BY md5(uid), sid LIMIT $most
"""


@dataclass(frozen=True)
class _Placed:
    of: int  # samples of the concept
    sids: Int64Array  # (n,)
    kept: BoolArray  # (n,)
    places: Float64Array  # (n, 2), from -1 to 1


class Members:
    """The concepts' samples by the two directions in which the pictures of a concept differ most."""

    def __init__(self, run: FinishedRun) -> None:
        self._run = run
        self._placing = threading.Lock()
        self._held: Recent[int, _Placed] = Recent(HELD)

    def tiles(
        self, connection: duckdb.DuckDBPyConnection, asked: Mapping[str, str]
    ) -> dict[str, Any]:
        """What is seen of a concept, ``cluster``, in a ``box`` (four numbers: left, top, right, bottom).

        A tile has its samples' number, how many are kept, the mean of their places, and the sid of the first.

        Raises:
            InputError: there is no such concept, or the box is none.
            StateError: the vectors have been cleared.
        """
        cluster, box = _cluster(asked.get("cluster", "")), _box(asked.get("box", ""))
        with self._placing:
            found = self._held.get(cluster)
            if found is None:
                found = self._placed(connection, cluster)
            self._held.keep(cluster, found)
        return {"of": found.of, "placed": len(found.sids), "tiles": _tiles(found, box)}

    def _placed(self, connection: duckdb.DuckDBPyConnection, cluster: int) -> _Placed:
        if not self._run.placing:
            raise InputError("this run has no concepts: no step of its job clusters")
        values: dict[str, Any] = {"cluster": cluster}
        found = connection.execute(PARTS_OF.format(placed=self._run.placed), values).fetchall()
        if not found:
            raise InputError(f"concept {cluster} has no samples in this run")
        of = sum(samples for _, samples in found)
        spread = np.linspace(0, len(found) - 1, min(PARTS, len(found))).astype(np.int64)
        values |= {"parts": [found[at][0] for at in spread.tolist()], "most": MOST}
        rows = connection.execute(CHOSEN.format(placed=self._run.placed), values).fetchnumpy()
        sids, kept = np.asarray(rows["sid"], np.int64), np.asarray(rows["kept"], bool)
        order = np.argsort(sids)
        sids, kept = sids[order], kept[order]
        config = self._run.settings_of(self._run.placing[-1])
        embedding = Embedding(
            self._run, config.embedding if isinstance(config, Clustered) else None
        )
        vectors = embedding.vectors_of(sids, "image").astype(np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        places = plane.main_directions(vectors)
        places /= max(float(np.abs(places).max(initial=0)), np.finfo(np.float64).tiny)
        return _Placed(of, sids, kept, places)


def _tiles(found: _Placed, box: tuple[float, float, float, float]) -> list[dict[str, Any]]:
    """The tiles of a box that hold samples, from its top left on; each sample by itself where there are few."""
    left, top, right, bottom = box
    x, y = found.places.T
    inside = np.flatnonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))
    if len(inside) <= SINGLE:
        own = np.arange(len(inside))
    else:
        across, down = (
            np.minimum((TILES * (at[inside] - low) / (high - low)).astype(np.int64), TILES - 1)
            for at, low, high in ((x, left, right), (y, top, bottom))
        )
        own = down * TILES + across
    numbers, first, tile, count = np.unique(
        own, return_index=True, return_inverse=True, return_counts=True
    )
    kept = np.bincount(tile, found.kept[inside], len(numbers)).astype(np.int64)
    means = [np.bincount(tile, at[inside], len(numbers)) / count for at in (x, y)]
    sids = found.sids[inside][first]
    columns = (sids.tolist(), count.tolist(), kept.tolist(), *(mean.tolist() for mean in means))
    return [
        {"sid": str(sid), "samples": samples, "kept": kept, "x": across, "y": down}
        for sid, samples, kept, across, down in zip(*columns, strict=True)
    ]


def _cluster(written: str) -> int:
    if not (written.isdecimal() and len(written) < 10):
        raise InputError(f"`cluster` is `{written[:40]}`: a concept's number is needed")
    return int(written)


def _box(written: str) -> tuple[float, float, float, float]:
    try:
        left, top, right, bottom = map(float, written.split(","))
    except ValueError:
        left = top = right = bottom = float("nan")
    if not (left < right and top < bottom and np.isfinite([left, top, right, bottom]).all()):
        raise InputError(f"`box` is `{written[:80]}`: left, top, right and bottom are needed")
    return left, top, right, bottom
