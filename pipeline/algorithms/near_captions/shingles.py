"""Captions as sets of shingles: normalised, cut into n-grams and hashed, many texts at once.

The shingles of many texts are one flat array with offsets, as in a CSR matrix: text `i` owns
`hashes[offsets[i]:offsets[i + 1]]`. Nothing here makes a Python object for a shingle.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import xxhash

from tamis.pipeline.algorithms.arrays import Int64Array, UInt64Array
from tamis.pipeline.algorithms.hashing import mix64

# Unicode's Default_Ignorable_Code_Point, which its NFKC_Casefold leaves out too, but for the tags
# (E0020 to E007F): they tell the flag of Scotland from that of Wales.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e001f\U000e0080-\U000e0fff]+"
)
_BASE = np.uint64(0x9E3779B97F4A7C15)
_LENGTH = np.uint64(0xD6E8FEB86659FD93)
_SPACE = 32
_CHARACTERS_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class Ngram:
    """The piece that a text is cut into: `size` neighbouring characters, or words."""

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
        """How many shingles each text has: int64 (n,)."""
        return np.diff(self.offsets)


def normalise(texts: Sequence[str | None]) -> list[str]:
    """Bring captions to the form in which they are compared.

    Without what no reader sees (zero-width characters, marks of direction, soft hyphens, variation
    selectors), NFKC (full-width forms, ligatures, composed accents), case folded, NFKC again because
    folding can undo it, every run of Unicode white space one space, none at the ends. A null, and a
    caption in which there is nothing to see, becomes "".
    Punctuation and digits stay: `page 1` and `page 2` are two captions.
    """
    return [_normal(text) if text else "" for text in texts]


def _normal(text: str) -> str:
    # ASCII is unchanged by NFKC, and folding it is lowering it: most captions take this way.
    if text.isascii():
        if text.isprintable() and "  " not in text:
            return text.lower().strip(" ")
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def text_keys(texts: Sequence[str]) -> UInt64Array:
    """Key texts by their content, uint64 (n,): equal texts have equal keys.

    xxh3 of the UTF-8 bytes. Among n distinct texts the chance that any two share a key is about
    n^2 / 2^65: 0.5 % at 440 million.
    """
    digest = xxhash.xxh3_64_intdigest
    keys = (digest(text.encode("utf-8", "surrogatepass")) for text in texts)
    return np.fromiter(keys, np.uint64, len(texts))


def shingles(texts: Sequence[str], ngram: Ngram) -> Shingles:
    """Cut normalised texts into n-grams and hash them.

    A text shorter than the n-gram has one shingle, the whole text; an empty one has none.
    Shingles stand in the order of the text and repeat where the text repeats them.

    Args:
        texts: n texts, as `normalise` gives them (words are parted by single spaces).
        ngram: what a shingle is.
    """
    cut = _char_shingles if ngram.unit == "char" else _word_shingles
    # Blocks that stay in the cache are several times as fast as one pass over all texts.
    blocks = [cut(texts[part], ngram.size) for part in text_blocks(texts, _CHARACTERS_AT_ONCE)]
    sizes = [block.sizes for block in blocks]
    return Shingles(
        hashes=np.concatenate([np.empty(0, np.uint64), *(block.hashes for block in blocks)]),
        offsets=_offsets(np.concatenate([np.empty(0, np.int64), *sizes])),
    )


def shingle_sets(texts: Sequence[str], ngram: Ngram) -> Shingles:
    """Like `shingles`, but each text's hashes are sorted, unique and below 2**63.

    Below 2**63 they are valid signed indices too, which `jaccard.pairs` uses.
    """
    cut = shingles(texts, ngram)
    ordered = np.empty_like(cut.hashes)
    first = np.zeros(len(cut.hashes), dtype=bool)
    for rows, width in length_chunks(cut.sizes, 1 << 16):
        column = np.arange(width)
        position = cut.offsets[rows, None] + column
        inside = column < cut.sizes[rows, None]
        padded = np.full(position.shape, np.uint64(2**63), dtype=np.uint64)
        padded[inside] = cut.hashes[position[inside]] >> np.uint64(1)
        padded.sort(axis=1)
        new = np.ones_like(inside)
        new[:, 1:] = padded[:, 1:] != padded[:, :-1]
        ordered[position[inside]] = padded[inside]
        first[position[inside]] = new[inside]
    seen = np.concatenate([[0], np.cumsum(first, dtype=np.int64)])
    return Shingles(hashes=ordered[first], offsets=seen[cut.offsets])


def text_blocks(texts: Sequence[str], characters: int) -> Iterator[slice]:
    """Part texts into consecutive blocks of about `characters` characters, at least one text each."""
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    start = 0
    while start < len(texts):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + characters, side="right"))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start = stop


def length_chunks(sizes: Int64Array, cells: int) -> Iterator[tuple[Int64Array, int]]:
    """Gather rows of like size, so that a padded matrix over them wastes little.

    Args:
        sizes: int64 (n,), the items of each row; rows without items are left out.
        cells: a chunk has at most this many cells, or one row.

    Yields:
        (rows int64 (k,), width): k rows of at most `width` items each, width = their largest.
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
    """Lay texts out as code points: flat uint64, and the length of each text."""
    flat = "".join(texts).encode("utf-32-le", "surrogatepass")
    lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
    return np.frombuffer(flat, dtype="<u4").astype(np.uint64), lengths


def _char_shingles(texts: Sequence[str], size: int) -> Shingles:
    codes, lengths = _codes(texts)
    return _windows(codes, lengths, size)


def _word_shingles(texts: Sequence[str], size: int) -> Shingles:
    told = np.array([bool(text) for text in texts], dtype=bool)
    if not told.any():
        return Shingles(np.empty(0, np.uint64), np.zeros(len(texts) + 1, np.int64))
    # Joined by spaces, the texts are one row of words: a text ends where a word ends.
    codes, _ = _codes([" ".join(text for text in texts if text)])
    stops = np.append(np.flatnonzero(codes == _SPACE), len(codes))
    starts = np.concatenate([[0], stops[:-1] + 1])
    ends = np.cumsum([len(text) + 1 for text in texts if text]) - 1
    counts = np.zeros(len(texts), dtype=np.int64)
    counts[told] = np.diff(np.searchsorted(stops, ends) + 1, prepend=0)
    # Words as polynomials: a difference of two running sums, moved back to power 0.
    powers, inverse = _powers(1 << len(codes).bit_length())
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes * powers[: len(codes)])])
    words = (running[stops] - running[starts]) * inverse[starts]
    # The length tells apart words that end in a code of zero.
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
    """Hash each run of `size` neighbouring items of a text; a shorter text as a whole."""
    count = np.where(lengths > 0, np.maximum(lengths - size + 1, 1), 0)
    offsets = _offsets(count)
    starts = np.cumsum(lengths) - lengths
    short = np.flatnonzero((lengths > 0) & (lengths < size))
    rolled = _roll(items, size)
    keep = np.ones(len(items), dtype=bool)
    ends = np.cumsum(lengths)
    for back in range(1, size):
        # The last size - 1 places of a text start no window, save a short text's first.
        keep[np.maximum(ends - back, starts)[lengths > 0]] = False
    keep[starts[short]] = True
    hashes = rolled[keep]
    for row in short:
        hashes[offsets[row]] = _roll(items[starts[row] : ends[row]], int(lengths[row]))[0]
    return Shingles(hashes=hashes, offsets=offsets)


def _roll(items: UInt64Array, size: int) -> UInt64Array:
    """Hash the window that starts at each item; the last size - 1 hold nothing of use."""
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
