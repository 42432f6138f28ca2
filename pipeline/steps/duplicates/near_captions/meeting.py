"""The phases of near_duplicates that find out which captions may be alike; no caption moves in them.

A key of each band meets its equals (``bands``, ``shared``). Most meet nobody. Those that do send their sketches after
(``sketches``), which turn most false meetings away (``alike``). What goes home each time is the caption's position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.grouping.buckets import Groups
from tamis.pipeline.algorithms.grouping.buckets import group as grouped
from tamis.pipeline.algorithms.hashing import mix64
from tamis.pipeline.algorithms.near_captions import shingles, sketch_filter
from tamis.pipeline.algorithms.near_captions.minhash import Kernel, Scheme
from tamis.pipeline.algorithms.near_captions.minhash import bands as banded
from tamis.pipeline.algorithms.order import rows_by
from tamis.pipeline.steps.duplicates.near_captions import giants
from tamis.pipeline.steps.shared import passes
from tamis.pipeline.steps.shared.exchange import bucket_of, split
from tamis.pipeline.tasks.task import TaskIo

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Ngram = tuple[Literal["char", "word"], int]
"""Its unit and size, see ``shingles.Ngram``."""

BLOCK = 1 << 16
"""Captions whose signatures are held at once."""

SKETCH = 2 * sketch_filter.WORDS
"""Words of 32 bits in a sketch."""


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
    texts: int  # buckets of captions


@dataclass(frozen=True)
class Sketches:
    """Arguments of ``sketches``."""

    buckets: int


@dataclass(frozen=True)
class Alike:
    """Arguments of ``alike``."""

    most: int  # bits in which sketches may differ
    texts: int  # buckets of captions


def bands(io: TaskIo[Bands]) -> Iterator[pa.Table]:
    """(home, caption, words) of one bucket's distinct captions, by bucket of bands; then their sketches, which stay.

    ``home`` is the bucket, and a caption its position among the bucket's sorted keys; ``words`` the keys of ``each``
    bands, 32 bits of each. Sketches lie in rows of as many words, one behind another.
    """
    captions = _distinct_captions(io)
    io.count(samples=passes.rows_of(io, "texts"), captions=len(captions))
    keys, bits = _keys_and_sketches(captions, io.args)
    each, parts = io.args.each, io.args.parts
    address = _addresses(io.task.number, np.arange(len(captions), dtype=np.uint32))
    for start in range(0, len(keys), each):
        together = keys[start : start + each]
        columns = {**address, "words": _raw(together.astype(np.uint32).T, each)}
        # A bucket holds several bands only where it holds them whole.
        yield from split(pa.table(columns), bucket_of(together[0], parts), parts)
    words = bits.view("<u4").ravel()
    rows = -(-len(words) // each)
    nobody = _addresses(io.task.number, np.zeros(rows, np.uint32))
    yield pa.table({**nobody, "words": _raw(np.resize(words, (rows, each)), each)})


def _keys_and_sketches(captions: pa.ChunkedArray, args: Bands) -> tuple[Hashes, Hashes]:
    """The keys, by band and caption, and the captions' sketches."""
    count, width = args.bands
    scheme = Scheme(shingles.Ngram(*args.ngram), count, width, args.seed, args.kernel)
    keys = np.empty((count, len(captions)), dtype=np.uint64)
    bits = np.empty((len(captions), sketch_filter.WORDS), dtype=np.uint64)
    for start in range(0, len(captions), BLOCK):
        part = slice(start, start + BLOCK)
        signatures = scheme.signatures(captions[part].to_pylist())
        keys[:, part] = banded(signatures, count, width).T
        bits[part] = sketch_filter.sketch_bits(signatures)
    return keys, bits


def _distinct_captions(io: TaskIo[Bands]) -> pa.ChunkedArray:
    """Each caption of a bucket once, in the order of their keys."""
    if giants.is_large(io, giants.HELD_ROWS):
        return giants.distinct(io, giants.HELD_ROWS)["text"]
    table = io.read("texts", ["key", "text"]).combine_chunks()
    first = np.unique(table["key"].to_numpy(), return_index=True)[1]
    return table["text"].take(pa.array(first))


def shared(io: TaskIo[Shared]) -> Iterator[pa.Table]:
    """(caption, group) of the captions of one bucket of bands that share a key with another, by bucket of captions.

    The same captions have the same group in whichever bands they meet.
    """
    table = io.read("bands").combine_chunks()
    keys, address = _numbers(table["words"]), _address(table)
    first = io.task.number // io.args.parts * io.args.each
    who, group = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for band in range(min(keys.shape[1], io.args.bands - first)):
        met = sketch_filter.with_company(keys[:, band])
        who.append(met.members)
        group.append(np.repeat(_group_of(met, address), met.sizes))
    members = np.concatenate(who)
    io.count(met=len(members))
    yield from _sent_home(table, members, np.concatenate(group), io.args.texts)


def sketches(io: TaskIo[Sketches]) -> Iterator[pa.Table]:
    """(home, caption, group, bits) of one bucket's captions that met another, by bucket of groups."""
    caption, group = memberships(io, "shared")
    words = _numbers(io.read("own", ["words"])["words"]).ravel()
    bits = words[: len(words) // SKETCH * SKETCH].reshape(-1, SKETCH)[caption]
    columns = {**_addresses(io.task.number, caption), "group": group, "bits": _raw(bits, SKETCH)}
    yield from split(pa.table(columns), bucket_of(group, io.args.buckets), io.args.buckets)


def alike(io: TaskIo[Alike]) -> Iterator[pa.Table]:
    """(caption, group) of the captions of one bucket of groups whose sketches are similar, by bucket of captions.

    The same captions have the same group from whichever groups they come.
    """
    table = io.read("sketches").combine_chunks()
    address, group = _address(table), table["group"].to_numpy()
    rows = np.arange(len(table))
    groups = grouped(rows, rows, group)
    met = sketch_filter.candidates(groups, _numbers(table["bits"]).view("<u8"), io.args.most)
    io.count(candidates=len(met.members))
    number = np.repeat(_group_of(met, address), met.sizes)
    yield from _sent_home(table, met.members, number, io.args.texts)


def memberships(io: TaskIo[Any], role: str) -> tuple[Ints, Hashes]:
    """(caption, group) of a bucket, each once, sorted: the captions as positions."""
    table = io.read(role).combine_chunks()
    caption, group = table["caption"].to_numpy(), table["group"].to_numpy()
    order = rows_by((caption.astype(np.uint64) << np.uint64(32)) | (group >> np.uint64(32)), group)
    position: Ints = caption[order].astype(np.int64)
    group = group[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (position[1:] != position[:-1]) | (group[1:] != group[:-1])
    return position[new], group[new]


def _sent_home(table: pa.Table, rows: Ints, group: Hashes, buckets: int) -> Iterator[pa.Table]:
    """(caption, group) of some rows, by the bucket of the caption."""
    out = pa.table({"caption": table["caption"].to_numpy()[rows], "group": group})
    yield from split(out, table["home"].to_numpy()[rows].astype(np.int64), buckets)


def _group_of(groups: Groups, address: Hashes) -> Hashes:
    """A number for each group that follows from its members, in any order: uint64."""
    if not len(groups.members):
        return np.empty(0, np.uint64)
    return mix64(
        np.add.reduceat(mix64(address[groups.members] + np.uint64(1)), groups.offsets[:-1])
    )


def _addresses(home: int, caption: npt.NDArray[np.integer[Any]]) -> dict[str, Any]:
    """The columns that say which caption it is, of captions of one bucket."""
    return {
        "home": pa.array(np.full(len(caption), home, np.int32)),
        "caption": pa.array(caption.astype(np.uint32)),
    }


def _address(table: pa.Table) -> Hashes:
    """Bucket and position as one number."""
    home = table["home"].to_numpy().astype(np.uint64)
    address: Hashes = (home << np.uint64(32)) | table["caption"].to_numpy()
    return address


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
