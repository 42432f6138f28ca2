"""The work of the near-duplicates step, phase by phase: each function makes one part file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.hashing import mix64
from tamis.pipeline.algorithms.near_captions import (
    folding,
    search,
    segmentation,
    shingles,
    sketch_filter,
)
from tamis.pipeline.algorithms.near_captions.agreement import (
    Agreement,
    AnyPicture,
    EmbeddingAgreement,
    PhashAgreement,
)
from tamis.pipeline.algorithms.near_captions.minhash import Kernel, Scheme
from tamis.pipeline.algorithms.near_captions.minhash import bands as banded
from tamis.pipeline.algorithms.near_pictures import layouts
from tamis.pipeline.algorithms.near_pictures.search import Pictures as Alike
from tamis.pipeline.steps.duplicates.edges import edges as edge_table
from tamis.pipeline.steps.duplicates.near_captions import giants
from tamis.pipeline.steps.duplicates.reading import preference
from tamis.pipeline.steps.shared import passes
from tamis.pipeline.steps.shared.exchange import bucket_of, split
from tamis.pipeline.tables.columns import byte_rows, uid_words, vectors
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks.task import TaskIo

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Ngram = tuple[Literal["char", "word"], int]
"""Its unit and size, see ``shingles.Ngram``."""

BLOCK = 1 << 16
"""Captions whose signatures are held at once."""


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


@dataclass(frozen=True)
class Bands:
    """Arguments of ``bands``."""

    ngram: Ngram
    bands: tuple[int, int]  # how many, and the rows of each
    kernel: Kernel
    seed: int
    each: int  # bands a bucket
    parts: int  # buckets a band, where it has several


@dataclass(frozen=True)
class Shared:
    """Arguments of ``shared``."""

    each: int  # bands a bucket
    parts: int  # buckets a band, where it has several
    bands: int
    most: int  # bits in which sketches may differ
    texts: int  # buckets of captions


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


def bands(io: TaskIo[Bands]) -> Iterator[pa.Table]:
    """(home, caption, bits, keys) of one bucket's distinct captions, by bucket of bands.

    ``home`` is the bucket, and a caption its position among the bucket's sorted keys; ``bits`` its sketch; ``keys``
    those of ``each`` bands, 32 bits of each.
    """
    captions = _distinct_captions(io)
    io.count(samples=passes.rows_of(io, "texts"), captions=len(captions))
    count, width = io.args.bands
    ngram = shingles.Ngram(*io.args.ngram)
    scheme = Scheme(ngram, count, width, io.args.seed, io.args.kernel)
    keys = np.empty((count, len(captions)), dtype=np.uint64)
    bits = np.empty((len(captions), sketch_filter.WORDS), dtype=np.uint64)
    for start in range(0, len(captions), BLOCK):
        part = slice(start, start + BLOCK)
        sketches = scheme.signatures(captions[part].to_pylist())
        keys[:, part] = banded(sketches, count, width).T
        bits[part] = sketch_filter.sketch_bits(sketches)
    each, parts = io.args.each, io.args.parts
    positions = np.arange(len(captions), dtype=np.uint32)
    home = np.full(len(captions), io.task.number, np.int32)
    for start in range(0, count, each):
        together = keys[start : start + each]
        columns = {
            "home": pa.array(home),
            "caption": _raw(positions[:, None]),
            "bits": _raw(bits.view("<u4"), 2 * sketch_filter.WORDS),
            "keys": _raw(together.astype(np.uint32).T, each),
        }
        # A bucket holds several bands only where it holds them whole.
        yield from split(pa.table(columns), bucket_of(together[0], parts), parts)


def _distinct_captions(io: TaskIo[Bands]) -> pa.ChunkedArray:
    """Each caption of a bucket once, in the order of their keys."""
    if giants.is_large(io, giants.HELD_ROWS):
        return giants.distinct(io, giants.HELD_ROWS)["text"]
    table = io.read("texts", ["key", "text"]).combine_chunks()
    first = np.unique(table["key"].to_numpy(), return_index=True)[1]
    return table["text"].take(pa.array(first))


def shared(io: TaskIo[Shared]) -> Iterator[pa.Table]:
    """(caption, group) of the captions of one bucket of bands that may be like another, by bucket of captions.

    A pair has the same group in whichever band it meets.
    """
    table = io.read("bands")
    caption, keys = _numbers(table["caption"])[:, 0], _numbers(table["keys"])
    bits = _numbers(table["bits"]).view("<u8")
    home = table["home"].to_numpy()
    address = (home.astype(np.uint64) << np.uint64(32)) | caption
    first = io.task.number // io.args.parts * io.args.each
    candidates = [
        _candidates(keys[:, band], bits, address, io.args.most, io.task.number << 16 | band)
        for band in range(min(keys.shape[1], io.args.bands - first))
    ]
    who, group = (np.concatenate(column) for column in zip(*candidates, strict=True))
    io.count(candidates=len(who))
    out = pa.table({"caption": caption[who], "group": group})
    yield from split(out, home[who].astype(np.int64), io.args.texts)


def _candidates(
    keys: npt.NDArray[np.uint32], bits: Hashes, address: Hashes, most: int, number: int
) -> tuple[Ints, Hashes]:
    """(position, group) of the candidates under one band's keys; ``number`` is unique to them."""
    met = sketch_filter.candidates(keys, bits, most)
    of_pair = _group_of(*np.sort([address[met.a], address[met.b]], axis=0))
    groups = np.arange(len(met.groups.sizes), dtype=np.uint64)
    # The first bit keeps them apart from pairs of addresses, which are below.
    of_group = _group_of(np.full_like(groups, number | 1 << 63), groups)
    who = np.concatenate([met.a, met.b, met.groups.members])
    return who, np.concatenate([of_pair, of_pair, np.repeat(of_group, met.groups.sizes)])


def _raw(numbers: npt.NDArray[np.uint32], columns: int = 1) -> pa.Array:
    """(n, k) as n values of ``columns`` numbers each, the missing ones 0: written as they are."""
    filled = np.zeros((len(numbers), columns), dtype="<u4")
    filled[:, : numbers.shape[1]] = numbers
    kind = pa.binary(4 * columns)
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(filled), [None, pa.py_buffer(filled)])


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.uint32]:
    """The inverse of ``_raw``."""
    array = column.combine_chunks()
    width = array.type.byte_width // 4
    if not len(array):
        return np.empty((0, width), dtype=np.uint32)
    numbers = np.frombuffer(array.buffers()[1], dtype="<u4").reshape(-1, width)
    return numbers[array.offset : array.offset + len(array)]


def _group_of(high: Hashes, low: Hashes) -> Hashes:
    return mix64(mix64(high + np.uint64(1)) ^ low)


def members(io: TaskIo[Members]) -> Iterator[pa.Table]:
    """One bucket's candidates with what ``similar`` needs, and the groups that each is in, by bucket of groups."""
    candidates = io.read("shared")
    caption, group = _distinct(candidates["caption"].to_numpy(), candidates["group"].to_numpy())
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


def _distinct(caption: npt.NDArray[np.uint32], group: Hashes) -> tuple[Ints, Hashes]:
    """Each pair once, sorted."""
    order = np.lexsort((group, caption))
    position: Ints = caption[order].astype(np.int64)
    group = group[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (position[1:] != position[:-1]) | (group[1:] != group[:-1])
    return position[new], group[new]


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
