"""Near duplicates: samples with near-equal captions, and pictures that agree where that is asked.

Two searches find the edges. `equal` takes samples whose normalised captions are equal, each caption
once, however many bands it would meet itself in. `similar` takes samples that share a MinHash band,
and compares only different captions. Between the two, `representatives` says which samples need
bands at all: one for each (caption, picture hash), so a caption under a million equal pictures
counts once. Every edge is verified: true Jaccard of the shingle sets, and the pictures' agreement.
Among many near copies not every edge is looked for or kept: both give edges whose components are those of all
edges of their groups (`connecting`), and of dense components only those that decide (`thinning`). One chance is
left where embeddings must agree: their signs split a bucket of more than 128, and one caption's pictures that
are too many to be sieved.

Each search takes any union of whole groups (all samples of a caption, all members of a band key),
so partitions by key are independent, and each needs only its own captions in memory. Edges depend
on the set of samples and their uids, never on the order of rows.
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
from tamis.pipeline.algorithms.near_captions.parity_filter import Parity
from tamis.pipeline.algorithms.near_captions.shingles import Shingles
from tamis.pipeline.algorithms.near_captions.thinning import decisive


@dataclass(frozen=True)
class Edges:
    """Verified pairs of samples, sorted by uid, uid[a] < uid[b], each pair once.

    Args:
        a: int64 (m,), rows.
        b: int64 (m,), rows.
        jaccard: float64 (m,), true Jaccard similarity of the captions' shingle sets.
        agree: float64 (m,), Hamming distance in bits or cosine; NaN where pictures do not count.
        unsearched: members that a search left out at its limit of comparisons; 0 but for
            degenerate data, and to be reported where it is not. Pictures that were found by tables of
            signs, of which a pair at the bound may be missed (see `EmbeddingAgreement`), are not counted.
    """

    a: Int64Array
    b: Int64Array
    jaccard: Float64Array
    agree: Float64Array
    unsearched: int


def representatives(key: UInt64Array, uid: UInt64Array, agreement: Agreement) -> Int64Array:
    """Choose the samples that stand for all with their caption and picture: int64 rows.

    Args:
        key: uint64 (n,), of the caption, as `text.text_keys` gives it.
        uid: uint64 (n, 2), unique.
        agreement: how pictures are compared; its `same` says which count as one.
    """
    rows = np.arange(len(key))
    return firsts(uid_rank(uid), agreement.same(rows), key)


def equal(
    key: UInt64Array, uid: UInt64Array, agreement: Agreement, limits: Limits | None = None
) -> Edges:
    """Join samples whose captions are equal and whose pictures agree.

    Samples that `representatives` counts as one are joined to the one with the smallest uid; then
    the representatives of each caption are compared by their pictures.

    Args:
        key: uint64 (n,), of the caption; leave empty captions out.
        uid: uint64 (n, 2), unique.
        agreement: how pictures are compared, by row 0..n-1.
        limits: see there.
    """
    rank = uid_rank(uid)
    rows = np.arange(len(key))
    same = agreement.same(rows)
    centre, other = stars(group(rows, rank, key, same))
    parts = [_valued(centre, other, np.ones(len(centre)), agreement)]
    unsearched = 0
    if agreement.splits:

        def match(a: Int64Array, b: Int64Array) -> Matches:
            keep, value = agreement.compare(a, b)
            return Matches(a[keep], b[keep], np.stack([np.ones(keep.sum()), value[keep]], axis=1))

        chosen = firsts(rank, same, key)
        groups = group(chosen, rank, key[chosen])
        limits = limits or Limits()
        whole = partial(connect_pictures, match=match, limits=limits, agreement=agreement)
        found, unsearched = search(groups, rank, match, None, limits, whole)
        parts.append(found)
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
    """Join samples that share a band, with different captions alike enough and pictures that agree.

    Args:
        band: uint64 (r,), one record for each member of each bucket.
        member: int64 (r,), the record's sample, a row 0..n-1.
        caption: int64 (n,), each sample's row in `sets`; one row for each distinct caption.
        uid: uint64 (n, 2), unique.
        sets: shingle sets of the distinct captions, as `text.shingle_sets` gives them.
        threshold: least Jaccard similarity of an edge, in (0, 1].
        agreement: how pictures are compared, by row 0..n-1.
        limits: see there.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"Jaccard threshold {threshold}; give a number in (0, 1]")
    rank = uid_rank(uid)
    told = sets.sizes[caption[member]] > 0
    groups = _of_several_captions(group(member[told], rank, band[told]), caption)
    match = _caption_match(caption, sets, threshold, agreement)
    split = agreement.tables if agreement.splits else None
    limits = limits or Limits()
    whole = partial(
        connect, match=match, limits=limits, caption=caption, sets=sets, threshold=threshold
    )
    found, unsearched = search(groups, rank, match, split, limits, whole)
    return _edges(found, rank, unsearched)


def _of_several_captions(groups: Groups, caption: Int64Array) -> Groups:
    """Drop buckets that hold one caption only: `equal` has seen to them."""
    if not len(groups.members):
        return groups
    captions = caption[groups.members]
    starts = groups.offsets[:-1]
    several = np.minimum.reduceat(captions, starts) != np.maximum.reduceat(captions, starts)
    return groups.take(several)


def _caption_match(
    caption: Int64Array, sets: Shingles, threshold: float, agreement: Agreement
) -> Match:
    """Compare captions first, each pair of captions once, then the pictures of those alike."""
    parity = Parity(sets, threshold)

    def match(a: Int64Array, b: Int64Array) -> Matches:
        differ = caption[a] != caption[b]
        a, b = a[differ], b[differ]
        alike, similarity = _captions_alike(caption[a], caption[b], sets, threshold, parity)
        a, b, similarity = a[alike], b[alike], similarity[alike]
        agree, value = agreement.compare(a, b)
        return Matches(a[agree], b[agree], np.stack([similarity[agree], value[agree]], axis=1))

    return match


def _captions_alike(
    left: Int64Array, right: Int64Array, sets: Shingles, threshold: float, parity: Parity
) -> tuple[BoolArray, Float64Array]:
    captions = len(sets.offsets) - 1
    code = np.minimum(left, right) * captions + np.maximum(left, right)
    distinct, place = np.unique(code, return_inverse=True)
    low, high = np.divmod(distinct, max(captions, 1))
    small, large = np.sort([sets.sizes[low], sets.sizes[high]], axis=0)
    # The smaller set bounds the intersection and the larger one the union: some pairs end here.
    possible = small / large >= threshold
    possible[possible] = parity.possible(low[possible], high[possible])
    values = np.zeros(len(distinct))
    values[possible] = jaccard.pairs(sets, low[possible], high[possible])
    similarity = values[place]
    return similarity >= threshold, similarity


def _valued(
    a: Int64Array, b: Int64Array, similarity: Float64Array, agreement: Agreement
) -> Matches:
    _, value = agreement.compare(a, b)
    return Matches(a, b, np.stack([similarity, value], axis=1))


def _edges(found: Matches, rank: Int64Array, unsearched: int) -> Edges:
    """Put pairs into the order of their uids, each once; those that decide, where they are many."""
    swap = rank[found.a] > rank[found.b]
    a, b = np.where(swap, found.b, found.a), np.where(swap, found.a, found.b)
    _, first = np.unique(rank[a] * len(rank) + rank[b], return_index=True)
    first = first[decisive(a[first], b[first], found.value[first, 0], rank)]
    value = found.value[first]
    return Edges(a[first], b[first], value[:, 0], value[:, 1], unsearched)


def find(
    captions: Sequence[str | None],
    uid: UInt64Array,
    threshold: float = 0.8,
    agreement: Agreement | None = None,
    scheme: Scheme | None = None,
    limits: Limits | None = None,
) -> tuple[Edges, Edges]:
    """Find the near duplicates of a set that fits in memory: the whole method, step by step.

    Args:
        captions: n captions, null and empty ones among them; those are never duplicates.
        uid: uint64 (n, 2), unique.
        threshold: least Jaccard similarity.
        agreement: how pictures are compared, by row 0..n-1; None: captions alone.
        scheme: n-grams, permutations and bands; None: those for captions.
        limits: see there.

    Returns:
        Edges among equal captions, and edges among different ones; rows are those of `captions`.
    """
    scheme = scheme or Scheme()
    agreement = agreement or AnyPicture()
    texts = shingles.normalise(captions)
    told = np.flatnonzero(np.array([bool(caption) for caption in texts], dtype=bool))
    keys = shingles.text_keys([texts[row] for row in told])
    pictures = _Rows(agreement, told)
    same = equal(keys, uid[told], pictures, limits)
    _, first, caption = np.unique(keys, return_index=True, return_inverse=True)
    distinct = [texts[row] for row in told[first]]
    bands = scheme.keys(distinct)
    member = representatives(keys, uid[told], pictures)
    band = bands[caption[member]].ravel()
    shared = repeated(band)
    band, member = band[shared], np.repeat(member, scheme.bands)[shared]
    # Only captions that meet another are cut into sets.
    met, place = np.unique(caption[member], return_inverse=True)
    row_in_sets = np.zeros(len(told), dtype=np.int64)
    row_in_sets[member] = place
    sets = shingles.shingle_sets([distinct[row] for row in met], scheme.ngram)
    near = similar(band, member, row_in_sets, uid[told], sets, threshold, pictures, limits)
    return _renamed(same, told), _renamed(near, told)


def _renamed(edges: Edges, rows: Int64Array) -> Edges:
    return Edges(rows[edges.a], rows[edges.b], edges.jaccard, edges.agree, edges.unsearched)


class _Rows:
    """An agreement by the rows of a subset."""

    def __init__(self, agreement: Agreement, rows: Int64Array) -> None:
        self.agreement = agreement
        self.rows = rows
        self.splits = agreement.splits

    def compare(self, a: Int64Array, b: Int64Array) -> tuple[BoolArray, Float64Array]:
        return self.agreement.compare(self.rows[a], self.rows[b])

    def same(self, rows: Int64Array) -> UInt64Array:
        return self.agreement.same(self.rows[rows])

    def tables(self, rows: Int64Array) -> Iterator[UInt64Array]:
        return self.agreement.tables(self.rows[rows])

    @property
    def sieve(self) -> Sieve | None:
        whole = self.agreement.sieve
        if whole is None:
            return None

        def sieve(rows: Int64Array) -> Callable[[Int64Array], BoolArray]:
            passes = whole(self.rows[rows])
            return lambda others: passes(self.rows[others])

        return sieve
