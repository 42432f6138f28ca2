"""Agreement of two pictures, for duplicates whose captions and pictures must both be alike.

Any two agree (`AnyPicture`), or those with near perceptual hashes and layouts (`PhashAgreement`), or those with near
embeddings (`EmbeddingAgreement`). Each class compares many pairs at once. For groups too large for that it has keys
that split the group.
"""

from collections.abc import Callable, Iterator
from math import acos, pi
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import BoolArray, Float64Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.near_captions.minhash import choose_bands
from tamis.pipeline.algorithms.near_pictures.hamming import distance, masks
from tamis.pipeline.algorithms.near_pictures.search import Pictures, compare

FetchEmbeddings = Callable[[Int64Array], NDArray[np.floating]]
"""Rows (m,) -> embeddings (m, d)."""

_RECALL = 0.995
_SIGNS = 384


class Agreement(Protocol):
    """A comparison of pictures by their rows."""

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        """Compare pairs of rows (p,): whether they agree, bool (p,), and at which value, float64 (p,)."""
        ...

    def possible(self, a: Int64Array, b: Int64Array) -> BoolArray:
        """Mark the pairs of rows (p,) that may agree, at less than the cost of a comparison: bool (p,)."""
        ...

    def picture_keys(self, rows: Int64Array, captions: UInt64Array) -> UInt64Array:
        """Keys of rows, uint64 (m,): pictures with equal keys agree, and agree with the same others.

        Only those under one caption are compared by them; ``captions``: uint64 (m,), the captions' keys.
        """
        ...

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        """Yield keys of rows, uint64 (m,), a table at a time: rows that agree share the key of some table."""
        ...

    @property
    def splits(self) -> bool:
        """True if the keys of `tables` can differ."""
        ...


class AnyPicture:
    """Agreement of all pictures: only captions count. The value is NaN."""

    splits = False

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        """Pass all pairs."""
        return np.ones(len(a), dtype=bool), np.full(len(b), np.nan)

    def possible(self, a: Int64Array, b: Int64Array) -> BoolArray:
        """Pass all pairs."""
        del b
        return np.ones(len(a), dtype=bool)

    def picture_keys(self, rows: Int64Array, captions: UInt64Array) -> UInt64Array:
        """One key for all rows."""
        del captions
        return np.zeros(len(rows), dtype=np.uint64)

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        """Yield one table with one key."""
        yield np.zeros(len(rows), dtype=np.uint64)


class PhashAgreement:
    """Agreement of perceptual hashes that differ in at most so many bits, and of layouts. The value is the bits.

    Args:
        pictures: by row.
    """

    splits = True

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        """Count the bits that differ, and compare the layouts of those whose hashes are near."""
        bits = distance(self.pictures.hashes[a], self.pictures.hashes[b])
        agree = bits <= self.pictures.radius
        near = np.flatnonzero(agree)
        agree[near], _ = compare(self.pictures, a[near], b[near])
        return agree, bits.astype(np.float64)

    def possible(self, a: Int64Array, b: Int64Array) -> BoolArray:
        """Compare the hashes alone."""
        bits = distance(self.pictures.hashes[a], self.pictures.hashes[b])
        near: BoolArray = bits <= self.pictures.radius
        return near

    def picture_keys(self, rows: Int64Array, captions: UInt64Array) -> UInt64Array:
        """Keys by pixels, or by hash and layout where many pictures of a caption share these."""
        return self.pictures.take(rows).keys(captions)

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        """Yield masked hashes; no pair within the radius is lost (see `hamming`)."""
        for mask in masks(len(rows), self.pictures.radius):
            yield self.pictures.hashes[rows] & mask


class EmbeddingAgreement:
    """Agreement of embeddings whose cosine is at least `cosine`. The value is the cosine.

    Large groups are split by the signs of random projections: two vectors at angle t share a sign with probability
    1 - t / pi (Charikar 2002), and bands of signs find a pair at the bound with probability .995 at least.

    Args:
        fetch: rows int64 (m,) -> unit embeddings (m, d), float16 or float32.
        cosine: bound, in (0, 1].
        pairs: most pairs whose embeddings are held at once.

    Raises:
        ValueError: a bound outside (0, 1].
    """

    splits = True

    def __init__(self, fetch: FetchEmbeddings, cosine: float, pairs: int = 1 << 13) -> None:
        if not 0.0 < cosine <= 1.0:
            raise ValueError(f"cosine bound {cosine}; give a number in (0, 1]")
        self.fetch = fetch
        self.cosine = cosine
        self.pairs = pairs

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        """Multiply pair by pair in float64, so that the value depends on the two vectors alone.

        The product is divided by the lengths, because a vector rounded to float16 has not quite length 1: equal vectors
        have a cosine of exactly 1. A zero vector has cosine 0 to all.
        """
        value = np.empty(len(a), dtype=np.float64)
        for start in range(0, len(a), self.pairs):
            part = slice(start, start + self.pairs)
            rows, inverse = np.unique(np.concatenate([a[part], b[part]]), return_inverse=True)
            vectors = self.fetch(rows).astype(np.float64)
            left, right = np.split(inverse, 2)
            square = np.einsum("ij,ij->i", vectors, vectors)
            product = np.einsum("ij,ij->i", vectors[left], vectors[right])
            lengths = np.sqrt(square[left] * square[right])
            value[part] = np.divide(product, lengths, out=np.zeros_like(product), where=lengths > 0)
        np.clip(value, -1.0, 1.0, out=value)
        return value >= self.cosine, value

    def possible(self, a: Int64Array, b: Int64Array) -> BoolArray:
        """Pass all pairs: captions are compared at less cost."""
        del b
        return np.ones(len(a), dtype=bool)

    def picture_keys(self, rows: Int64Array, captions: UInt64Array) -> UInt64Array:
        """Rows themselves: equal embeddings are not searched for."""
        del captions
        return rows.astype(np.uint64)

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        """Yield bands of the signs of fixed projections."""
        same_sign = 1.0 - acos(self.cosine) / pi
        bands, width = choose_bands(same_sign, _SIGNS, _RECALL)
        # A wider band would have more keys than the group has rows, and need more tables.
        while width > 1 and 2.0 ** (width - 1) > len(rows):
            width -= 1
        width = min(width, 63)
        while bands > 1 and (1 - same_sign**width) ** (bands - 1) <= 1 - _RECALL:
            bands -= 1
        signs = self._signs(rows, bands * width)
        powers = np.uint64(1) << np.arange(width, dtype=np.uint64)
        for band in range(bands):
            part = signs[:, band * width : (band + 1) * width]
            yield (part * powers).sum(axis=1, dtype=np.uint64)

    def _signs(self, rows: Int64Array, count: int) -> BoolArray:
        signs = np.empty((len(rows), count), dtype=bool)
        directions: Float64Array | None = None
        for start in range(0, len(rows), self.pairs):
            # In float64 a sign does not depend on the block's shape through rounding.
            vectors = self.fetch(rows[start : start + self.pairs]).astype(np.float64)
            if directions is None:
                generator = np.random.Generator(np.random.PCG64(0))
                shape = (vectors.shape[1], count)
                directions = generator.standard_normal(shape)
            signs[start : start + self.pairs] = vectors @ directions > 0
        return signs
