"""Whether two pictures agree, for duplicates that need both the captions and the pictures alike.

Three answers: any two agree (`AnyPicture`), the perceptual hashes are near (`PhashAgreement`), the
embeddings are near (`EmbeddingAgreement`). Each compares many pairs at once, and offers keys that
split a group too large to be compared pair by pair, or a sieve that compares many with many at little cost.
"""

from collections.abc import Callable, Iterator
from math import acos, pi
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import BoolArray, Float64Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.clusters.float16 import widen
from tamis.pipeline.algorithms.near_captions.minhash import choose_bands
from tamis.pipeline.algorithms.near_pictures.hamming import distance, masks

FetchEmbeddings = Callable[[Int64Array], NDArray[np.floating]]
Sieve = Callable[[Int64Array], Callable[[Int64Array], BoolArray]]
"""Rows (m,) -> other rows (k,) -> who may agree, bool (k, m): all who do, and few more."""

_RECALL = 0.995
_SIGNS = 384


class Agreement(Protocol):
    """A comparison of pictures, by the rows of whatever holds them."""

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        """Say which pairs of rows agree, bool (p,), and at what value, float64 (p,)."""
        ...

    def same(self, rows: Int64Array) -> NDArray[np.uint64]:
        """Key of each row, uint64 (m,): rows of one key agree with each other and alike with all."""
        ...

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        """Keys of rows, uint64 (m,), a table at a time: rows that agree share one in some table."""
        ...

    @property
    def splits(self) -> bool:
        """Whether `tables` separates anything."""
        ...

    @property
    def sieve(self) -> Sieve | None:
        """What misses nobody at little cost, or None where `tables` do."""
        ...


class AnyPicture:
    """All pictures agree: only captions count. The value is NaN."""

    splits = False
    sieve = None

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        """All true."""
        return np.ones(len(a), dtype=bool), np.full(len(b), np.nan)

    def same(self, rows: Int64Array) -> UInt64Array:
        """One key for all."""
        return np.zeros(len(rows), dtype=np.uint64)

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        """One table, of one key."""
        yield self.same(rows)


class PhashAgreement:
    """Perceptual hashes differ in at most `radius` bits. The value is the number of bits.

    Args:
        hashes: uint64 (n,), by row.
        radius: 0 to 63.
    """

    splits = True
    sieve = None

    def __init__(self, hashes: UInt64Array, radius: int) -> None:
        self.hashes = hashes
        self.radius = radius

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        """Compare bit by bit."""
        bits = distance(self.hashes[a], self.hashes[b])
        return bits <= self.radius, bits.astype(np.float64)

    def same(self, rows: Int64Array) -> UInt64Array:
        """Take the hash itself for a key."""
        return self.hashes[rows]

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        """Mask the hashes, so that no pair within the radius is lost (see `hamming`)."""
        for mask in masks(len(rows), self.radius):
            yield self.hashes[rows] & mask


class EmbeddingAgreement:
    """Embeddings have a cosine of at least `cosine`. The value is the cosine.

    One caption's pictures are sieved, all by all. Large groups of several captions, and more pictures
    of one caption than can be sieved (hundreds of thousands that are not alike), are split by the
    signs of random projections: two vectors at angle t share a sign with probability 1 - t / pi
    (Charikar 2002), and bands of signs find a pair at the bound with probability .995 at least.

    Args:
        fetch: rows int64 (m,) -> unit embeddings (m, d), fp16 or fp32.
        cosine: bound, in (0, 1].
        pairs: pairs whose embeddings are held at once.
    """

    splits = True

    def __init__(self, fetch: FetchEmbeddings, cosine: float, pairs: int = 1 << 13) -> None:
        if not 0.0 < cosine <= 1.0:
            raise ValueError(f"cosine bound {cosine}; give a number in (0, 1]")
        self.fetch = fetch
        self.cosine = cosine
        self.pairs = pairs

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        """Multiply pair by pair, in float64: the value depends on the two vectors alone.

        Rounded to fp16 a vector has not quite length one, so the product is divided by the lengths:
        equal vectors have a cosine of 1 exactly. A zero vector has 0 to all.
        """
        value = np.empty(len(a), dtype=np.float64)
        for start in range(0, len(a), self.pairs):
            part = slice(start, start + self.pairs)
            rows, place = np.unique(np.concatenate([a[part], b[part]]), return_inverse=True)
            vectors = self.fetch(rows).astype(np.float64)
            left, right = np.split(place, 2)
            square = np.einsum("ij,ij->i", vectors, vectors)
            product = np.einsum("ij,ij->i", vectors[left], vectors[right])
            lengths = np.sqrt(square[left] * square[right])
            value[part] = np.divide(product, lengths, out=np.zeros_like(product), where=lengths > 0)
        np.clip(value, -1.0, 1.0, out=value)
        return value >= self.cosine, value

    def same(self, rows: Int64Array) -> UInt64Array:
        """Take each row for itself: equal embeddings are not looked for."""
        return rows.astype(np.uint64)

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        """Band the signs of fixed projections."""
        likeness = 1.0 - acos(self.cosine) / pi
        bands, width = choose_bands(likeness, _SIGNS, _RECALL)
        # A wider band splits a group more finely than it is large, and only costs tables.
        while width > 1 and 2.0 ** (width - 1) > len(rows):
            width -= 1
        width = min(width, 63)
        while bands > 1 and (1 - likeness**width) ** (bands - 1) <= 1 - _RECALL:
            bands -= 1
        signs = self._signs(rows, bands * width)
        powers = np.uint64(1) << np.arange(width, dtype=np.uint64)
        for band in range(bands):
            part = signs[:, band * width : (band + 1) * width]
            yield (part * powers).sum(axis=1, dtype=np.uint64)

    def sieve(self, rows: Int64Array) -> Callable[[Int64Array], BoolArray]:
        """Multiply all by all in float32, at a bound lower by more than that can round."""
        columns = self._units(rows)
        bound = self.cosine - (columns.shape[1] + 4) * 2.0**-22

        def passes(others: Int64Array) -> BoolArray:
            found: BoolArray = self._units(others) @ columns.T >= np.float32(bound)
            return found

        return passes

    def _units(self, rows: Int64Array) -> NDArray[np.float32]:
        """Embeddings of length one, or zero."""
        vectors = self.fetch(rows)
        units = np.empty(vectors.shape, dtype=np.float32)
        widen(vectors, units)
        length = np.sqrt(np.einsum("ij,ij->i", units, units))[:, None]
        np.divide(units, length, out=units, where=length > 0)
        return units

    def _signs(self, rows: Int64Array, count: int) -> BoolArray:
        signs = np.empty((len(rows), count), dtype=bool)
        directions: Float64Array | None = None
        for start in range(0, len(rows), self.pairs):
            # In float64 a sign does not hang on the rounding of one block shape or another.
            vectors = self.fetch(rows[start : start + self.pairs]).astype(np.float64)
            if directions is None:
                generator = np.random.Generator(np.random.PCG64(0))
                shape = (vectors.shape[1], count)
                directions = generator.standard_normal(shape)
            signs[start : start + self.pairs] = vectors @ directions > 0
        return signs
