"""Search for near duplicates: samples with near-equal captions and, if the job says so, pictures that agree.

Samples with one caption and one picture signature are one node, of which the preferred sample stands for all: a caption
under a million equal pictures counts once. Two searches find the edges among nodes. `equal` compares those whose
normalised captions are equal, each caption once for all bands. `similar` compares those that share a MinHash band
and have different captions. Every edge is verified, by the exact Jaccard similarity of the shingle sets and the
agreement of the pictures.

An edge is left out only where a bucket has more nodes than `Limits.every`, or a node more preferred neighbours than
`buckets.MOST_EDGES`, which is counted; and where embeddings must agree, whose signs split a bucket of more than 128.

Each search takes any union of whole groups (all samples of a caption, all members of a band key): partitions by key are
independent, and each needs only its own captions in memory. Edges depend on the samples and their ranks, not on the
order of rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tamis.pipeline.algorithms.arrays import BoolArray, Float64Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.grouping.buckets import (
    Groups,
    Limits,
    Match,
    Matches,
    first_edges,
    firsts,
    group,
    repeated,
    search,
    stars,
)
from tamis.pipeline.algorithms.grouping.leaders import ranks
from tamis.pipeline.algorithms.near_captions import folding, jaccard, shingles
from tamis.pipeline.algorithms.near_captions.agreement import Agreement, AnyPicture
from tamis.pipeline.algorithms.near_captions.minhash import Scheme
from tamis.pipeline.algorithms.near_captions.parity_filter import ParityFilter
from tamis.pipeline.algorithms.near_captions.shingles import Shingles


@dataclass(frozen=True)
class Edges:
    """Verified pairs of samples, sorted by rank, rank[a] < rank[b], each pair once.

    Args:
        a: int64 (m,), rows.
        b: int64 (m,), rows.
        same: bool (m,), whether the two are one node.
        jaccard: float64 (m,), Jaccard similarity of the captions' shingle sets.
        agree: float64 (m,), Hamming distance in bits or cosine; NaN where pictures do not count.
        unsearched: nodes some of whose pairs or edges were left out, 0 but for degenerate data. Pictures searched by
            tables of signs, which may miss a pair at the bound (see `EmbeddingAgreement`), are not counted.
    """

    a: Int64Array
    b: Int64Array
    same: BoolArray
    jaccard: Float64Array
    agree: Float64Array
    unsearched: int


def representatives(key: UInt64Array, rank: Int64Array, agreement: Agreement) -> Int64Array:
    """Rows of the samples that represent all with the same caption and picture key: int64.

    Args:
        key: uint64 (n,), of the caption, by `shingles.text_keys`.
        rank: int64 (n,), by `leaders.ranks`.
        agreement: agreement of the pictures, by row 0..n-1.
    """
    rows = np.arange(len(key))
    return firsts(rank, agreement.picture_keys(rows, key), key)


def equal(
    key: UInt64Array, rank: Int64Array, agreement: Agreement, limits: Limits | None = None
) -> Edges:
    """Join samples whose captions are equal and whose pictures agree.

    Samples with the same caption and picture key are joined to their representative, the preferred one; then the
    representatives of each caption are compared by their pictures.

    Args:
        key: uint64 (n,), of the caption; leave empty captions out.
        rank: int64 (n,), by `leaders.ranks`.
        agreement: agreement of the pictures, by row 0..n-1.
        limits: limits of the search.
    """
    rows = np.arange(len(key))
    picture = agreement.picture_keys(rows, key)
    centre, other = stars(group(rows, rank, key, picture))
    _, value = agreement.compare(centre, other)
    same = Matches(centre, other, np.stack([np.ones(len(centre)), value], axis=1))
    between, left_out = Matches.concat([]), np.empty(0, np.int64)
    if agreement.splits:

        def match(a: Int64Array, b: Int64Array) -> Matches:
            agree, value = agreement.compare(a, b)
            values = np.stack([np.ones(agree.sum()), value[agree]], axis=1)
            return Matches(a[agree], b[agree], values)

        rows = firsts(rank, picture, key)
        groups = group(rows, rank, key[rows])
        between, left_out = search(groups, rank, match, agreement.tables, limits or Limits())
    return _edges(same, between, rank, left_out)


def similar(
    band: UInt64Array,
    member: Int64Array,
    caption: Int64Array,
    rank: Int64Array,
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
        rank: int64 (n,), by `leaders.ranks`.
        sets: shingle sets of the distinct captions, by `shingles.shingle_sets`.
        threshold: least Jaccard similarity of an edge, in (0, 1].
        agreement: agreement of the pictures, by row 0..n-1.
        limits: limits of the search.

    Raises:
        ValueError: a threshold outside (0, 1].
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"Jaccard threshold {threshold}; give a number in (0, 1]")
    nonempty = sets.sizes[caption[member]] > 0
    groups = _of_several_captions(group(member[nonempty], rank, band[nonempty]), caption)
    match = _caption_match(caption, sets, threshold, agreement)
    split = agreement.tables if agreement.splits else None
    matches, left_out = search(groups, rank, match, split, limits or Limits())
    return _edges(Matches.concat([]), matches, rank, left_out)


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
    """Comparison of what costs little of the pictures, of the captions, each pair once, and of the pictures in full."""
    parity = ParityFilter(sets, threshold)

    def match(a: Int64Array, b: Int64Array) -> Matches:
        chosen = agreement.possible(a, b) & (caption[a] != caption[b])
        a, b = a[chosen], b[chosen]
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


def _edges(same: Matches, between: Matches, rank: Int64Array, left_out: Int64Array) -> Edges:
    """Matches in the order of their ranks, each once; of a node that has many the first."""
    swap = rank[between.a] > rank[between.b]
    a, b = np.where(swap, between.b, between.a), np.where(swap, between.a, between.b)
    _, once = np.unique(rank[a] * len(rank) + rank[b], return_index=True)
    first = once[first_edges(rank[a[once]], rank[b[once]])]
    incomplete = np.zeros(len(rank), dtype=bool)
    incomplete[left_out] = True
    incomplete[b[np.setdiff1d(once, first, assume_unique=True)]] = True
    a, b = np.concatenate([same.a, a[first]]), np.concatenate([same.b, b[first]])
    value = np.concatenate([same.value, between.value[first]])
    is_same = np.arange(len(a)) < len(same.a)
    order = np.lexsort((rank[b], rank[a]))
    return Edges(
        a[order],
        b[order],
        is_same[order],
        value[order, 0],
        value[order, 1],
        int(np.count_nonzero(incomplete)),
    )


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
    texts = folding.normalise(captions)
    rows = np.flatnonzero(np.array([bool(caption) for caption in texts], dtype=bool))
    keys = shingles.text_keys([texts[row] for row in rows])
    pictures = _RowSubset(agreement, rows)
    rank = ranks(uid[rows])
    among_equal = equal(keys, rank, pictures, limits)
    _, first, caption = np.unique(keys, return_index=True, return_inverse=True)
    distinct = [texts[row] for row in rows[first]]
    bands = scheme.keys(distinct)
    member = representatives(keys, rank, pictures)
    band = bands[caption[member]].ravel()
    shared = repeated(band)
    band, member = band[shared], np.repeat(member, scheme.bands)[shared]
    # Only captions that share a band key become sets.
    candidates, inverse = np.unique(caption[member], return_inverse=True)
    row_in_sets = np.zeros(len(rows), dtype=np.int64)
    row_in_sets[member] = inverse
    sets = shingles.shingle_sets([distinct[row] for row in candidates], scheme.ngram)
    among_different = similar(band, member, row_in_sets, rank, sets, threshold, pictures, limits)
    return _with_rows(among_equal, rows), _with_rows(among_different, rows)


def _with_rows(edges: Edges, rows: Int64Array) -> Edges:
    return replace(edges, a=rows[edges.a], b=rows[edges.b])


class _RowSubset:
    """An agreement by positions in a subset of its rows."""

    def __init__(self, agreement: Agreement, rows: Int64Array) -> None:
        self.agreement = agreement
        self.rows = rows
        self.splits = agreement.splits

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        return self.agreement.compare(self.rows[a], self.rows[b])

    def possible(self, a: Int64Array, b: Int64Array) -> BoolArray:
        return self.agreement.possible(self.rows[a], self.rows[b])

    def picture_keys(self, rows: Int64Array, captions: UInt64Array) -> UInt64Array:
        return self.agreement.picture_keys(self.rows[rows], captions)

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        return self.agreement.tables(self.rows[rows])
