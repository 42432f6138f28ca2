"""Bounds on who of a large group can be alike: no pair that is alike is ever ruled out."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.algorithms import jaccard, minhash, near, text
from pipeline.algorithms.agreement import AnyPicture
from pipeline.algorithms.buckets import Limits
from pipeline.algorithms.prefixes import Narrowed

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
def test_who_is_alike_shares_a_group_and_is_not_ruled_out(n: int, bound: float, seed: int) -> None:
    texts = [*portraits(n, seed), "ab", "abc", "abcd"]
    sets = text.shingle_sets(texts, minhash.CAPTION_NGRAM)
    # A caption stands for several samples, and the group is not of all rows.
    caption = np.random.default_rng(seed).integers(0, len(texts), 2 * n)
    members = np.random.default_rng(seed).permutation(2 * n)[: n + n // 2]
    bounds = Narrowed(sets, caption, bound, members)
    held = [rows for groups in bounds.groups() for rows in groups]
    assert bounds.pairs == sum(len(rows) * (len(rows) - 1) // 2 for rows in held)
    together = {(int(a), int(b)) for rows in held for a in rows for b in rows}
    a, b = (members[side] for side in np.triu_indices(len(members), 1))
    alike = jaccard.pairs(sets, caption[a], caption[b]) >= bound
    assert bounds.possible(a, b)[alike].all()
    assert set(zip(a[alike].tolist(), b[alike].tolist(), strict=True)) <= together


def test_captions_of_one_template_are_searched_whole_at_a_small_part_of_their_pairs() -> None:
    """They share their bands; centres match hardly any, and a search by them alone would give up."""
    texts = portraits(3000, 1)
    n = len(texts)
    sets = text.shingle_sets(texts, minhash.CAPTION_NGRAM)
    uid = np.random.default_rng(2).integers(0, 2**63, (n, 2), dtype=np.uint64)
    rows = np.arange(n)
    limits = Limits(all_pairs=64, comparisons=n * 64)
    found = near.similar(
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
    pairs = {tuple(sorted(p)) for p in zip(found.a.tolist(), found.b.tolist(), strict=True)}
    assert pairs <= set(zip(a[true].tolist(), b[true].tolist(), strict=True))
    # Only pairs of two that both matched a centre may be missing.
    assert len(pairs) >= 0.95 * true.sum()
