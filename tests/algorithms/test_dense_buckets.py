"""Near copies by the hundred: the components are those of all pairs that meet, at few comparisons a copy."""

from functools import partial
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.grouping import components
from tamis.pipeline.algorithms.grouping.buckets import Limits, Match, Matches
from tamis.pipeline.algorithms.near_captions import jaccard, minhash, search, shingles
from tamis.pipeline.algorithms.near_captions.agreement import Agreement, AnyPicture, PhashAgreement
from tamis.pipeline.algorithms.near_captions.dense_buckets import connect

Int64Array = NDArray[np.int64]
UInt64Array = NDArray[np.uint64]

WORDS = np.array(
    [a + b + c for a in "bdklmrst" for b in "aeiou" for c in ("nka", "rel", "vost", "m")]
)


def uids(n: int, seed: int = 0) -> UInt64Array:
    return np.random.default_rng(seed).integers(0, 2**63, size=(n, 2), dtype=np.uint64)


def one_word(k: int, seed: int) -> list[str]:
    """A long template and a word of each one's own: all pairs are alike at .8."""
    draw = np.random.default_rng(seed)
    base = " ".join(draw.choice(WORDS, 24))
    return [f"{base} {WORDS[n % len(WORDS)]}{n // len(WORDS)}" for n in range(k)]


def chain(k: int, seed: int) -> list[str]:
    """A window over a long text: neighbours are alike, the ends have nothing in common."""
    words = np.random.default_rng(seed).choice(WORDS, k + 24)
    return [" ".join(words[n : n + 24]) for n in range(k)]


def spun(k: int, seed: int) -> list[str]:
    """One or two words of a template changed: some pairs are alike."""
    draw = np.random.default_rng(seed)
    base = draw.choice(WORDS, 12)
    made = []
    for changed in draw.integers(1, 3, k):
        words = base.copy()
        words[draw.integers(0, len(base), changed)] = draw.choice(WORDS, changed)
        made.append(" ".join(words))
    return made


def template(k: int, seed: int) -> list[str]:
    """A template and three words of each one's own: bands are shared, hardly a pair is alike."""
    draw = np.random.default_rng(seed)
    base = " ".join(draw.choice(WORDS, 10))
    return [f"{base} {' '.join(words)}" for words in draw.choice(WORDS, (k, 3))]


KINDS = {kind.__name__: kind for kind in (one_word, chain, spun, template)}


def distinct(captions: list[str]) -> list[str]:
    return list(dict.fromkeys(captions))


def partition(a: Int64Array, b: Int64Array, n: int) -> list[int]:
    label: list[int] = components.connected(a, b, n).tolist()
    return label


def true_edges(
    captions: list[str], bound: float, agreement: Agreement
) -> tuple[Int64Array, Int64Array]:
    """All pairs that share a band, are alike and agree: every one compared."""
    keys = minhash.Scheme().keys(captions)
    a, b = np.triu_indices(len(captions), 1)
    met = (keys[a] == keys[b]).any(axis=1)
    a, b = a[met], b[met]
    sets = shingles.shingle_sets(captions, minhash.CAPTION_NGRAM)
    alike = jaccard.pairs(sets, a, b) >= bound
    a, b = a[alike], b[alike]
    agree, _ = agreement.compare(a, b)
    return a[agree], b[agree]


@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(2, 100),
    st.sampled_from([0.6, 0.8, 0.9]),
    st.booleans(),
    st.integers(0, 999),
)
def test_components_are_those_of_all_pairs_that_meet(
    kind: str, k: int, bound: float, pictures: bool, seed: int
) -> None:
    captions = distinct([*KINDS[kind](k, seed), *KINDS[kind](k // 3, seed + 1)])
    n = len(captions)
    hashes = np.random.default_rng(seed).integers(0, 4, n).astype(np.uint64) * np.uint64(7)
    agreement: Agreement = PhashAgreement(hashes, 2) if pictures else AnyPicture()
    limits = Limits(all_pairs=8, pairs=2000)
    _, found = search.find(captions, uids(n, seed), bound, agreement, limits=limits)
    true = true_edges(captions, bound, agreement)
    assert partition(found.a, found.b, n) == partition(*true, n)
    assert found.unsearched == 0
    pairs = {
        (min(x, y), max(x, y)) for x, y in zip(found.a.tolist(), found.b.tolist(), strict=True)
    }
    assert len(pairs) == len(found.a)
    assert pairs <= set(zip(*(side.tolist() for side in true), strict=True))


class Bucket:
    """All captions in one bucket, and how many of its pairs are compared."""

    def __init__(self, captions: list[str], bound: float) -> None:
        self.sets = shingles.shingle_sets(captions, minhash.CAPTION_NGRAM)
        self.bound = bound
        self.rows = np.arange(len(captions))
        self.verified = 0

    def match(self, a: Int64Array, b: Int64Array) -> Matches:
        self.verified += len(a)
        value = jaccard.pairs(self.sets, a, b)
        alike = value >= self.bound
        return Matches(a[alike], b[alike], np.stack([value[alike]] * 2, axis=1))

    def connect(self, limits: Limits) -> tuple[Matches, int]:
        match: Match = self.match
        return connect(self.rows, match, limits, self.rows, self.sets, self.bound)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("bound", [0.7, 0.8, 0.9])
def test_one_bucket_of_thousands_has_the_components_of_all_its_pairs(
    kind: str, bound: float
) -> None:
    """Large enough for the bounds to be used."""
    captions = distinct(KINDS[kind](1000, 3))
    n = len(captions)
    bucket = Bucket(captions, bound)
    found, left = bucket.connect(Limits(pairs=1 << 14))
    compared = bucket.verified
    true = bucket.match(*np.triu_indices(n, 1))
    assert left == 0
    assert partition(found.a, found.b, n) == partition(true.a, true.b, n)
    assert kind == "chain" or compared < n * (n - 1) / 2 / 2


def counted(captions: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, search.Edges]:
    """How many pairs of shingle sets a whole search compares, and what it finds."""
    asked: list[int] = []
    true_pairs = jaccard.pairs

    def counting(sets: shingles.Shingles, a: Int64Array, b: Int64Array) -> NDArray[np.float64]:
        asked.append(len(a))
        return true_pairs(sets, a, b)

    with monkeypatch.context() as patch:
        patch.setattr(jaccard, "pairs", counting)
        _, edges = search.find(captions, uids(len(captions)))
    return sum(asked), edges


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("k", [100, 400, 1600, 4800])
def test_verified_pairs_grow_about_as_the_near_copies(
    kind: str, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = distinct(KINDS[kind](k, 1))
    n = len(captions)
    verified, edges = counted(captions, monkeypatch)
    assert verified <= 12 * n * log2(n)
    assert len(edges.a) <= 64 * n
    if kind in ("one_word", "chain"):
        assert len(set(partition(edges.a, edges.b, n))) == 1


def test_each_pair_is_verified_once_however_many_bands_it_meets_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captions = one_word(100, 1)
    verified, _ = counted(captions, monkeypatch)
    assert verified == 100 * 99 / 2


def test_a_search_under_bounds_that_reaches_its_limit_says_so() -> None:
    captions = distinct(template(1500, 3))
    stars = partial(Bucket(captions, 0.8).connect, Limits(comparisons=1500 * 31))
    assert stars()[1] > 0
