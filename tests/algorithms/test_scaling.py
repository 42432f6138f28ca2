"""Error laws of repeated samples: worked cases, and the recurrence pass by pass as the judge."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.scaling import Buckets, Law, effective, error, prefixes

TABLE = {
    10: (0.501187, 0.562341, 0.630957),
    20: (0.451695, 0.472871, 0.549280),
    40: (0.433464, 0.414477, 0.482290),
    80: (0.430471, 0.378257, 0.431659),
    640: (0.430363, 0.355504, 0.369794),
}
"""Samples seen -> errors of one, two and three buckets of ten units: b -.3, -.2, -.1, tau 1, 2, 4, a 1, d 0."""

THREE = Buckets(np.full(3, 10.0), np.array([-0.3, -0.2, -0.1]), np.array([1.0, 2.0, 4.0]))

sizes = st.floats(1, 1e6)
powers = st.floats(-1, -0.001)
taus = st.floats(0.1, 20)
buckets = st.lists(st.tuples(sizes, powers, taus), min_size=1, max_size=5)


def of(rows: list[tuple[float, float, float]]) -> Buckets:
    return Buckets(*np.array(rows).T)


def after(law: Law, rows: list[tuple[float, float, float]], seen: float) -> float:
    """The error as it is written down: pass by pass, no arrays."""
    unique = sum(n for n, _, _ in rows)
    so_far, found, k = min(unique, seen), 1.0, 0
    b = sum(n / unique * b for n, b, _ in rows)
    found = (so_far / law.unit) ** b
    while so_far < seen:
        k += 1
        b = sum(n / unique * b * 2 ** (-k / (tau * unique / n)) for n, b, tau in rows)
        reached = min(so_far + unique, seen)
        found *= (reached / so_far) ** b
        so_far = reached
    return law.a * found + law.d


def test_the_worked_table() -> None:
    found = prefixes(Law(1.0), THREE, np.array(list(TABLE), np.float64))
    np.testing.assert_allclose(found.T, list(TABLE.values()), rtol=0, atol=1e-6)
    assert (found.argmin(axis=0) + 1).tolist() == [1, 1, 2, 2, 2]


def test_a_scale_of_its_own_and_an_error_that_stays() -> None:
    one = of([(12.8e6, -0.2, 3.0)])
    found = error(Law(0.02, 0.1, 1e5), one, np.array([640e6]))
    assert found == pytest.approx([0.1059], abs=5e-5)


def test_passes_worth_new_samples() -> None:
    found = [effective(1.0, passes) for passes in (0.5, 1, 2, 4, 8, 16, 40)]
    assert found == pytest.approx([0.5, 1, 1.9682, 3.7259, 6.6251, 10.5856, 15.1763], abs=5e-5)


@given(buckets, st.floats(0.01, 300), st.floats(0.1, 1e5))
def test_it_is_the_recurrence(
    rows: list[tuple[float, float, float]], passes: float, unit: float
) -> None:
    law = Law(0.7, 0.05, unit)
    seen = passes * sum(n for n, _, _ in rows)
    assert error(law, of(rows), np.array([seen])) == pytest.approx([after(law, rows, seen)])


@given(sizes, powers, taus, st.lists(st.integers(1, 9), min_size=2, max_size=4), st.floats(0.5, 50))
def test_cut_into_pieces_a_bucket_says_the_same(
    samples: float, b: float, tau: float, pieces: list[int], passes: float
) -> None:
    """A piece alone is passed over more often, so its tau is as much smaller."""
    shares = [piece / sum(pieces) for piece in pieces]
    cut = of([(samples * share, b, tau * share) for share in shares])
    seen = np.array([passes * samples])
    whole = error(Law(1.0), of([(samples, b, tau)]), seen)
    assert error(Law(1.0), cut, seen) == pytest.approx(whole)


def test_after_very_many_passes_nothing_changes() -> None:
    one = of([(10.0, -0.3, 3.0)])
    far = error(Law(1.0), one, np.array([1e4, 1e9, 1e300]))
    assert far[0] == pytest.approx(far[1], rel=1e-12)
    assert far[2] == pytest.approx(far[1], rel=1e-12)
    limit = 10**-0.3 * math.exp(
        -0.3 * sum(2 ** (-k / 3) * math.log((k + 1) / k) for k in range(1, 900))
    )
    assert far[1] == pytest.approx(limit)
