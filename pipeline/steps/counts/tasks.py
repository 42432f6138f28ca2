"""The tasks of `counts`.

What travels is a row for each different key of a part, and back comes only what other parts have too: a caption that
stands in every part costs a row a part, however many samples have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from tamis.pipeline.algorithms import boilerplate, order
from tamis.pipeline.algorithms.exclusion.addresses import host_of, same_url
from tamis.pipeline.algorithms.near_captions.folding import normalise
from tamis.pipeline.steps.counts import shapes
from tamis.pipeline.steps.counts.config import BOILERPLATE, CAPTION, DOMAIN, OF_SHAPES, URL
from tamis.pipeline.steps.shared.exchange import bucket_of, split, split_by_range
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.tables import UID

WWW = "www."
"""What a host begins with that says nothing: it is left out."""


@dataclass(frozen=True)
class Keys:
    """Arguments of ``keys``."""

    names: Sequence[str]
    buckets: int


@dataclass(frozen=True)
class Totals:
    """Arguments of ``totals``."""

    starts: Sequence[int]  # the first sid of each range


@dataclass(frozen=True)
class Drawing:
    """Arguments of ``draw``."""

    seed: int
    below: int  # the bound that hashes stay at or below


@dataclass(frozen=True)
class Finding:
    """Arguments of ``frequent``."""

    sample: int
    words: int
    most: int
    least: float


@dataclass(frozen=True)
class Wanted:
    """Arguments of ``values``."""

    signals: Mapping[str, str]  # what is counted, or boilerplate -> the signal's name
    words: int
    first: int  # number of the range's first part


def keys(io: TaskIo[Keys]) -> Iterator[pa.Table]:
    """(key, sid, count) of one part: each different key with its living samples; ``sid`` is the part's first."""
    counts = Counter[bytes]()
    for of_samples in _keys(_living(io), io.args.names).values():
        counts.update(key for key in of_samples if key is not None)
    ordered = sorted(counts)
    table = pa.table(
        {
            "key": pa.array(ordered, UID),
            "sid": pa.array(np.full(len(ordered), np.int64(io.part) << 32)),
            "count": pa.array([counts[key] for key in ordered], pa.int64()),
        }
    )
    head = np.array([int.from_bytes(key[:8], "big") for key in ordered], dtype=np.uint64)
    yield from split(table, bucket_of(head, io.args.buckets), io.args.buckets)


def _living(io: TaskIo[Any]) -> pa.Table:
    return io.read("ingest", ["uid", "text", "url"]).take(pa.array(io.living_rows()))


def _keys(table: pa.Table, names: Sequence[str]) -> dict[str, list[bytes | None]]:
    """For each name the keys of the samples, 128 bits; None where one has nothing to count."""
    return {
        name: [_key(name, text) if text else None for text in _counted(table, name)]
        for name in names
    }


def _counted(table: pa.Table, name: str) -> list[str]:
    """The counted value of each sample, in one form; "" for none."""
    if name == CAPTION:
        return normalise(table["text"].to_pylist())
    urls = [url or "" for url in table["url"].to_pylist()]
    if name == URL:
        return [same_url(url) for url in urls]
    assert name == DOMAIN, name
    return [host_of(url).removeprefix(WWW) for url in urls]


def _key(name: str, text: str) -> bytes:
    return xxhash.xxh3_128_digest(f"{name}\0{text}".encode())


def totals(io: TaskIo[Totals]) -> Iterator[pa.Table]:
    """(sid, key, total) of a bucket: of each key that more than one part has, a row for each of these."""
    table = io.read("keys").combine_chunks()
    words, count = uid_words(table["key"]), table["count"].to_numpy()
    rows = order.rows_by(words[:, 0], words[:, 1], table["sid"].to_numpy())
    ordered = words[rows]
    new = np.ones(len(rows), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.cumsum(new) - 1
    sums = np.zeros(int(new.sum()), np.int64)
    np.add.at(sums, group, count[rows])
    total = sums[group]
    elsewhere = total > count[rows]
    found = table.select(["sid", "key"]).take(pa.array(rows[elsewhere]))
    found = found.append_column("total", pa.array(total[elsewhere]))
    yield from split_by_range(found, io.args.starts)


def draw(io: TaskIo[Drawing]) -> Iterator[pa.Table]:
    """(hash, uid, text) of the living samples of one part whose hash is below the bound."""
    table = _living(io).select(["uid", "text"]).combine_chunks()
    hashes = order.hashed(uid_words(table["uid"]), io.args.seed, BOILERPLATE)
    chosen = np.flatnonzero(hashes <= np.uint64(io.args.below))
    yield table.add_column(0, "hash", pa.array(hashes)).take(pa.array(chosen))


def frequent(io: TaskIo[Finding]) -> Iterator[pa.Table]:
    """(run, text, captions): the frequent runs of words, the most frequent first."""
    args, table = io.args, io.read("sampled").combine_chunks()
    count = min(args.sample, table.num_rows)
    rows = order.smallest(table["hash"].to_numpy(), uid_words(table["uid"]), count)
    captions = normalise(table["text"].take(pa.array(rows)).to_pylist())
    found = boilerplate.frequent(captions, args.words, args.most, args.least)
    yield pa.table(
        {
            "run": pa.array([run for run, _, _ in found], pa.uint64()),
            "text": pa.array([text for _, text, _ in found], pa.string()),
            "captions": pa.array([captions for _, _, captions in found], pa.int64()),
        }
    )


def values(io: TaskIo[Wanted]) -> Iterator[pa.Table]:
    """``row`` and the signals of a range's living samples, a table a part."""
    args = io.args
    odd = [name for name in args.signals if name in OF_SHAPES]
    names = [name for name in args.signals if name != BOILERPLATE and name not in odd]
    usual = shapes.known(io.read("usual")) if odd else {}
    known: frozenset[int] = frozenset()
    if BOILERPLATE in args.signals:
        known = frozenset(io.read("frequent", ["run"])["run"].to_pylist())
    elsewhere = _Elsewhere(io.read("totals")) if names else None
    for number, one in enumerate(io.parts()):
        table = _living(one)
        columns: dict[str, pa.Array] = {}
        totals_here = elsewhere.of(args.first + number) if elsewhere else {}
        for name, of_samples in _keys(table, names).items():
            here = Counter(of_samples)
            found = [None if key is None else totals_here.get(key, here[key]) for key in of_samples]
            columns[args.signals[name]] = pa.array(found, pa.int64())
        if BOILERPLATE in args.signals:
            columns[args.signals[BOILERPLATE]] = _shares(table["text"], known, args.words)
        for name, oddness in shapes.oddness(one, odd, usual).items():
            columns[args.signals[name]] = oddness
        yield pa.table({"row": one.living_rows().astype(np.uint32), **columns})


class _Elsewhere:
    """The keys of a range's parts that other parts have too, with their totals."""

    def __init__(self, table: pa.Table) -> None:
        sid = table["sid"].to_numpy()
        rows = np.argsort(sid, kind="stable")
        self._part: npt.NDArray[np.int64] = sid[rows] >> 32
        self._table = table.select(["key", "total"]).take(pa.array(rows))

    def of(self, part: int) -> dict[bytes, int]:
        """Those of one part."""
        start, stop = np.searchsorted(self._part, [part, part + 1])
        own = self._table.slice(start, stop - start)
        return dict(zip(own["key"].to_pylist(), own["total"].to_pylist(), strict=True))


def _shares(texts: pa.ChunkedArray, known: frozenset[int], words: int) -> pa.Array:
    """The share of boilerplate in each caption; null where there is none."""
    captions = normalise(texts.to_pylist())
    shares = [boilerplate.share(caption, known, words) if caption else None for caption in captions]
    return pa.array(shares, pa.float64())
