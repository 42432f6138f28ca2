"""Bits of shingle sets: no pair that is alike is ever ruled out, and most others are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.near_captions import jaccard, minhash, shingles
from tamis.pipeline.algorithms.near_captions.parity_filter import ParityFilter

NAMES = np.array([f"{a}{b}{c}" for a in "bdklmrst" for b in "aeio" for c in ("nka", "rel", "vost")])


def portraits(n: int, seed: int) -> list[str]:
    """Captions of one template, each alike to few others or none."""
    draw = np.random.default_rng(seed)
    drawn = draw.choice(NAMES, (n, 3))
    made = [f"portrait of {' '.join(names)}, oil on canvas, gallery of art" for names in drawn]
    for row in range(0, n - 1, 10):
        made[row + 1] = made[row].replace("oil", draw.choice(["ink", "tar", "wax"]))
    return sorted(set(made))


@given(st.integers(2, 60), st.sampled_from([0.1, 0.5, 0.7, 0.8, 0.95, 1.0]), st.integers(0, 999))
def test_nobody_who_is_alike_is_ruled_out(n: int, bound: float, seed: int) -> None:
    texts = [*portraits(n, seed), "ab", "abc", "abcd"]
    sets = shingles.shingle_sets(texts, minhash.CAPTION_NGRAM)
    a, b = np.triu_indices(len(texts), 1)
    alike = jaccard.pairs(sets, a, b) >= bound
    assert ParityFilter(sets, bound).possible(a, b)[alike].all()


def test_bits_rule_out_most_of_what_is_not_alike() -> None:
    texts = portraits(400, 1)
    sets = shingles.shingle_sets(texts, minhash.CAPTION_NGRAM)
    a, b = np.triu_indices(len(texts), 1)
    possible = ParityFilter(sets, 0.9).possible(a, b)
    true = jaccard.pairs(sets, a, b) >= 0.9
    assert 0 < true.sum() <= possible.sum() < 3 * true.sum()
