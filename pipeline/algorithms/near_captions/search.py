"""Search for near duplicates: samples with near-equal captions and, if the job says so, pictures that agree.

Two searches find the edges. `equal` compares samples whose normalised captions are equal, each caption once for all
bands. `similar` compares samples that share a MinHash band and have different captions. Of the samples with one caption
and one picture hash only one of `representatives` needs bands: a caption under a million equal pictures counts once.
Every edge is verified, by the exact Jaccard similarity of the shingle sets and the agreement of the pictures.

Of many near copies not all edges are found or kept: both searches find edges with the components of all edges of their
groups (`dense_buckets`), and keep the edges that decide of dense components (`thinning`). An edge can be missed only
where embeddings must agree: their signs split a bucket of more than 128, and the pictures of one caption that are too
many for the sieve.

Each search takes any union of whole groups (all samples of a caption, all members of a band key): partitions by key are
independent, and each needs only its own captions in memory. Edges depend on the samples and their uids, not on the
order of rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tamis.pipeline.algorithms.arrays import BoolArray, Float64Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.grouping.buckets import (
    Groups,
    Limits,
    Match,
    Matches,
    firsts,
    group,
    repeated,
    search,
    stars,
    uid_rank,
)
from tamis.pipeline.algorithms.near_captions import jaccard, shingles
from tamis.pipeline.algorithms.near_captions.agreement import Agreement, AnyPicture, Sieve
from tamis.pipeline.algorithms.near_captions.dense_buckets import connect, connect_pictures
from tamis.pipeline.algorithms.near_captions.minhash import Scheme
from tamis.pipeline.algorithms.near_captions.parity_filter import ParityFilter
from tamis.pipeline.algorithms.near_captions.shingles import Shingles
from tamis.pipeline.algorithms.near_captions.thinning import decisive


@dataclass(frozen=True)
class Edges:
    """Verified pairs of samples, sorted by uid, uid[a] < uid[b], each pair once.

    Args:
        a: int64 (m,), rows.
        b: int64 (m,), rows.
        jaccard: float64 (m,), Jaccard similarity of the captions' shingle sets.
        agree: float64 (m,), Hamming distance in bits or cosine; NaN where pictures do not count.
        unsearched: members left at the limit of comparisons, 0 but for degenerate data. Pictures searched by tables of
            signs, which may miss a pair at the bound (see `EmbeddingAgreement`), are not counted.
    """

    a: Int64Array
    b: Int64Array
    jaccard: Float64Array
    agree: Float64Array
    unsearched: int


def representatives(key: UInt64Array, uid: UInt64Array, agreement: Agreement) -> Int64Array:
    """Rows of the samples that represent all with the same caption and picture key: int64.

    Args:
        key: uint64 (n,), of the caption, by `shingles.text_keys`.
        uid: uint64 (n, 2), unique.
        agreement: agreement of the pictures, by row 0..n-1.
    """
    rows = np.arange(len(key))
    return firsts(uid_rank(uid), agreement.picture_keys(rows), key)


def equal(
    key: UInt64Array, uid: UInt64Array, agreement: Agreement, limits: Limits | None = None
) -> Edges:
    """Join samples whose captions are equal and whose pictures agree.

    Samples with the same caption and picture key are joined to their representative, the one with the smallest uid;
    then the representatives of each caption are compared by their pictures.

    Args:
        key: uint64 (n,), of the caption; leave empty captions out.
        uid: uint64 (n, 2), unique.
        agreement: agreement of the pictures, by row 0..n-1.
        limits: limits of the search.
    """
    rank = uid_rank(uid)
    rows = np.arange(len(key))
    picture = agreement.picture_keys(rows)
    centre, other = stars(group(rows, rank, key, picture))
    parts = [_with_values(centre, other, np.ones(len(centre)), agreement)]
    unsearched = 0
    if agreement.splits:

        def match(a: Int64Array, b: Int64Array) -> Matches:
            agree, value = agreement.compare(a, b)
            values = np.stack([np.ones(agree.sum()), value[agree]], axis=1)
            return Matches(a[agree], b[agree], values)

        rows = firsts(rank, picture, key)
        groups = group(rows, rank, key[rows])
        limits = limits or Limits()
        search_large = partial(connect_pictures, match=match, limits=limits, agreement=agreement)
        matches, unsearched = search(groups, rank, match, None, limits, search_large)
        parts.append(matches)
    return _edges(Matches.concat(parts), rank, unsearched)


def similar(
    band: UInt64Array,
    member: Int64Array,
    caption: Int64Array,
    uid: UInt64Array,
    sets: Shingles,
    threshold: float,
    agreement: Agreement,
    limits: Limits | None = None,
) -> Edges:
    """Join samples that share a band key, have different captions alike enough and pictures that agree.

    Args:
        band: uint64 (r,), band keys, one record for each member of each bucket.
        member: int64 (r,), the record's sample, a row 0..n-1.
        caption: int64 (n,), each sample's row in `sets`.
        uid: uint64 (n, 2), unique.
        sets: shingle sets of the distinct captions, by `shingles.shingle_sets`.
        threshold: least Jaccard similarity of an edge, in (0, 1].
        agreement: agreement of the pictures, by row 0..n-1.
        limits: limits of the search.

    Raises:
        ValueError: a threshold outside (0, 1].
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"Jaccard threshold {threshold}; give a number in (0, 1]")
    rank = uid_rank(uid)
    nonempty = sets.sizes[caption[member]] > 0
    groups = _of_several_captions(group(member[nonempty], rank, band[nonempty]), caption)
    match = _caption_match(caption, sets, threshold, agreement)
    split = agreement.tables if agreement.splits else None
    limits = limits or Limits()
    search_large = partial(
        connect, match=match, limits=limits, caption=caption, sets=sets, threshold=threshold
    )
    matches, unsearched = search(groups, rank, match, split, limits, search_large)
    return _edges(matches, rank, unsearched)


def _of_several_captions(groups: Groups, caption: Int64Array) -> Groups:
    """Groups with more than one caption: `equal` has compared the others."""
    if not len(groups.members):
        return groups
    captions = caption[groups.members]
    starts = groups.offsets[:-1]
    several = np.minimum.reduceat(captions, starts) != np.maximum.reduceat(captions, starts)
    return groups.take(several)


def _caption_match(
    caption: Int64Array, sets: Shingles, threshold: float, agreement: Agreement
) -> Match:
    """Comparison of captions first, each pair of captions once, and then of the pictures of those alike."""
    parity = ParityFilter(sets, threshold)

    def match(a: Int64Array, b: Int64Array) -> Matches:
        differ = caption[a] != caption[b]
        a, b = a[differ], b[differ]
        alike, similarity = _captions_alike(caption[a], caption[b], sets, threshold, parity)
        a, b, similarity = a[alike], b[alike], similarity[alike]
        agree, value = agreement.compare(a, b)
        return Matches(a[agree], b[agree], np.stack([similarity[agree], value[agree]], axis=1))

    return match


def _captions_alike(
    left: Int64Array, right: Int64Array, sets: Shingles, threshold: float, parity: ParityFilter
) -> tuple[BoolArray, Float64Array]:
    captions = len(sets.offsets) - 1
    code = np.minimum(left, right) * captions + np.maximum(left, right)
    distinct, inverse = np.unique(code, return_inverse=True)
    low, high = np.divmod(distinct, max(captions, 1))
    small, large = np.sort([sets.sizes[low], sets.sizes[high]], axis=0)
    # The smaller set bounds the intersection, the larger one the union: that excludes some pairs.
    possible = small / large >= threshold
    possible[possible] = parity.possible(low[possible], high[possible])
    values = np.zeros(len(distinct))
    values[possible] = jaccard.pairs(sets, low[possible], high[possible])
    similarity = values[inverse]
    return similarity >= threshold, similarity


def _with_values(
    a: Int64Array, b: Int64Array, similarity: Float64Array, agreement: Agreement
) -> Matches:
    _, value = agreement.compare(a, b)
    return Matches(a, b, np.stack([similarity, value], axis=1))


def _edges(matches: Matches, rank: Int64Array, unsearched: int) -> Edges:
    """Matches in the order of their uids, each once, thinned where they are many."""
    swap = rank[matches.a] > rank[matches.b]
    a, b = np.where(swap, matches.b, matches.a), np.where(swap, matches.a, matches.b)
    _, first = np.unique(rank[a] * len(rank) + rank[b], return_index=True)
    first = first[decisive(a[first], b[first], matches.value[first, 0], rank)]
    value = matches.value[first]
    return Edges(a[first], b[first], value[:, 0], value[:, 1], unsearched)


def find(
    captions: Sequence[str | None],
    uid: UInt64Array,
    threshold: float = 0.8,
    agreement: Agreement | None = None,
    scheme: Scheme | None = None,
    limits: Limits | None = None,
) -> tuple[Edges, Edges]:
    """Find the near duplicates of samples that fit in memory, by the whole method.

    Args:
        captions: n captions; null and empty ones have no duplicates.
        uid: uint64 (n, 2), unique.
        threshold: least Jaccard similarity of an edge.
        agreement: agreement of the pictures, by row 0..n-1; None: captions alone.
        scheme: n-grams and bands; None: those for captions.
        limits: limits of the searches.

    Returns:
        Edges among equal captions, and edges among different ones; rows are those of `captions`.
    """
    scheme = scheme or Scheme()
    agreement = agreement or AnyPicture()
    texts = shingles.normalise(captions)
    rows = np.flatnonzero(np.array([bool(caption) for caption in texts], dtype=bool))
    keys = shingles.text_keys([texts[row] for row in rows])
    pictures = _RowSubset(agreement, rows)
    among_equal = equal(keys, uid[rows], pictures, limits)
    _, first, caption = np.unique(keys, return_index=True, return_inverse=True)
    distinct = [texts[row] for row in rows[first]]
    bands = scheme.keys(distinct)
    member = representatives(keys, uid[rows], pictures)
    band = bands[caption[member]].ravel()
    shared = repeated(band)
    band, member = band[shared], np.repeat(member, scheme.bands)[shared]
    # Only captions that share a band key become sets.
    candidates, inverse = np.unique(caption[member], return_inverse=True)
    row_in_sets = np.zeros(len(rows), dtype=np.int64)
    row_in_sets[member] = inverse
    sets = shingles.shingle_sets([distinct[row] for row in candidates], scheme.ngram)
    among_different = similar(
        band, member, row_in_sets, uid[rows], sets, threshold, pictures, limits
    )
    return _with_rows(among_equal, rows), _with_rows(among_different, rows)


def _with_rows(edges: Edges, rows: Int64Array) -> Edges:
    return Edges(rows[edges.a], rows[edges.b], edges.jaccard, edges.agree, edges.unsearched)


class _RowSubset:
    """An agreement by positions in a subset of its rows."""

    def __init__(self, agreement: Agreement, rows: Int64Array) -> None:
        self.agreement = agreement
        self.rows = rows
        self.splits = agreement.splits

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        return self.agreement.compare(self.rows[a], self.rows[b])

    def picture_keys(self, rows: Int64Array) -> UInt64Array:
        return self.agreement.picture_keys(self.rows[rows])

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        return self.agreement.tables(self.rows[rows])

    @property
    def sieve(self) -> Sieve | None:
        of_all = self.agreement.sieve
        if of_all is None:
            return None

        def sieve(rows: Int64Array) -> Callable[[Int64Array], BoolArray]:
            passes = of_all(self.rows[rows])
            return lambda others: passes(self.rows[others])

        return sieve
