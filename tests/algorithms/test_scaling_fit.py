"""Laws that were planted are found again, and their intervals hold them as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.pipeline.algorithms.scaling import Buckets, Law, error
from tamis.pipeline.algorithms.scaling_fit import Curves, drawn

PASSES = np.array([0.25, 0.5, 1, 2, 4, 8, 16])
B, TAU = np.array([-0.25, -0.2, -0.15, -0.1]), np.array([2.0, 4.0, 6.0, 10.0])
SIZE, UNIT, A = 600.0, 128.0, 0.8


def curves(floor: float = 0.0) -> Curves:
    return Curves(SIZE, PASSES, UNIT, floor)


def test_a_law_says_of_its_buckets_what_scaling_says() -> None:
    found = curves(0.1).errors(A, B, TAU)
    for b, tau, line in zip(B, TAU, found, strict=True):
        one = Buckets(np.array([SIZE]), np.array([b]), np.array([tau]))
        assert line == pytest.approx(error(Law(A, 0.1, UNIT), one, PASSES * SIZE))


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_without_noise_the_law_is_found(floor: float) -> None:
    found = curves(floor).fit(curves(floor).errors(A, B, TAU))
    assert found.a == pytest.approx(A, rel=1e-4)
    assert found.b == pytest.approx(B, rel=1e-4)
    assert found.tau == pytest.approx(TAU, rel=1e-3)


def test_slopes_are_those_of_the_predictions() -> None:
    """Each derivative beside a difference of two predictions."""
    fitted = curves(0.05)
    at = np.concatenate([[np.log(A)], B, np.log(TAU)])
    slopes = fitted._slopes(at)
    for number in range(len(at)):
        step = np.zeros(len(at))
        step[number] = 1e-6
        difference = (fitted._predicted(at + step) - fitted._predicted(at - step)).ravel() / 2e-6
        assert slopes[:, number] == pytest.approx(difference, abs=1e-7)


def test_the_intervals_of_ten_noisy_measurements_hold_what_was_planted() -> None:
    """Five seeds each, with noise of every point and an offset of every seed: nine of ten intervals of 95% or more."""
    fitted, true = curves(), curves().errors(A, B, TAU)
    held = []
    for trial in range(10):
        noise = np.random.default_rng(trial)
        shape = (5, len(B), len(PASSES))
        measured = true + noise.normal(0, 0.004, shape) + noise.normal(0, 0.01, (5, 1, 1))
        found = fitted.fit(measured.mean(axis=0))
        fits = [fitted.fit(mean, found) for mean in drawn(measured, 100, trial)]
        low, high = np.quantile([[*fit.b, *fit.tau] for fit in fits], [0.025, 0.975], axis=0)
        planted = np.concatenate([B, TAU])
        held.append((low <= planted) & (planted <= high))
    assert np.mean([inside[: len(B)] for inside in held]) >= 0.9
    assert np.mean([inside[len(B) :] for inside in held]) >= 0.9


def test_draws_spread_as_the_mean_of_seeds_does() -> None:
    measured = np.random.default_rng(0).normal(0, 1, (40, 1, 2))
    measured[:, :, 1] = measured[:, :, 0]
    found = drawn(measured, 4_000, 1)
    assert found.std(axis=0)[0, 0] == pytest.approx(
        measured[:, 0, 0].std(ddof=1) / 40**0.5, rel=0.1
    )
    assert found[:, 0, 0] == pytest.approx(found[:, 0, 1])  # what goes together in a seed stays so
    assert (found == drawn(measured, 4_000, 1)).all()
