"""Shares are those written in decimal, of whatever count: no sample is lost because a product of floats is less."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal

import numpy as np
import pytest

from tamis.pipeline.algorithms import boilerplate
from tamis.pipeline.algorithms.choosing import coverage, density, group_quotas, prototypes
from tamis.pipeline.algorithms.shares import rounded_down, rounded_up
from tamis.pipeline.steps.selectors.config import count_of

COUNTS: dict[str, Callable[[float, int], int]] = {
    "a share": rounded_down,
    "keep": count_of,
    "the cap of a group": lambda share, n: int(group_quotas.capacities(np.array([n]), share)[0]),
    "the hardest": lambda share, n: coverage.hardest_count(n, share),
    "the floor of a cluster": lambda share, n: prototypes.floor_count(7 * n, 7, share),
    "the balance": lambda share, n: int(density.lower_bounds(np.array([9 * n]), n, share)[0]),
}


@pytest.mark.parametrize("counted", COUNTS)
def test_a_share_is_that_of_its_decimal(counted: str) -> None:
    for whole in (1, 7, 10, 50, 100, 1_000, 2**40 + 1):
        for hundredth in range(1, 100):
            share = hundredth / 100
            exact = (Decimal(repr(share)) * whole).to_integral_value(ROUND_FLOOR)
            assert COUNTS[counted](share, whole) == exact, (share, whole)


def test_the_least_count_of_a_share_reaches_it() -> None:
    assert rounded_up(0.07, 100) == 7
    assert rounded_up(0.07, 101) == 8
    captions = [f"{number} of them" for number in range(93)]
    captions += [f"{number} a run of words" for number in range(7)]
    found = boilerplate.frequent(captions, 4, 10, 0.07)
    assert [(text, count) for _, text, count in found] == [("a run of words", 7)]
