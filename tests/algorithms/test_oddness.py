"""Oddness: quartiles of counted values as a sorted list has them, and the distance from them."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms import oddness

VALUES = st.lists(st.integers(1, 30), min_size=1, max_size=60)


@given(VALUES)
def test_quartiles_are_values_that_a_quarter_and_three_do_not_exceed(values: list[int]) -> None:
    different, counts = np.unique(np.array(values, np.float64), return_counts=True)
    ordered = sorted(values)
    expected = (
        ordered[math.ceil(len(values) / 4) - 1],
        ordered[math.ceil(3 * len(values) / 4) - 1],
    )
    assert oddness.quartiles(different, counts) == expected


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_parts_add_up_to_the_whole_in_any_order(parts: list[list[int]]) -> None:
    counted = [np.unique(np.array(part, np.float64), return_counts=True) for part in parts]
    every = np.array([value for part in parts for value in part], np.float64)
    expected = np.unique(every, return_counts=True)
    for order in (counted, counted[::-1]):
        joined = (np.concatenate(arrays) for arrays in zip(*order, strict=True))
        found = oddness.added_up(*joined)
        assert [array.tolist() for array in found] == [array.tolist() for array in expected]


@given(st.lists(st.floats(1e-9, 1e12), min_size=1))
def test_a_step_is_less_than_a_thousandth_below(values: list[float]) -> None:
    exact = np.array(values)
    steps = oddness.stepped(exact)
    assert (steps <= exact).all()
    assert (exact - steps < exact / 1024).all()
    assert (oddness.stepped(steps) == steps).all()


def test_whole_numbers_up_to_2048_stay() -> None:
    numbers = np.arange(1.0, 2049.0)
    assert (oddness.stepped(numbers) == numbers).all()


def test_distance_is_in_interquartile_ranges_outside_of_the_quartiles() -> None:
    values = np.array([1.0, 4.0, 5.0, 6.0, 7.0, 12.0])
    assert oddness.distance(values, 4.0, 6.0, 0.04).tolist() == [1.5, 0.0, 0.0, 0.0, 0.5, 3.0]


def test_a_small_range_counts_as_the_least() -> None:
    assert oddness.distance(np.array([4.0, 5.0]), 4.0, 4.0, 0.25).tolist() == [0.0, 4.0]
