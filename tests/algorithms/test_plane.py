"""Vectors on a plane: neighbours stay neighbours; widths by their definition; what is degenerate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms import plane


def groups(sizes: list[int], dim: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors about as many centres as there are sizes, and the centre of each."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((len(sizes), dim))
    of = np.repeat(np.arange(len(sizes)), sizes)
    return centres[of] + 0.5 * random.standard_normal((len(of), dim)), of


def of_one_group(places: np.ndarray, of: np.ndarray) -> float:
    """The share of places whose nearest other is of their own group."""
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(apart, np.inf)
    return float((of[apart.argmin(axis=1)] == of).mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_groups_stay_together_better_than_in_the_main_directions(seed: int) -> None:
    rows, of = groups([8] * 40, seed=seed)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    places = plane.placed(rows)
    assert of_one_group(places, of) > 0.9
    assert of_one_group(plane.main_directions(unit), of) < 0.6
    assert np.abs(places).max() == 1.0
    assert places.min() >= -1.0


def test_the_same_vectors_have_the_same_places_whatever_their_length() -> None:
    rows, _ = groups([10, 20, 5])
    places = plane.placed(rows)
    assert np.array_equal(places, plane.placed(rows))
    assert np.array_equal(places, plane.placed(rows * 4.0))


@given(st.integers(5, 30), st.floats(2, 4), st.integers(0, 50))
def test_a_gaussian_is_as_wide_as_it_is_asked_to_be(n: int, neighbours: float, seed: int) -> None:
    """Judged row by row: some width has that perplexity, and its shares are those of the pairs."""
    rows = np.random.default_rng(seed).standard_normal((n, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    shares = np.zeros((n, n))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        apart = np.array([((rows[i] - rows[j]) ** 2).sum() for j in others])

        def share(sharp: float, apart: np.ndarray = apart) -> np.ndarray:
            weights = np.exp(-(apart - apart.min()) * sharp)
            return np.asarray(weights / weights.sum())

        low, high = 0.0, 1e6
        for _ in range(100):
            half = (low + high) / 2
            p = share(half)
            entropy = -(p * np.log(np.maximum(p, 1e-300))).sum()
            low, high = (half, high) if entropy > np.log(neighbours) else (low, half)
        shares[i, others] = share(low)
    joint = (shares + shares.T) / (2 * n)
    found = plane.likenesses(rows, neighbours)
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx(joint, abs=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7])
def test_few_vectors_and_equal_ones_have_places_too(n: int) -> None:
    for rows in (np.ones((n, 5)), np.eye(7, 5)[:n] + 0.1):
        places = plane.placed(rows)
        assert places.shape == (n, 2)
        assert np.isfinite(places).all()
        assert np.abs(places).max(initial=0) <= 1


@pytest.mark.parametrize("shape", [(3, 8), (9, 8), (40, 8), (40, 1), (1, 4), (0, 3)])
def test_main_directions_are_those_of_a_singular_value_decomposition(
    shape: tuple[int, int],
) -> None:
    rows = np.random.default_rng(4).standard_normal(shape) * np.arange(1, shape[1] + 1)
    centred = rows - rows.mean(axis=0) if len(rows) else rows
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    judged = (left * singular)[:, :2]
    found = plane.main_directions(rows)[:, : judged.shape[1]]
    assert np.abs(found) == pytest.approx(np.abs(judged), abs=1e-9)
    if len(rows):
        assert (found[np.abs(found).argmax(axis=0), range(found.shape[1])] >= 0).all()
