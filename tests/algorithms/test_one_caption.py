"""One caption under many pictures: the components are those of all pairs that agree."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.grouping import components
from tamis.pipeline.algorithms.grouping.buckets import Limits
from tamis.pipeline.algorithms.near_captions import posting_lists, search
from tamis.pipeline.algorithms.near_captions.agreement import (
    Agreement,
    EmbeddingAgreement,
    PhashAgreement,
)

UInt64Array = NDArray[np.uint64]

# Every caption of more than eight pictures takes the ways of many.
TINY = Limits(all_pairs=8, pairs=100)


def uids(n: int, seed: int = 0) -> UInt64Array:
    return np.random.default_rng(seed).integers(0, 2**63, size=(n, 2), dtype=np.uint64)


def clumped_hashes() -> UInt64Array:
    """Six pairs of clumps; of each pair one leaf reaches one of the other clump, the centres stand first.

    All lie in one chunk of bits, so that the other chunks' tables hold each pair of clumps together.
    """
    leaves = [
        sum(bits) for k in (1, 2, 3) for bits in combinations([1 << b for b in range(9, 16)], k)
    ]
    low, high = 0, 0b111111111
    chunk = [low, high, *leaves, *(high ^ leaf for leaf in leaves), 0b111, 0b111111]
    spread = [sum((code >> bit & 1) << 4 * bit for bit in range(16)) for code in chunk]
    worlds = [
        0xE * (0x0123456789ABCDEF * (2 * world + 1) % 2**64 & 0x1111111111111111)
        for world in range(6)
    ]
    return np.array([code | world for world in worlds for code in spread], dtype=np.uint64)


def walked_vectors(n: int, cosine: float) -> NDArray[np.float64]:
    """A chain of pictures: each at this cosine to the next, so that nobody else is as near."""
    draw = np.random.default_rng(5)
    vectors = [np.eye(64)[0]]
    for _ in range(n - 1):
        aside = draw.standard_normal(64)
        aside -= (aside @ vectors[-1]) * vectors[-1]
        aside /= np.linalg.norm(aside)
        vectors.append(cosine * vectors[-1] + np.sqrt(1 - cosine**2) * aside)
    return np.array(vectors)


@pytest.mark.parametrize("limits", [None, TINY], ids=["whole", "tiny"])
@pytest.mark.parametrize("agree", ["phash", "embedding"])
def test_one_caption_has_the_components_of_all_its_pairs(agree: str, limits: Limits | None) -> None:
    """Pictures in chains a-b-c of which a and c do not agree: no link is missed."""
    hashes, vectors = clumped_hashes(), walked_vectors(900, 0.9001)
    agreement: Agreement = PhashAgreement(hashes, 3)
    if agree == "embedding":
        agreement = EmbeddingAgreement(lambda rows: vectors[rows], 0.9)
    n = len(hashes) if agree == "phash" else len(vectors)
    uid = np.stack([np.zeros(n), np.arange(n)], axis=1).astype(np.uint64)
    a, b = np.triu_indices(n, 1)
    true, _ = agreement.compare(a, b)
    edges = search.equal(np.zeros(n, dtype=np.uint64), uid, agreement, limits)
    assert edges.unsearched == 0
    assert agreement.compare(edges.a, edges.b)[0].all()
    wanted = components.connected(a[true], b[true], n)
    assert len(np.unique(wanted)) == (6 if agree == "phash" else 1)
    assert components.connected(edges.a, edges.b, n).tolist() == wanted.tolist()


@given(
    st.integers(9, 200), st.integers(0, 6), st.sampled_from([2, 4, 12]), st.integers(0, 2**32 - 1)
)
def test_any_pictures_of_one_caption_have_the_components_of_all_pairs(
    n: int, radius: int, bits: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    hashes = draw.integers(0, 2**bits, n).astype(np.uint64) * np.uint64(0x0011_0101_0101_0101)
    vectors = draw.standard_normal((n, bits)) + draw.integers(0, 3)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = 0.8 + radius / 40
    halves = vectors.astype(np.float16)
    both = PhashAgreement(hashes, radius), EmbeddingAgreement(lambda rows: halves[rows], cosine)
    a, b = np.triu_indices(n, 1)
    for agreement in both:
        true, _ = agreement.compare(a, b)
        edges = search.equal(np.zeros(n, dtype=np.uint64), uids(n, seed), agreement, TINY)
        assert edges.unsearched == 0
        assert agreement.compare(edges.a, edges.b)[0].all()
        wanted = components.connected(a[true], b[true], n)
        assert components.connected(edges.a, edges.b, n).tolist() == wanted.tolist()


def test_pictures_too_many_for_the_sieve_meet_in_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of each kind, all kinds far apart: equal signs, so that no chance is in it.

    A table holds more pairs than the limit, which counts for each of its parts.
    """
    monkeypatch.setattr(posting_lists, "_RECORDS", 32)
    vectors = np.repeat(np.eye(200, dtype=np.float32), 2, axis=0)
    agreement = EmbeddingAgreement(lambda rows: vectors[rows], 0.9)
    few = Limits(all_pairs=8, comparisons=100, pairs=100)
    edges = search.equal(np.zeros(400, dtype=np.uint64), uids(400), agreement, few)
    assert edges.unsearched == 0
    pairs = np.sort(np.stack([edges.a, edges.b]), axis=0)
    assert sorted(pairs[0].tolist()) == list(range(0, 400, 2))
    assert (pairs[1] == pairs[0] + 1).all()


def test_pictures_too_many_for_tables_too_say_so() -> None:
    """All lie so close that signs hold many together, and not so close that any two agree."""
    vectors = np.sqrt(0.15) * np.eye(401)[1:] + np.sqrt(0.85) * np.eye(401)[0]
    agreement = EmbeddingAgreement(lambda rows: vectors[rows], 0.9)
    few = Limits(all_pairs=8, comparisons=10, pairs=100)
    assert search.equal(np.zeros(400, dtype=np.uint64), uids(400), agreement, few).unsearched > 0
