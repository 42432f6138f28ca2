"""The search by Fréchet distance: the case by hand, scipy-free brute force, merged moments, and whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.choosing.frechet import (
    UNIT,
    Moments,
    Search,
    Target,
    add,
    directions,
    projected,
)
from tests.support.embedded import unit


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


TARGET = Target(Moments.of(column(-1, 0, 1, 2)))
CONCEPTS = [column(-1, 1), column(1, 1.5), column(8, 10)]


def searched(target: Target, concepts: list[np.ndarray]) -> Search:
    made = [Moments.of(rows) for rows in concepts]
    counts = np.array([one.size for one in made], np.int64)
    return target.search(
        counts, np.stack([one.total for one in made]), np.stack([one.outer for one in made])
    )


def test_the_case_by_hand() -> None:
    found = searched(TARGET, CONCEPTS)
    assert found.distance == pytest.approx([0.265183, 1.441296, 72.265183], abs=1e-6)
    assert found.union == pytest.approx([0.265183, 0.048864, 18.514], abs=1e-3)
    assert found.rank.tolist() == [1, 2, 3]
    assert found.best == 2


def test_concepts_without_vectors_come_last() -> None:
    found = searched(TARGET, [np.zeros((0, 1)), *CONCEPTS])
    assert found.rank.tolist() == [4, 1, 2, 3]
    assert found.best == 2
    with pytest.raises(ValueError, match="no concept has a vector"):
        searched(TARGET, [np.zeros((0, 1))])


def test_the_minimum_counts_and_not_the_first_rise() -> None:
    """Two concepts on either side: the first alone is nearer than the first two, all four are the target."""
    draw = np.random.default_rng(1)
    rows = draw.standard_normal((4_000, 1))
    cuts = [rows[np.digitize(rows[:, 0], [-1, 0, 1]) == n] for n in range(4)]
    found = searched(Target(Moments.of(rows)), [*cuts, rows + 9])
    assert found.best == 4
    assert found.rank[4] == 5


def brute(one: np.ndarray, other: np.ndarray) -> float:
    """By the eigenvalues of the product of both covariances, which is not symmetric."""
    a, b = np.cov(one.T), np.cov(other.T)
    roots = np.sqrt(np.linalg.eigvals(a @ b).astype(complex)).real.sum()
    gap = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    return float(gap + np.trace(a) + np.trace(b) - 2 * roots)


@given(st.integers(2, 6), st.integers(0, 99))
def test_the_distance_is_what_brute_force_says(size: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    one = draw.standard_normal((40, size)) @ draw.standard_normal((size, size))
    other = draw.standard_normal((30, size)) + 1
    target = Target(Moments.of(one))
    assert target.distance(Moments.of(other)) == pytest.approx(brute(one, other), abs=1e-6)
    assert target.distance(Moments.of(one)) == pytest.approx(0, abs=1e-6)


def test_few_vectors_are_shrunk_to_their_diagonal() -> None:
    rows = np.random.default_rng(2).standard_normal((3, 4))
    whole = np.cov(rows.T)
    found = Moments.of(rows).covariance()
    assert np.allclose(np.diag(found), np.diag(whole))
    assert np.allclose(found[0, 1], whole[0, 1] / 2)
    assert not Moments.of(rows[:1]).covariance().any()


@given(st.lists(st.integers(0, 200), max_size=3), st.integers(0, 20))
def test_moments_of_parts_are_those_of_all_rows_to_the_bit(cuts: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = unit(draw.standard_normal((200, 12))).astype(np.float16)
    along = directions(rows.astype(np.float64).T @ rows / 200, 5)
    concept = draw.integers(0, 3, 200)
    mixed = draw.permutation(200)

    def moments(pieces: list[np.ndarray]) -> list[np.ndarray]:
        made = [np.zeros(3, np.int64), np.zeros((3, 5), np.int64), np.zeros((3, 5, 5), np.int64)]
        for piece in pieces:
            add(projected(rows[piece], along), concept[piece], *made)
        return made

    whole = moments([np.arange(200)])
    for a, b in zip(whole, moments(np.split(mixed, sorted(cuts))), strict=True):
        assert np.array_equal(a, b)
    for number in range(3):
        direct = Moments.of(rows[concept == number].astype(np.float64) @ along)
        assert np.allclose(whole[2][number] * UNIT**2, direct.outer, atol=0.03)


def test_directions_are_those_of_most_length() -> None:
    draw = np.random.default_rng(3)
    rows = draw.standard_normal((500, 4)) * [0.1, 3, 1, 0.01]
    along = directions(rows.T @ rows / 500, 2)
    assert np.abs(along[[1, 2], [0, 1]]) == pytest.approx(1, abs=0.02)
