"""Task functions of `index`: vectors dealt out by concept, and the recall of a search among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms import nearest, order
from tamis.pipeline.algorithms.arrays import Float32Array, Float64Array, Int64Array
from tamis.pipeline.algorithms.clusters import recall
from tamis.pipeline.steps.concepts import clustering
from tamis.pipeline.steps.shared.exchange import split
from tamis.pipeline.tables.columns import uid_words, vectors
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.tables import UID

NEIGHBOURS = 10
"""Of each query: recall is the share of these that a search finds."""


@dataclass(frozen=True)
class Lists:
    """Arguments of ``lay_out``."""

    clusters: int
    lists: int


@dataclass(frozen=True)
class Drawing:
    """Arguments of ``draw``."""

    seed: int
    below: int  # the bound that hashes stay at or below


@dataclass(frozen=True)
class Taking:
    """Arguments of ``take``."""

    wanted: int


def lay_out(io: TaskIo[Lists]) -> Iterator[pa.Table]:
    """(sid, uid, cluster, distance, vector) of one part's embedded samples; neighbouring concepts share a list."""
    uids = io.read("ingest", ["uid"])["uid"].combine_chunks()
    assigned = io.read("assigned").combine_chunks()
    embedded = io.read("embedding", ["row", "image"]).combine_chunks()
    row, cluster = assigned["row"].to_numpy(), assigned["cluster"].to_numpy()
    at = np.searchsorted(embedded["row"].to_numpy(), row)
    table = pa.table(
        {
            "sid": sids_of(io.part, row),
            "uid": uids.take(pa.array(row)),
            "cluster": cluster,
            "distance": np.float32(1) - assigned["similarity"].to_numpy(),
            "vector": embedded["image"].combine_chunks().take(pa.array(at)),
        }
    )
    lists = io.args.lists
    yield from split(table, cluster.astype(np.int64) * lists // io.args.clusters, lists)


def draw(io: TaskIo[Drawing]) -> Iterator[pa.Table]:
    """(hash, uid, vector) of the living samples of one part whose hash is below the bound."""
    embedded = io.read("embedding", ["row", "image"]).combine_chunks()
    row = embedded["row"].to_numpy()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(row))
    hashes = order.hashed(uid_words(uid), io.args.seed, "index")
    chosen = pa.array(np.flatnonzero(io.living_mask()[row] & (hashes <= np.uint64(io.args.below))))
    columns = {"hash": pa.array(hashes), "uid": uid, "vector": embedded["image"].combine_chunks()}
    yield pa.table({name: column.take(chosen) for name, column in columns.items()})


def take(io: TaskIo[Taking]) -> Iterator[pa.Table]:
    """(uid, vector) of the queries: those of the smallest hashes."""
    table = io.read("drawn").combine_chunks()
    count = min(io.args.wanted, table.num_rows)
    rows = order.smallest(table["hash"].to_numpy(), uid_words(table["uid"]), count)
    yield table.drop_columns(["hash"]).take(pa.array(rows))


def neighbours(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(query, uid, cosine, cluster): the nearest of each query in a bundle, all in the table of its last part."""
    queries = io.read("queries").combine_chunks()
    looked_for, own = _unit(vectors(queries["vector"])), uid_words(queries["uid"])
    best = [_Neighbours.none() for _ in looked_for]
    for position, part in enumerate(io.parts()):
        if position:  # the table of the part before
            yield _as_table([])
        words, rows, cluster = _assigned(part)
        for number, found in enumerate(recall.near(rows, looked_for, NEIGHBOURS + 1)):
            others = found[(words[found] != own[number]).any(axis=1)]
            cosines = nearest.cosines(rows[others], looked_for[number])
            best[number] = best[number].with_others(words[others], cosines, cluster[others])
    yield _as_table(best)


def _assigned(
    part: TaskIo[None],
) -> tuple[npt.NDArray[np.uint64], Float32Array, npt.NDArray[np.integer]]:
    """The uids, (n, 2), vectors and concepts of one part's embedded samples."""
    assigned = part.read("assigned").combine_chunks()
    embedded = part.read("embedding", ["row", "image"]).combine_chunks()
    uids = part.read("ingest", ["uid"])["uid"].combine_chunks()
    row = assigned["row"].to_numpy()
    at = np.searchsorted(embedded["row"].to_numpy(), row)
    rows = vectors(embedded["image"])[at].astype(np.float32)
    return uid_words(uids.take(pa.array(row))), rows, assigned["cluster"].to_numpy()


def _as_table(best: Sequence[_Neighbours]) -> pa.Table:
    counts = [len(found.cosine) for found in best]
    every = [_Neighbours.none(), *best]
    raw = pa.py_buffer(np.concatenate([found.uids for found in every]).astype(">u8").tobytes())
    return pa.table(
        {
            "query": pa.array(np.repeat(np.arange(len(best)), counts), pa.int32()),
            "uid": pa.FixedSizeBinaryArray.from_buffers(UID, sum(counts), [None, raw]),
            "cosine": np.concatenate([found.cosine for found in every]),
            "cluster": np.concatenate([found.cluster for found in every]),
        }
    )


def measure(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(probes, recall): the share of the queries' nearest that lie in their so many nearest concepts."""
    found = io.read("neighbours").combine_chunks()
    queries = _unit(vectors(io.read("queries", ["vector"])["vector"]))
    (piece,) = io.slices("centroids")
    centroids = clustering.centroids(io.root, piece)
    of, words = found["query"].to_numpy(), uid_words(found["uid"])
    cosine, cluster = found["cosine"].to_numpy(), found["cluster"].to_numpy()
    ranks: list[Int64Array] = []
    for number, query in enumerate(queries):
        own = np.flatnonzero(of == number)
        best = _Neighbours.none().with_others(words[own], cosine[own], cluster[own])
        ranks.append(recall.ranks(centroids, query)[best.cluster])
    probes, shares = recall.curve(np.concatenate(ranks), len(centroids))
    yield pa.table({"probes": pa.array(probes), "recall": pa.array(shares)})


@dataclass(frozen=True)
class _Neighbours:
    """The nearest samples to one query, NEIGHBOURS at most: the nearest first, equally near ones by uid."""

    uids: npt.NDArray[np.uint64]  # (n, 2)
    cosine: Float64Array  # (n,)
    cluster: Int64Array  # (n,)

    @staticmethod
    def none() -> _Neighbours:
        return _Neighbours(np.empty((0, 2), np.uint64), np.empty(0), np.empty(0, np.int64))

    def with_others(
        self,
        uids: npt.NDArray[np.uint64],
        cosine: Float64Array,
        cluster: npt.NDArray[np.integer],
    ) -> _Neighbours:
        uids = np.concatenate([self.uids, uids])
        cosine = np.concatenate([self.cosine, cosine])
        clusters = np.concatenate([self.cluster, cluster.astype(np.int64)])
        first = np.lexsort((uids[:, 1], uids[:, 0], -cosine))[:NEIGHBOURS]
        return _Neighbours(uids[first], cosine[first], clusters[first])


def _unit(rows: npt.NDArray[np.floating]) -> Float32Array:
    wide = rows.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide.astype(np.float32)
