"""Sketches turn away hardly any true pair, and what shares a key comes through."""

from itertools import combinations
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from tamis.pipeline.algorithms.grouping.buckets import Groups
from tamis.pipeline.algorithms.near_captions import minhash, sketch_filter
from tamis.pipeline.algorithms.near_captions.shingles import Ngram


def pairs_of(groups: Groups) -> set[tuple[int, int]]:
    """All pairs that a search of the groups would look at."""
    ordered = (sorted(group.tolist()) for group in groups)
    return {pair for group in ordered for pair in combinations(group, 2)}


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.integers(0, 128), st.integers(1, 40))
def test_every_pair_with_one_key_and_like_sketches_comes_through(
    seed: int, n: int, most: int, held: int
) -> None:
    draw = np.random.default_rng(seed)
    keys = draw.integers(0, draw.integers(1, n + 2), n).astype(np.uint32)
    bits = draw.integers(0, 2**64, (n, sketch_filter.WORDS), dtype=np.uint64)
    bits = np.where(draw.random((n, 1)) < 0.5, bits[:1] if n else bits, bits)
    with patch.multiple(sketch_filter, _EDGES=held, _PAIRS=held):
        met = sketch_filter.candidates(sketch_filter.with_company(keys), bits, most)
    same = keys[:, None] == keys[None, :]
    near = np.bitwise_count(bits[:, None] ^ bits[None, :]).sum(axis=2) <= most
    wanted = {(int(a), int(b)) for a, b in np.argwhere(same & near) if a < b}
    assert wanted <= pairs_of(met)
    # A search looks at no pair that similar pairs of its key do not connect.
    _, component = connected_components(same & near, directed=False)
    assert all(len(set(component[group].tolist())) == 1 for group in met)
    sizes = np.bincount(keys)[keys] if n else keys
    assert {pair for pair in pairs_of(met) if sizes[pair[0]] <= 8} == {
        pair for pair in wanted if sizes[pair[0]] <= 8
    }
    # Near copies make a group, and not a pair with each: what goes on grows as the captions do.
    assert sum(len(group) for group in met if sizes[group[0]] > 8) <= 2 * 4 * n


def test_strangers_of_one_key_are_not_compared() -> None:
    """Of captions that share a frequent word only those go on that are like another."""
    draw = np.random.default_rng(0)
    bits = draw.integers(0, 2**64, (5000, sketch_filter.WORDS), dtype=np.uint64)
    bits[1::500] = bits[::500]
    met = sketch_filter.candidates(
        sketch_filter.with_company(np.zeros(5000, np.uint32)), bits, sketch_filter.WORDS
    )
    assert sorted(group.tolist() for group in met) == [[n, n + 1] for n in range(0, 5000, 500)]


def test_a_very_large_group_is_kept_as_it_is() -> None:
    sizes = [sketch_filter.MANY + 1, 5]
    keys = np.repeat(np.arange(2, dtype=np.uint32), sizes)
    draw = np.random.default_rng(0)
    bits = draw.integers(0, 2**64, (sum(sizes), sketch_filter.WORDS), dtype=np.uint64)
    met = sketch_filter.candidates(sketch_filter.with_company(keys), bits, 0)
    assert [group.tolist() for group in met] == [list(range(sizes[0]))]


def test_a_million_records_of_one_key_are_one_group() -> None:
    one = sketch_filter.with_company(np.zeros(10**6, np.uint32))
    met = sketch_filter.candidates(one, np.zeros((10**6, sketch_filter.WORDS), np.uint64), 20)
    assert met.offsets.tolist() == [0, 10**6]


@pytest.mark.parametrize("permutations", [1, 16, 108, 200])
@pytest.mark.parametrize("rows", [0, 1, sketch_filter.BLOCK + 1])
def test_a_sketch_is_a_bit_of_each_position(rows: int, permutations: int) -> None:
    draw = np.random.default_rng(rows)
    signatures = draw.integers(0, 2**32, (rows, permutations), dtype=np.uint32)
    bits = sketch_filter.sketch_bits(signatures)
    assert bits.shape == (rows, sketch_filter.WORDS)
    for row in {0, rows // 2, rows - 1} if rows else ():
        judge = [0] * sketch_filter.WORDS
        for place, value in enumerate(signatures[row, : 64 * sketch_filter.WORDS].tolist()):
            judge[place // 64] |= (value * 0x9E3779B1 % 2**32 >> 31) << place % 64
        assert bits[row].tolist() == judge


@pytest.mark.parametrize("permutations", [16, 40, 108])
@pytest.mark.parametrize("shared", [0.1, 0.5, 0.8, 0.9])
def test_bits_differ_as_often_as_they_should(shared: float, permutations: int) -> None:
    """The share of differing bits is (1 - J) / 2: measured over pairs of texts of known similarity."""
    draw = np.random.default_rng(int(shared * 100))
    words = 60
    common = round(words * 2 * shared / (1 + shared))
    left, right = [], []
    for _ in range(400):
        drawn = [f"w{word}" for word in draw.choice(10**6, 2 * words, replace=False)]
        left.append(" ".join(drawn[:words]))
        right.append(" ".join([*drawn[:common], *drawn[words : 2 * words - common]]))
    unit = Ngram("word", 1)
    bits = [
        sketch_filter.sketch_bits(minhash.signatures(texts, unit, permutations))
        for texts in (left, right)
    ]
    differing = np.bitwise_count(bits[0] ^ bits[1]).sum(axis=1)
    places = min(permutations, 64 * sketch_filter.WORDS)
    expected = (1 - common / (2 * words - common)) / 2
    assert differing.mean() / places == pytest.approx(expected, abs=0.02)
    assert (differing <= sketch_filter.most_differing(shared * 0.98, permutations)).all()


def test_the_bound_on_differing_bits() -> None:
    """At .8 a bit differs once in ten: 24 of 108 is over four standard deviations; by chance alone, 54."""
    assert sketch_filter.most_differing(0.8, 108) == 24
    assert sketch_filter.most_differing(1.0, 108) == 0
    assert sketch_filter.most_differing(0.8, 16) < 16
