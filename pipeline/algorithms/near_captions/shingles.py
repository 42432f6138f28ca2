"""Normalised captions as sets of shingles: cut into n-grams and hashed, many texts at once.

The shingles of many texts are one flat array with offsets, as in a CSR matrix: those of text `i` are
`hashes[offsets[i]:offsets[i + 1]]`. No shingle is a Python object.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import xxhash

from tamis.pipeline.algorithms.arrays import Int64Array, UInt64Array
from tamis.pipeline.algorithms.hashing import mix64

_BASE = np.uint64(0x9E3779B97F4A7C15)
_LENGTH = np.uint64(0xD6E8FEB86659FD93)
_SPACE = 32
_CHARACTERS_AT_ONCE = 1 << 15
# Sets are sorted by length, which wants more texts at once.
_CHARACTERS_OF_SETS = 1 << 17


@dataclass(frozen=True)
class Ngram:
    """Unit and size of a shingle: `size` neighbouring characters or words."""

    unit: Literal["char", "word"] = "char"
    size: int = 3

    def __post_init__(self) -> None:
        if self.unit not in ("char", "word"):
            raise ValueError(f"n-gram unit {self.unit!r}; give 'char' or 'word'")
        if self.size < 1:
            raise ValueError(f"n-gram size {self.size}; give 1 or more")


@dataclass(frozen=True)
class Shingles:
    """Hashed shingles of n texts: hashes uint64 (m,), offsets int64 (n + 1,)."""

    hashes: UInt64Array
    offsets: Int64Array

    @property
    def sizes(self) -> Int64Array:
        """Number of shingles of each text: int64 (n,)."""
        return np.diff(self.offsets)


def text_keys(texts: Sequence[str]) -> UInt64Array:
    """Keys of n texts, xxh3 of their UTF-8 bytes: uint64 (n,), equal for equal texts.

    Any two of n distinct texts share a key with probability about n^2 / 2^65: 0.5 % at 440 million.
    """
    digest = xxhash.xxh3_64_intdigest
    keys = (digest(text.encode("utf-8", "surrogatepass")) for text in texts)
    return np.fromiter(keys, np.uint64, len(texts))


def shingles(texts: Sequence[str], ngram: Ngram) -> Shingles:
    """Cut normalised texts into n-grams and hash them.

    A text shorter than the n-gram has one shingle, the whole text; an empty text has none. Shingles have the order of
    the text and its repetitions.

    Args:
        texts: n texts, by `folding.normalise` (single spaces between words).
        ngram: unit and size of a shingle.
    """
    shingle = _char_shingles if ngram.unit == "char" else _word_shingles
    # Blocks that stay in the cache are several times as fast as one pass over all texts.
    parts = text_blocks(texts, _CHARACTERS_AT_ONCE)
    return _joined([shingle(texts[part], ngram.size) for part in parts])


def shingle_sets(texts: Sequence[str], ngram: Ngram) -> Shingles:
    """Shingle sets of normalised texts: as `shingles`, but each text's hashes are sorted, unique and below 2**63.

    Below 2**63 they are valid signed indices too, for `jaccard.pairs`.
    """
    parts = text_blocks(texts, _CHARACTERS_OF_SETS)
    return _joined([_as_sets(shingles(texts[part], ngram)) for part in parts])


def _as_sets(grams: Shingles) -> Shingles:
    """Each text's hashes halved, sorted and once."""
    ordered = np.empty_like(grams.hashes)
    first = np.zeros(len(grams.hashes), dtype=bool)
    for rows, width in length_chunks(grams.sizes, 1 << 16):
        column = np.arange(width)
        position = grams.offsets[rows, None] + column
        inside = column < grams.sizes[rows, None]
        padded = np.full(position.shape, np.uint64(2**63), dtype=np.uint64)
        padded[inside] = grams.hashes[position[inside]] >> np.uint64(1)
        padded.sort(axis=1)
        new = np.ones_like(inside)
        new[:, 1:] = padded[:, 1:] != padded[:, :-1]
        ordered[position[inside]] = padded[inside]
        first[position[inside]] = new[inside]
    unique_before = np.concatenate([[0], np.cumsum(first, dtype=np.int64)])
    return Shingles(hashes=ordered[first], offsets=unique_before[grams.offsets])


def _joined(blocks: Sequence[Shingles]) -> Shingles:
    """The texts of all blocks."""
    sizes = (block.sizes for block in blocks)
    return Shingles(
        hashes=np.concatenate([np.empty(0, np.uint64), *(block.hashes for block in blocks)]),
        offsets=_offsets(np.concatenate([np.empty(0, np.int64), *sizes])),
    )


def text_blocks(texts: Sequence[str], characters: int) -> Iterator[slice]:
    """Yield slices of consecutive texts with at most `characters` characters together, at least one text each."""
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    start = 0
    while start < len(texts):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + characters, side="right"))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start = stop


def length_chunks(sizes: Int64Array, cells: int) -> Iterator[tuple[Int64Array, int]]:
    """Yield rows of like size, so that a padded matrix over them has little padding.

    Args:
        sizes: int64 (n,), number of items of each row; rows without items are left out.
        cells: most cells of a chunk, unless it has one row.

    Yields:
        (rows int64 (k,), width): k rows and the largest of their sizes.
    """
    order = np.argsort(-sizes, kind="stable")
    order = order[: int(np.count_nonzero(sizes))]
    start = 0
    while start < len(order):
        width = int(sizes[order[start]])
        stop = start + max(1, cells // width)
        yield order[start:stop], width
        start = stop


def _offsets(sizes: Int64Array) -> Int64Array:
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def _codes(texts: Sequence[str]) -> tuple[UInt64Array, Int64Array]:
    """Code points of all texts, one flat uint64 array, and the length of each text, int64 (n,)."""
    flat = "".join(texts).encode("utf-32-le", "surrogatepass")
    lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
    return np.frombuffer(flat, dtype="<u4").astype(np.uint64), lengths


def _char_shingles(texts: Sequence[str], size: int) -> Shingles:
    codes, lengths = _codes(texts)
    return _windows(codes, lengths, size)


def _word_shingles(texts: Sequence[str], size: int) -> Shingles:
    nonempty = np.array([bool(text) for text in texts], dtype=bool)
    if not nonempty.any():
        return Shingles(np.empty(0, np.uint64), np.zeros(len(texts) + 1, np.int64))
    # Joined by spaces, the texts are one sequence of words: a text ends where a word ends.
    codes, _ = _codes([" ".join(text for text in texts if text)])
    stops = np.append(np.flatnonzero(codes == _SPACE), len(codes))
    starts = np.concatenate([[0], stops[:-1] + 1])
    ends = np.cumsum([len(text) + 1 for text in texts if text]) - 1
    counts = np.zeros(len(texts), dtype=np.int64)
    counts[nonempty] = np.diff(np.searchsorted(stops, ends) + 1, prepend=0)
    # The hash of a word is a polynomial: a difference of two running sums, shifted back to power 0.
    powers, inverse = _powers(1 << len(codes).bit_length())
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes * powers[: len(codes)])])
    words = (running[stops] - running[starts]) * inverse[starts]
    # The length distinguishes words that end in a code of zero.
    words += (stops - starts).astype(np.uint64) * _LENGTH
    return _windows(mix64(words), counts, size)


@lru_cache(maxsize=4)
def _powers(count: int) -> tuple[UInt64Array, UInt64Array]:
    """Powers of the base and of its inverse modulo 2**64: two uint64 (count,)."""
    inverse = np.uint64(pow(int(_BASE), -1, 2**64))
    tables = [np.full(count, factor, dtype=np.uint64) for factor in (_BASE, inverse)]
    for table in tables:
        table[0] = 1
    return np.cumprod(tables[0]), np.cumprod(tables[1])


def _windows(items: UInt64Array, lengths: Int64Array, size: int) -> Shingles:
    """Hash each window of `size` neighbouring items of a text, or the whole of a shorter text."""
    count = np.where(lengths > 0, np.maximum(lengths - size + 1, 1), 0)
    offsets = _offsets(count)
    starts = np.cumsum(lengths) - lengths
    short = np.flatnonzero((lengths > 0) & (lengths < size))
    rolled = _roll(items, size)
    keep = np.ones(len(items), dtype=bool)
    ends = np.cumsum(lengths)
    for back in range(1, size):
        # The last size - 1 items of a text start no window, but for a short text's first.
        keep[np.maximum(ends - back, starts)[lengths > 0]] = False
    keep[starts[short]] = True
    hashes = rolled[keep]
    for row in short:
        hashes[offsets[row]] = _roll(items[starts[row] : ends[row]], int(lengths[row]))[0]
    return Shingles(hashes=hashes, offsets=offsets)


def _roll(items: UInt64Array, size: int) -> UInt64Array:
    """Hash the window that starts at each item; the last size - 1 hashes are 0."""
    length = max(len(items) - size + 1, 0)
    rolled = np.zeros(len(items), dtype=np.uint64)
    window = rolled[:length]
    # The size is part of the hash, so that a short text never equals a window of a longer one.
    window += np.uint64(size)
    for shift in range(size):
        window *= _BASE
        window += items[shift : shift + length]
    # One round spreads every item over the upper half, from which the signatures draw.
    window ^= window >> np.uint64(32)
    window *= np.uint64(0xBF58476D1CE4E5B9)
    window ^= window >> np.uint64(29)
    return rolled
