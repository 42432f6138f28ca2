"""Logistic regression: a case by hand, the optimum as its gradient says, and classes of any size."""

import numpy as np
import numpy.typing as npt
import pytest

from tamis.pipeline.algorithms import logistic


def probability(
    rows: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], bias: float
) -> npt.NDArray[np.float64]:
    """The probability of the first class, (n,)."""
    found: npt.NDArray[np.float64] = 1 / (1 + np.exp(-(rows @ weights + bias)))
    return found


def test_four_numbers_by_hand() -> None:
    rows = np.array([[1.0], [2.0], [-1.0], [0.0]])
    weights, bias = logistic.fit(rows, np.array([True, True, False, False]), penalty=1.0)
    assert weights == pytest.approx([0.958286], abs=1e-6)
    assert bias == pytest.approx(-0.479143, abs=1e-6)
    found = probability(rows, weights, bias)
    assert found == pytest.approx([0.617545, 0.808056, 0.191944, 0.382455], abs=1e-6)
    assert probability(np.array([[0.5]]), weights, bias) == pytest.approx([0.5])


def test_no_step_in_any_direction_is_better() -> None:
    random = np.random.default_rng(1)
    rows, first = random.normal(size=(120, 7)), random.random(120) < 0.3
    weights, bias = logistic.fit(rows, first, penalty=2.0)
    share = np.where(first, 120 / (2 * first.sum()), 120 / (2 * (~first).sum()))
    error = share * (probability(rows, weights, bias) - first)
    assert rows.T @ error + 2.0 * weights == pytest.approx(np.zeros(7), abs=1e-4)
    assert error.sum() == pytest.approx(0, abs=1e-4)


def test_a_class_that_stands_thrice_changes_nothing() -> None:
    random = np.random.default_rng(2)
    yes, no = random.normal(1, 1, (30, 3)), random.normal(0, 1, (30, 3))
    once = logistic.fit(np.concatenate([yes, no]), np.arange(60) < 30, penalty=1.0)
    more = logistic.fit(np.concatenate([yes, no, no, no]), np.arange(120) < 30, penalty=2.0)
    assert more[0] == pytest.approx(once[0], abs=1e-5)
    assert more[1] == pytest.approx(once[1], abs=1e-5)


def test_the_same_rows_give_the_same_bits() -> None:
    random = np.random.default_rng(3)
    rows, first = random.normal(size=(200, 40)), random.random(200) < 0.5
    once, twice = (logistic.fit(rows, first, 1.0) for _ in range(2))
    assert once[0].tobytes() == twice[0].tobytes()
    assert once[1] == twice[1]


def test_a_single_class_is_refused() -> None:
    with pytest.raises(ValueError, match="2 of 2 rows are of the first class"):
        logistic.fit(np.zeros((2, 1)), np.array([True, True]), 1.0)
