"""The phases of near_duplicates that move captions: each function makes one part file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.near_captions import (
    folding,
    search,
    segmentation,
    shingles,
)
from tamis.pipeline.algorithms.near_captions.agreement import (
    Agreement,
    AnyPicture,
    EmbeddingAgreement,
    PhashAgreement,
)
from tamis.pipeline.algorithms.near_pictures import layouts
from tamis.pipeline.algorithms.near_pictures.search import Pictures as Alike
from tamis.pipeline.steps.duplicates.edges import edges as edge_table
from tamis.pipeline.steps.duplicates.near_captions import giants
from tamis.pipeline.steps.duplicates.near_captions.meeting import Ngram, memberships
from tamis.pipeline.steps.duplicates.reading import preference
from tamis.pipeline.steps.shared.exchange import bucket_of, split
from tamis.pipeline.tables.columns import byte_rows, uid_words, vectors
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks.task import TaskIo

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Texts:
    """Arguments of ``texts``."""

    buckets: int
    pictures: bool  # whether hashes and layouts of pictures travel along
    prefer: str
    fold: Sequence[folding.Fold]
    segmented_by: str | None = None  # the version of what cuts captions into words; None: blanks do


@dataclass(frozen=True)
class Pictures:
    """Arguments of ``equal``: how pictures are compared."""

    agree: str  # as the job has it: none, phash, embedding
    hamming: int | None = None  # bits; of `phash`, as the next
    difference: float = 0.0
    cosine: float | None = None  # of `embedding`


@dataclass(frozen=True, kw_only=True)
class Members(Pictures):
    """Arguments of ``members``."""

    buckets: int


@dataclass(frozen=True, kw_only=True)
class Similar(Pictures):
    """Arguments of ``similar``."""

    ngram: Ngram
    jaccard: float  # of an edge, at least


def texts(io: TaskIo[Texts]) -> Iterator[pa.Table]:
    """(key, sid, uid, preference, text[, phash, layout, pixels][, vector]) of a part's living captions."""
    columns = ["uid", "text", "width", "height"] + ["phash", "layout", "pixels"] * io.args.pictures
    table = io.read("ingest", columns).combine_chunks()
    rows = io.living_rows()
    if "embedding" in io.task.inputs:
        embedded = io.read("embedding", ["row", "image"]).combine_chunks()
        rows = np.intersect1d(rows, embedded["row"].to_numpy(), assume_unique=True)
    captions = folding.normalise(table["text"].take(pa.array(rows)).to_pylist(), io.args.fold)
    if io.args.segmented_by is not None:
        captions = [segmentation.segmented(caption) for caption in captions]
    usable = np.array([bool(caption) for caption in captions], dtype=bool)
    if io.args.pictures:  # a sample without a picture agrees with none
        usable &= table["phash"].is_valid().to_numpy()[rows]
    captions = list(compress(captions, usable))
    rows = rows[usable]
    table = table.take(pa.array(rows))
    key = shingles.text_keys(captions)
    made: dict[str, Any] = {
        "key": key,
        "sid": sids_of(io.part, rows),
        "uid": table["uid"].combine_chunks(),
        "preference": preference(io, io.args.prefer, table, rows),
        "text": pa.array(captions, pa.large_string()),
    }
    if io.args.pictures:
        made |= {name: table[name].combine_chunks() for name in ("phash", "layout")}
        made["pixels"] = uid_words(table["pixels"])[:, 0]
    if "embedding" in io.task.inputs:
        at = np.searchsorted(embedded["row"].to_numpy(), rows)
        made["vector"] = embedded["image"].take(pa.array(at)).combine_chunks()
    yield from split(pa.table(made), bucket_of(key, io.args.buckets), io.args.buckets)


def _agreement(pictures: Pictures, table: pa.Table) -> Agreement:
    """The comparison of the pictures of ``table``."""
    if pictures.hamming is not None:
        hashes, pixels = (table[name].to_numpy() for name in ("phash", "pixels"))
        rows = byte_rows(table["layout"])
        return PhashAgreement(Alike(hashes, rows, pictures.hamming, pictures.difference, pixels))
    if pictures.cosine is not None:
        embeddings = vectors(table["vector"])
        return EmbeddingAgreement(lambda rows: embeddings[rows], pictures.cosine)
    return AnyPicture()


def _edges(io: TaskIo[Any], table: pa.Table, pairs: search.Edges, agreement: Agreement) -> pa.Table:
    """Edges among the rows of ``table``, with what is needed of both ends, and the ``difference`` of any layouts."""
    io.count(unsearched=pairs.unsearched, same=int(pairs.same.sum()))
    values = {"jaccard": pairs.jaccard, "agree": pairs.agree}
    if isinstance(agreement, PhashAgreement):
        pictures = agreement.pictures
        values["difference"] = layouts.difference(pictures.layouts, pairs.a, pairs.b)
    return edge_table(table, pairs.a, pairs.b, same=pairs.same, **values)


def _held(pictures: Pictures) -> int:
    """Samples of a bucket that are held at once."""
    return giants.HELD_ROWS if pictures.cosine is None else giants.HELD_VECTORS


def equal(io: TaskIo[Pictures]) -> Iterator[pa.Table]:
    """Edges among samples with the same normalised caption."""
    picture = {"phash": ["phash", "layout", "pixels"], "embedding": ["vector"]}.get(
        io.args.agree, []
    )
    columns = ["key", "sid", "uid", "preference", *picture]
    agreeing = partial(_agreement, io.args)
    if giants.is_large(io, _held(io.args)):
        for share, found in giants.equal(io, columns, agreeing, _held(io.args)):
            yield _edges(io, share, found, agreeing(share))
        return
    table = io.read("texts", columns).combine_chunks()
    agreement = agreeing(table)
    pairs = search.equal(table["key"].to_numpy(), giants.rank(table), agreement)
    yield _edges(io, table, pairs, agreement)


def members(io: TaskIo[Members]) -> Iterator[pa.Table]:
    """One bucket's candidates with what ``similar`` needs, and the groups that each is in, by bucket of groups."""
    caption, group = memberships(io, "alike")
    every = np.unique(caption)
    agreeing = partial(_agreement, io.args)
    if giants.is_large(io, _held(io.args)):
        table = giants.nodes(io, every, agreeing, _held(io.args))
    else:
        table = io.read("texts").combine_chunks()
        table = table.take(pa.array(_rows_of(table["key"].to_numpy(), every)))
    keys = table["key"].to_numpy()
    chosen = search.representatives(keys, giants.rank(table), agreeing(table))
    _, starts = np.unique(keys[chosen], return_index=True)
    pictures_of = np.diff(starts, append=len(chosen))
    buckets = io.args.buckets
    home = bucket_of(group, buckets)
    for bucket in range(buckets):
        here = home == bucket
        met, first, count = np.unique(caption[here], return_index=True, return_counts=True)
        met = np.searchsorted(every, met)
        # Every picture of a caption is in all groups of the caption.
        pictures = pictures_of[met]
        rows = chosen[_ranges(starts[met], pictures)]
        lists = _ranges(np.repeat(first, pictures), np.repeat(count, pictures))
        offsets = np.concatenate([[0], np.cumsum(np.repeat(count, pictures))])
        groups = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(group[here][lists]))
        yield table.take(pa.array(rows)).append_column("groups", groups)


def _rows_of(keys: Hashes, captions: Ints) -> Ints:
    """Rows whose key is among ``captions``, which are positions among the sorted distinct keys."""
    order = np.argsort(keys)
    ordered = keys[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    wanted = np.zeros(int(new.sum()), dtype=bool)
    wanted[captions] = True
    return np.sort(order[wanted[np.cumsum(new) - 1]])


def _ranges(starts: Ints, counts: Ints) -> Ints:
    """start, start + 1, ... for each start, as many as its count, one after another."""
    skipped = np.cumsum(counts) - counts
    positions: Ints = np.arange(int(counts.sum())) + np.repeat(starts - skipped, counts)
    return positions


def similar(io: TaskIo[Similar]) -> Iterator[pa.Table]:
    """Edges among samples of a group whose captions differ and are alike enough."""
    table = io.read("members").combine_chunks()
    groups = table["groups"].combine_chunks()
    member = np.repeat(np.arange(len(groups)), np.diff(groups.offsets.to_numpy()))
    _, first, caption = np.unique(table["key"].to_numpy(), return_index=True, return_inverse=True)
    captions = table["text"].take(pa.array(first)).to_pylist()
    agreement = _agreement(io.args, table)
    pairs = search.similar(
        groups.flatten().to_numpy(),
        member,
        caption,
        giants.rank(table),
        shingles.shingle_sets(captions, shingles.Ngram(*io.args.ngram)),
        io.args.jaccard,
        agreement,
    )
    yield _edges(io, table, pairs, agreement)
