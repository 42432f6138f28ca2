"""Bounds on the pairs of a large group that can be alike: no pair that is alike is ever ruled out."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.grouping.buckets import Limits
from tamis.pipeline.algorithms.grouping.components import connected
from tamis.pipeline.algorithms.near_captions import jaccard, minhash, search, shingles
from tamis.pipeline.algorithms.near_captions.agreement import AnyPicture
from tamis.pipeline.algorithms.near_captions.parity_filter import ParityFilter
from tamis.pipeline.algorithms.near_captions.posting_lists import Postings

NAMES = np.array([f"{a}{b}{c}" for a in "bdklmrst" for b in "aeio" for c in ("nka", "rel", "vost")])


def portraits(n: int, seed: int) -> list[str]:
    """Captions of one template, each alike to few others or none."""
    draw = np.random.default_rng(seed)
    drawn = draw.choice(NAMES, (n, 3))
    made = [f"portrait of {' '.join(names)}, oil on canvas, gallery of art" for names in drawn]
    for row in range(0, n - 1, 10):
        made[row + 1] = made[row].replace("oil", draw.choice(["ink", "tar", "wax"]))
    return sorted(set(made))


def pairs_of(postings: Postings, label: NDArray[np.int64], blocks: int) -> set[tuple[int, int]]:
    """All pairs of the postings, in blocks and sorted again after each."""
    pairs: set[tuple[int, int]] = set()
    for part in postings.parts():
        rest = part
        while len(rest.member):
            lists = rest.lists(label)
            stop = 0
            if len(lists.probes):
                stop, _ = lists.block(0, blocks)
                a, b = lists.pairs(0, stop)
                pairs |= {
                    (min(x, y), max(x, y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)
                }
            rest = lists.rest(stop)
    return pairs


@given(
    st.integers(2, 60),
    st.sampled_from([0.1, 0.5, 0.7, 0.8, 0.95, 1.0]),
    st.sampled_from([1, 5, 100]),
    st.integers(0, 999),
)
def test_all_who_are_alike_and_not_connected_meet(
    n: int, bound: float, kinds: int, seed: int
) -> None:
    texts = [*portraits(n, seed), "ab", "abc", "abcd"]
    sets = shingles.shingle_sets(texts, minhash.CAPTION_NGRAM)
    # A caption stands for several samples, and the group is not of all captions.
    draw = np.random.default_rng(seed)
    caption = draw.integers(0, len(texts), n + n // 2)
    label = draw.integers(0, kinds, len(caption))
    a, b = np.triu_indices(len(caption), 1)
    alike = jaccard.pairs(sets, caption[a], caption[b]) >= bound
    assert ParityFilter(sets, bound).possible(caption[a], caption[b])[alike].all()
    wanted = alike & (label[a] != label[b]) & (caption[a] != caption[b])
    pairs = set(zip(a[wanted].tolist(), b[wanted].tolist(), strict=True))
    assert pairs <= pairs_of(Postings.of_prefixes(sets, caption, bound), label, 50)
    every = pairs_of(Postings.of_all(len(caption)), label, 50)
    apart = label[a] != label[b]
    assert every >= set(zip(a[apart].tolist(), b[apart].tolist(), strict=True))


def test_bits_rule_out_most_of_what_is_not_alike() -> None:
    texts = portraits(400, 1)
    sets = shingles.shingle_sets(texts, minhash.CAPTION_NGRAM)
    a, b = np.triu_indices(len(texts), 1)
    possible = ParityFilter(sets, 0.9).possible(a, b)
    true = jaccard.pairs(sets, a, b) >= 0.9
    assert 0 < true.sum() <= possible.sum() < 3 * true.sum()


def test_captions_of_one_template_are_searched_whole_at_a_small_part_of_their_pairs() -> None:
    """They share their bands; centres match hardly any, and a search by them alone would give up."""
    texts = portraits(3000, 1)
    n = len(texts)
    sets = shingles.shingle_sets(texts, minhash.CAPTION_NGRAM)
    uid = np.random.default_rng(2).integers(0, 2**63, (n, 2), dtype=np.uint64)
    rows = np.arange(n)
    limits = Limits(all_pairs=64, comparisons=n * n // 4)
    found = search.similar(
        np.zeros(n, dtype=np.uint64), rows, rows, uid, sets, 0.9, AnyPicture(), limits
    )
    a, b = np.triu_indices(n, 1)
    # The judge: shared shingles by the product of the 0/1 matrix with itself.
    names, column = np.unique(sets.hashes, return_inverse=True)
    table = np.zeros((n, len(names)), dtype=np.float32)
    table[np.repeat(rows, sets.sizes), column] = 1
    shared = (table @ table.T)[a, b]
    true = shared / (sets.sizes[a] + sets.sizes[b] - shared) >= 0.9
    assert true.sum() > 50
    assert found.unsearched == 0
    assert (connected(found.a, found.b, n) == connected(a[true], b[true], n)).all()
