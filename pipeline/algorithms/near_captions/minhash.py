"""MinHash signatures of captions, and the keys of their bands, which like captions share.

A signature has the smallest shingle of the text in each of `permutations` random orders of all shingles; two texts
agree in a position with the probability of their Jaccard similarity (Broder 1997). A key is made of each band of `rows`
positions: texts that share a key are candidates.

Two kernels give equally good signatures, but not the same numbers: never mix them in one run. `fast` works on whole
arrays; `datasketch`, the reference, is that library with its own hashes, text by text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tamis.pipeline.algorithms.arrays import UInt32Array, UInt64Array
from tamis.pipeline.algorithms.hashing import mix64
from tamis.pipeline.algorithms.near_captions.shingles import (
    Ngram,
    Shingles,
    length_chunks,
    shingles,
    text_blocks,
)

Kernel = Literal["fast", "datasketch"]

# With these a pair of captions at Jaccard 0.8 becomes a candidate with probability .996.
CAPTION_NGRAM = Ngram("char", 3)
CAPTION_PERMUTATIONS = 112
CAPTION_BANDS = 18
CAPTION_ROWS = 6

# Every position of the signature of a text without shingles.
EMPTY = np.uint32(2**32 - 1)

# 128 KiB each: the cells of a chunk and their products stay in a core's second-level cache.
_CELLS = 1 << 15
_CHARACTERS_AT_ONCE = 1 << 18

BAND_BLOCK = 1 << 11
"""Signatures whose keys are made together: they stay in the cache, over which they go thrice for each row of a band."""


@dataclass(frozen=True)
class Scheme:
    """Settings of the search for candidates; the defaults are those for captions."""

    ngram: Ngram = CAPTION_NGRAM
    bands: int = CAPTION_BANDS
    rows: int = CAPTION_ROWS
    seed: int = 0
    kernel: Kernel = "fast"

    def signatures(self, texts: Sequence[str]) -> UInt32Array:
        """Signatures of normalised texts: uint32 (n, bands * rows)."""
        return signatures(texts, self.ngram, self.bands * self.rows, self.seed, self.kernel)

    def keys(self, texts: Sequence[str]) -> UInt64Array:
        """Band keys of normalised texts: uint64 (n, bands)."""
        return bands(self.signatures(texts), self.bands, self.rows)


def signatures(
    texts: Sequence[str],
    ngram: Ngram = CAPTION_NGRAM,
    permutations: int = CAPTION_PERMUTATIONS,
    seed: int = 0,
    kernel: Kernel = "fast",
) -> UInt32Array:
    """Signatures of normalised texts: uint32 (n, permutations).

    Args:
        texts: n texts, by `shingles.normalise`. An empty text has `EMPTY` everywhere: leave it out of the bands, since
            all empty texts would be candidates.
        ngram: unit and size of a shingle.
        permutations: positions of a signature.
        seed: seed of the permutations.
        kernel: `fast`, or the reference `datasketch`.

    Raises:
        ValueError: fewer than one permutation.
    """
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}; give 1 or more")
    result = np.empty((len(texts), permutations), dtype=np.uint32)
    for part in text_blocks(texts, _CHARACTERS_AT_ONCE):
        if kernel == "datasketch":
            result[part] = _datasketch(texts[part], ngram, permutations, seed)
        else:
            result[part] = shingle_signatures(shingles(texts[part], ngram), permutations, seed)
    return result


def shingle_signatures(grams: Shingles, permutations: int, seed: int) -> UInt32Array:
    """Signatures of the shingles of n texts: uint32 (n, permutations).

    A permutation multiplies the upper 32 bits of a shingle's hash by an odd number, modulo 2**32. That is one to one
    and, for hashes that are mixed already, as good as the usual a x + b.
    """
    factors = _factors(permutations, seed)
    upper = (grams.hashes >> np.uint64(32)).astype(np.uint32)
    result = np.full((len(grams.sizes), permutations), EMPTY, dtype=np.uint32)
    buffer = np.empty(max(_CELLS, int(grams.sizes.max(initial=1))), dtype=np.uint32)
    for rows, width in length_chunks(grams.sizes, _CELLS):
        # A short text repeats its last shingle, which leaves the minimum as it is. The longer side of the cells is
        # contiguous: the texts where they are short, else their shingles.
        along = int(width >= len(rows))
        column, row = (
            (np.arange(width), rows[:, None]) if along else (np.arange(width)[:, None], rows)
        )
        cells = upper[np.minimum(column, grams.sizes[row] - 1) + grams.offsets[row]]
        product = buffer[: cells.size].reshape(cells.shape)
        least = np.empty((permutations, len(rows)), dtype=np.uint32)
        for number, factor in enumerate(factors):
            np.multiply(cells, factor, out=product)
            np.minimum.reduce(product, axis=along, out=least[number])
        result[rows] = least.T
    return result


def _factors(permutations: int, seed: int) -> UInt32Array:
    """Odd multipliers, uint32 (permutations,), from a counter: they do not depend on a library's generator."""
    counter = np.arange(1, permutations + 1, dtype=np.uint64)
    counter += mix64(np.array([seed], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return (mix64(counter) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)


def bands(signatures: UInt32Array, bands: int, rows: int) -> UInt64Array:
    """Hash each band of a signature to a key: uint64 (n, bands).

    Texts that agree in a whole band share its key; others do with probability 2**-64. The number of the band is part of
    the key, so that keys of all bands fit in one table.

    Args:
        signatures: uint32 (n, permutations).
        bands: number of keys of a text.
        rows: positions of a band.

    Raises:
        ValueError: bands * rows outside 1..permutations.
    """
    if bands < 1 or rows < 1 or bands * rows > signatures.shape[1]:
        raise ValueError(
            f"{bands} bands of {rows} rows need {bands * rows} permutations, "
            f"and the signatures have {signatures.shape[1]}; lower one of them"
        )
    used = signatures[:, : bands * rows].reshape(len(signatures), bands, rows)
    keys = mix64(np.arange(1, bands + 1, dtype=np.uint64))[None, :].repeat(len(signatures), axis=0)
    for start in range(0, len(keys), BAND_BLOCK):
        part = keys[start : start + BAND_BLOCK]
        for row in range(rows):
            part *= np.uint64(0x9E3779B97F4A7C15)
            part += used[start : start + BAND_BLOCK, :, row]
            mix64(part)
    return keys


def candidate_probability(jaccard: float, bands: int, rows: int) -> float:
    """Probability that a pair at this Jaccard similarity shares a key: 1 - (1 - s^r)^b.

    Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4.
    """
    return float(1.0 - (1.0 - jaccard**rows) ** bands)


def choose_bands(threshold: float, permutations: int, recall: float) -> tuple[int, int]:
    """Choose (bands, rows), the most selective bands that find a pair at the threshold with probability `recall`.

    More rows make fewer false candidates: the result has the most rows at which all bands that fit reach the recall.

    Raises:
        ValueError: bands of one row do not reach the recall, or a threshold or recall outside its range.
    """
    if not (0.0 < threshold <= 1.0 and 0.0 < recall < 1.0):
        raise ValueError(f"threshold {threshold} must lie in (0, 1] and recall {recall} in (0, 1)")
    for rows in range(permutations, 0, -1):
        if candidate_probability(threshold, permutations // rows, rows) >= recall:
            return permutations // rows, rows
    best = candidate_probability(threshold, permutations, 1)
    raise ValueError(
        f"{permutations} permutations find a pair at {threshold} with probability {best:.3f}, "
        f"below the recall {recall}: give more permutations, or a lower recall"
    )


def _datasketch(texts: Sequence[str], ngram: Ngram, permutations: int, seed: int) -> UInt32Array:
    from datasketch import MinHash

    sets = [
        [one.encode("utf-8", "surrogatepass") for one in shingle_strings(text, ngram)]
        for text in texts
    ]
    hashes = MinHash.generator(sets, num_perm=permutations, seed=seed)
    return np.array([one.hashvalues for one in hashes], dtype=np.uint32).reshape(-1, permutations)


def shingle_strings(text: str, ngram: Ngram) -> set[str]:
    """Shingles of one normalised text as a set of strings: the definition in plain Python."""
    if not text:
        return set()
    if ngram.unit == "char":
        last = max(len(text) - ngram.size, 0)
        return {text[start : start + ngram.size] for start in range(last + 1)}
    words = text.split(" ")
    last = max(len(words) - ngram.size, 0)
    return {" ".join(words[start : start + ngram.size]) for start in range(last + 1)}
