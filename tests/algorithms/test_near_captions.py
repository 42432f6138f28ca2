"""Near duplicates against a comparison of all pairs: precision, recall, order, giant buckets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.grouping import buckets, components, leaders
from tamis.pipeline.algorithms.grouping.buckets import Limits
from tamis.pipeline.algorithms.near_captions import folding, jaccard, minhash, search, shingles
from tamis.pipeline.algorithms.near_captions.agreement import (
    Agreement,
    AnyPicture,
    EmbeddingAgreement,
    PhashAgreement,
)
from tamis.pipeline.algorithms.near_pictures import layouts
from tamis.pipeline.algorithms.near_pictures.search import Pictures

Int64Array = NDArray[np.int64]
UInt64Array = NDArray[np.uint64]
Pair = tuple[int, int]

# Every bucket above eight members takes the ways of giant buckets.
TINY = Limits(few=8, pairs=100)


def uids(n: int, seed: int = 0) -> UInt64Array:
    return np.random.default_rng(seed).integers(0, 2**63, size=(n, 2), dtype=np.uint64)


def alike(hashes: UInt64Array, radius: int) -> PhashAgreement:
    """Pictures that their hashes alone tell apart."""
    rows = np.zeros((len(hashes), layouts.BYTES), dtype=np.uint8)
    return PhashAgreement(Pictures(hashes, rows, radius, 0.11))


def synthetic(n: int, seed: int) -> tuple[list[str | None], UInt64Array, NDArray[np.float32]]:
    """Make captions, hashes and embeddings with planted copies and small changes of each."""
    generator = np.random.default_rng(seed)
    words = np.array([f"{a}{b}" for a in "bcdfgklmnprst" for b in ("an", "el", "ird", "om", "ush")])
    captions: list[str | None] = []
    source = generator.integers(0, max(1, n // 6), n)
    for row in range(n):
        kind = generator.random()
        if kind < 0.05:
            captions.append([None, "", "x"][generator.integers(3)])
        elif kind < 0.5 or not captions:
            captions.append(" ".join(generator.choice(words, generator.integers(4, 14))))
        else:
            origin = generator.integers(row)
            source[row] = source[origin] if generator.random() < 0.6 else source[row]
            copied = (captions[origin] or "x").split()
            if kind < 0.75:
                copied[generator.integers(len(copied))] = str(generator.choice(words))
            captions.append(" ".join(copied))
    hashes = generator.integers(0, 2**64, n, dtype=np.uint64)[source]
    hashes ^= np.uint64(1) << generator.integers(0, 64, n).astype(np.uint64)
    vectors = generator.standard_normal((n, 32))[source] + 0.15 * generator.standard_normal((n, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return captions, hashes, vectors.astype(np.float32)


def all_pairs(
    captions: list[str | None], agreement: Agreement, threshold: float
) -> tuple[Int64Array, Int64Array]:
    """Compare every caption with every other, then every pair of samples with like captions."""
    texts = np.array(folding.normalise(captions), dtype=object)
    distinct, caption = np.unique(texts, return_inverse=True)
    sets = shingles.shingle_sets(list(distinct), minhash.CAPTION_NGRAM)
    a, b = np.triu_indices(len(distinct), 1)
    alike = np.diag(distinct != "")
    alike[a, b] = jaccard.pairs(sets, a, b) >= threshold
    alike |= alike.T
    found: list[Int64Array] = [np.empty((2, 0), dtype=np.int64)]
    for start in range(0, len(texts), 256):
        left, right = np.nonzero(alike[caption[start : start + 256]][:, caption])
        left = left + start
        left, right = left[left < right], right[left < right]
        keep, _ = agreement.compare(left, right)
        found.append(np.stack([left[keep], right[keep]]))
    left, right = np.concatenate(found, axis=1)
    return left, right


def joined(edges: tuple[search.Edges, search.Edges]) -> tuple[Int64Array, Int64Array]:
    return (
        np.concatenate([edges[0].a, edges[1].a]),
        np.concatenate([edges[0].b, edges[1].b]),
    )


def pairs(a: Int64Array, b: Int64Array) -> set[Pair]:
    return set(zip(np.minimum(a, b).tolist(), np.maximum(a, b).tolist(), strict=True))


def all_true(found: tuple[Int64Array, Int64Array], truth: tuple[Int64Array, Int64Array]) -> bool:
    ours, theirs = (np.minimum(a, b) << 32 | np.maximum(a, b) for a, b in (found, truth))
    return bool(np.isin(ours, theirs).all())


def drops(a: Int64Array, b: Int64Array, n: int) -> int:
    return n - len(np.unique(components.connected(a, b, n)))


def agreements(hashes: UInt64Array, vectors: NDArray[np.floating]) -> dict[str, Agreement]:
    return {
        "none": AnyPicture(),
        "phash": alike(hashes, 4),
        "embedding": EmbeddingAgreement(lambda rows: vectors[rows], 0.9),
    }


@pytest.mark.parametrize("limits", [None, TINY], ids=["exhaustive", "giant"])
@pytest.mark.parametrize("agree", ["none", "phash", "embedding"])
def test_every_edge_is_true_and_nearly_all_drops_are_found(
    agree: str, limits: Limits | None
) -> None:
    captions, hashes, vectors = synthetic(1500, 1)
    agreement = agreements(hashes, vectors)[agree]
    edges = search.find(captions, uids(1500), 0.8, agreement, limits=limits)
    truth = all_pairs(captions, agreement, 0.8)
    a, b = joined(edges)
    assert pairs(a, b) <= pairs(*truth)
    expected = drops(*truth, 1500)
    assert expected > (100 if agree == "none" else 20)
    assert drops(a, b, 1500) >= 0.99 * expected
    assert edges[0].unsearched == edges[1].unsearched == 0


@pytest.mark.parametrize("agree", ["none", "phash", "embedding"])
def test_edges_carry_their_true_values_and_stand_in_the_order_of_uids(agree: str) -> None:
    captions, hashes, vectors = synthetic(600, 2)
    agreement = agreements(hashes, vectors)[agree]
    uid = uids(600)
    keys = [tuple(row) for row in uid.tolist()]
    pieces = [
        minhash.shingle_strings(one, minhash.CAPTION_NGRAM) for one in folding.normalise(captions)
    ]
    for edges in search.find(captions, uid, 0.8, agreement):
        assert [keys[row] for row in edges.a] == sorted(keys[row] for row in edges.a)
        for a, b, value in zip(edges.a, edges.b, edges.jaccard, strict=True):
            assert keys[a] < keys[b]
            assert value == len(pieces[a] & pieces[b]) / len(pieces[a] | pieces[b]) >= 0.8
        np.testing.assert_array_equal(edges.agree, agreement.compare(edges.a, edges.b)[1])


@pytest.mark.parametrize("limits", [None, TINY], ids=["exhaustive", "giant"])
@pytest.mark.parametrize("agree", ["none", "phash", "embedding"])
def test_shuffled_rows_give_the_same_edges(agree: str, limits: Limits | None) -> None:
    captions, hashes, vectors = synthetic(700, 3)
    uid = uids(700)
    shuffle = np.random.default_rng(9).permutation(700)
    first = search.find(captions, uid, 0.8, agreements(hashes, vectors)[agree], limits=limits)
    again = search.find(
        [captions[row] for row in shuffle],
        uid[shuffle],
        0.8,
        agreements(hashes[shuffle], vectors[shuffle])[agree],
        limits=limits,
    )
    for one, other in zip(first, again, strict=True):
        assert one.a.tolist() == shuffle[other.a].tolist()
        assert one.b.tolist() == shuffle[other.b].tolist()
        np.testing.assert_array_equal(one.jaccard, other.jaccard)
        np.testing.assert_array_equal(one.agree, other.agree)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_partitions_by_key_together_find_what_one_finds(seed: int, partitions: int) -> None:
    """Buckets are independent: shared out by key, in any way, they give the same edges."""
    captions, hashes, _ = synthetic(120, seed)
    texts = [one for one in folding.normalise(captions) if one]
    n = len(texts)
    rank, agreement = leaders.ranks(uids(n)), alike(hashes, 6)
    distinct, caption = np.unique(np.array(texts, dtype=object), return_inverse=True)
    sets = shingles.shingle_sets(list(distinct), minhash.CAPTION_NGRAM)
    band = minhash.Scheme().keys(list(distinct))[caption].ravel()
    member = np.repeat(np.arange(n), minhash.CAPTION_BANDS)
    whole = search.similar(band, member, caption, rank, sets, 0.8, agreement)
    together: set[Pair] = set()
    for partition in range(partitions):
        rows = band % np.uint64(partitions) == partition
        part = search.similar(band[rows], member[rows], caption, rank, sets, 0.8, agreement)
        together |= pairs(part.a, part.b)
    assert together == pairs(whole.a, whole.b)


def test_null_empty_and_short_captions() -> None:
    captions = ["", None, " \n", "ok", "OK", "no", "ok", "\u200b", "\u200b", "\ufeff"]
    edges = search.find(captions, uids(10))
    a, b = joined(edges)
    assert components.connected(a, b, 10).tolist() == [0, 1, 2, 3, 3, 5, 3, 7, 8, 9]


def test_a_set_without_captions_has_no_edges() -> None:
    for captions in ([], [None, ""]):
        edges = search.find(captions, uids(len(captions)))
        assert [len(one.a) for one in edges] == [0, 0]


def test_one_caption_under_a_million_pictures_is_a_million_edges() -> None:
    n = 1_000_000
    key = np.zeros(n, dtype=np.uint64)
    rank = np.arange(n)
    edges = search.equal(key, rank, AnyPicture())
    assert len(edges.a) == n - 1
    assert edges.same.all()
    same = alike(np.full(n, 7, dtype=np.uint64), 4)
    assert len(search.equal(key, rank, same).a) == n - 1
    assert search.representatives(key, rank, same).tolist() == [0]


@pytest.mark.parametrize("agree", ["phash", "embedding"])
def test_one_caption_under_thousands_of_different_pictures(agree: str) -> None:
    """The group is split by the pictures: all true pairs are found without comparing all."""
    n = 6000 if agree == "phash" else 2500
    _, hashes, vectors = synthetic(n, 4)
    agreement = agreements(hashes, vectors)[agree]
    compared = Counting(agreement)
    edges = search.equal(np.zeros(n, dtype=np.uint64), leaders.ranks(uids(n)), compared)
    truth = all_pairs(["the same caption"] * n, agreement, 0.8)
    assert pairs(edges.a, edges.b) <= pairs(*truth)
    assert drops(edges.a, edges.b, n) >= 0.99 * drops(*truth, n)
    if agree == "phash":
        assert compared.pairs < n * (n - 1) / 8
    assert compared.most <= Limits().pairs + n


def test_a_giant_bucket_of_near_equal_captions_costs_few_comparisons_a_member() -> None:
    captions = [
        f"a very long caption about a red fox in the deep snow, picture {i}" for i in range(5000)
    ]
    texts = folding.normalise(captions)
    counting = Counting(AnyPicture())
    edges = search.similar(
        np.zeros(5000, dtype=np.uint64),
        np.arange(5000),
        np.arange(5000),
        leaders.ranks(uids(5000)),
        shingles.shingle_sets(texts, minhash.CAPTION_NGRAM),
        0.8,
        counting,
    )
    assert drops(edges.a, edges.b, 5000) == 4999
    assert len(edges.a) <= buckets.MOST_EDGES * 5000
    assert counting.pairs < 5000 * Limits().first
    assert edges.unsearched >= 5000 - Limits().first


def test_a_giant_bucket_that_meets_in_every_band_is_searched_once() -> None:
    captions = [
        f"a very long caption about a red fox in deep snow, picture {i}" for i in range(600)
    ]
    sets = shingles.shingle_sets(folding.normalise(captions), minhash.CAPTION_NGRAM)
    asked: list[int] = []
    for bands in (1, 18):
        counting = Counting(AnyPicture())
        band = np.repeat(np.arange(bands, dtype=np.uint64), 600)
        member = np.tile(np.arange(600), bands)
        search.similar(band, member, np.arange(600), leaders.ranks(uids(600)), sets, 0.8, counting)
        asked.append(counting.pairs)
    assert asked[0] == asked[1] > 0


def test_a_bucket_above_the_limit_meets_its_first_nodes_and_says_so() -> None:
    captions = [
        f"a very long caption about a red fox in the deep snow, picture {i}" for i in range(300)
    ]
    sets = shingles.shingle_sets(captions, minhash.CAPTION_NGRAM)
    rank = leaders.ranks(uids(300))
    band, rows = np.zeros(300, dtype=np.uint64), np.arange(300)
    limits = Limits(few=8, every=100, first=20, pairs=500)
    edges = search.similar(band, rows, rows, rank, sets, 0.8, AnyPicture(), limits)
    whole = search.similar(band, rows, rows, rank, sets, 0.8, AnyPicture())
    among = rank[whole.a] < 20
    assert pairs(edges.a, edges.b) == pairs(whole.a[among], whole.b[among])
    assert edges.unsearched == 280
    assert whole.unsearched == 300 - 1 - buckets.MOST_EDGES


def test_the_preferred_stands_for_its_node_and_every_edge_names_it_first() -> None:
    captions, hashes, _ = synthetic(400, 5)
    texts = folding.normalise(captions)
    rows = np.flatnonzero(np.array([bool(one) for one in texts]))
    key, agreement = shingles.text_keys([texts[row] for row in rows]), alike(hashes[rows] % 8, 0)
    preference = np.random.default_rng(1).integers(0, 3, len(rows)).astype(float)
    rank = leaders.ranks(uids(400)[rows], preference)
    edges = search.equal(key, rank, agreement)
    assert edges.same.any()
    assert (rank[edges.a] < rank[edges.b]).all()
    for row in edges.b[edges.same]:
        node = (key == key[row]) & (agreement.pictures.hashes == agreement.pictures.hashes[row])
        assert edges.a[edges.same & (edges.b == row)].tolist() == [
            np.flatnonzero(node)[np.argmin(rank[node])]
        ]


def test_refuses_a_threshold_that_is_no_similarity() -> None:
    none = np.empty(0, dtype=np.int64)
    sets = shingles.shingle_sets([], minhash.CAPTION_NGRAM)
    with pytest.raises(ValueError, match=r"threshold 0.0; give a number in \(0, 1\]"):
        search.similar(none.astype(np.uint64), none, none, none, sets, 0.0, AnyPicture())
    with pytest.raises(ValueError, match=r"cosine bound 1\.5"):
        EmbeddingAgreement(lambda rows: np.empty((len(rows), 2)), 1.5)


def test_copies_of_a_picture_agree_at_every_bound() -> None:
    """Stored in fp16, a vector is no longer quite of length one; its cosine to itself is 1 all the same."""
    _, _, vectors = synthetic(400, 6)
    halves = np.concatenate([vectors, vectors, np.zeros((2, 32))]).astype(np.float16)
    agreement = EmbeddingAgreement(lambda rows: halves[rows], 1.0)
    agree, value = agreement.compare(np.arange(400), np.arange(400, 800))
    assert agree.all()
    assert (value == 1.0).all()
    nothing, value = agreement.compare(np.array([800, 0]), np.array([801, 801]))
    assert not nothing.any()
    assert value.tolist() == [0.0, 0.0]
    edges = search.equal(np.zeros(802, dtype=np.uint64), leaders.ranks(uids(802)), agreement, TINY)
    assert pairs(edges.a, edges.b) == {(row, row + 400) for row in range(400)}


class Counting:
    """An agreement that counts what it is asked."""

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        self.splits = agreement.splits
        self.picture_keys = agreement.picture_keys
        self.tables = agreement.tables
        self.possible = agreement.possible
        self.pairs = 0
        self.most = 0

    def compare(
        self, a: Int64Array, b: Int64Array
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        self.pairs += len(a)
        self.most = max(self.most, len(a))
        return self.agreement.compare(a, b)


@pytest.mark.slow
@pytest.mark.long
def test_a_hundred_thousand_different_captions_of_one_band_meet_the_first_alone() -> None:
    n = 100_000
    draw = np.random.default_rng(5).integers(10_000, 100_000, (n, 4))
    captions = [" ".join(map(str, numbers)) for numbers in draw.tolist()]
    sets = shingles.shingle_sets(captions, minhash.CAPTION_NGRAM)
    rows, rank = np.arange(n), leaders.ranks(uids(n))
    edges = search.similar(np.zeros(n, np.uint64), rows, rows, rank, sets, 0.8, AnyPicture())
    assert len(edges.a) == 0
    assert edges.unsearched == n - Limits().first
