"""The law of what passes cost, fitted to errors that were measured: all buckets one a, each its own b and tau."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms.scaling import growth

Floats = npt.NDArray[np.float64]

STEEPEST, FLATTEST = -3.0, -1e-4
"""Bounds of b."""

SHORTEST, LONGEST = 0.05, 1000.0
"""Bounds of tau, in passes."""

STARTS = ((0.3, 2.0), (0.1, 6.0), (0.05, 20.0), (0.6, 1.0))
"""From where the search begins: how far the first pass falls, as a power, and tau. The best end counts."""


@dataclass(frozen=True)
class Fit:
    """A fitted law: ``a`` of all, ``b`` and ``tau`` of each bucket, float64 (P,); ``rest``: the mean square left."""

    a: float
    b: Floats
    tau: Floats
    rest: float


class Curves:
    """Errors of buckets of one size after some numbers of passes, to which laws are fitted."""

    def __init__(self, samples: float, passes: Floats, unit: float, floor: float) -> None:
        """``passes``: (T,) ascending, parts of one too; ``floor``: d, which few points cannot tell from the rest."""
        count = int(np.ceil(passes.max()))
        self._growth = growth(samples, samples * passes, unit, range(count))
        self._floor = floor

    def errors(self, a: float, b: Floats, tau: Floats) -> Floats:
        """The errors that a law predicts, float64 (P, T)."""
        return self._predicted(np.concatenate([[np.log(a)], b, np.log(tau)]))

    def fit(self, error: Floats, start: Fit | None = None) -> Fit:
        """The law nearest to ``error``, float64 (P, T), by least squares within bounds.

        ``start``: a law near to it, from which alone the search begins.
        """
        if start is not None:
            return self._search(
                error, np.concatenate([[np.log(start.a)], start.b, np.log(start.tau)])
            )
        found = [self._search(error, self._guess(error, *begin)) for begin in STARTS]
        return min(found, key=lambda fit: fit.rest)

    def _guess(self, error: Floats, power: float, tau: float) -> Floats:
        over = np.log(np.maximum(error[:, 0] - self._floor, 1e-9))
        a = float((over + power * self._growth[0, 0]).mean())
        count = len(error)
        return np.concatenate([[a], np.full(count, -power), np.full(count, np.log(tau))])

    def _search(self, error: Floats, begin: Floats) -> Fit:
        from scipy.optimize import least_squares

        count = len(error)
        low = np.array([-30.0, *[STEEPEST] * count, *[np.log(SHORTEST)] * count])
        high = np.array([30.0, *[FLATTEST] * count, *[np.log(LONGEST)] * count])
        edge = 1e-9 * (high - low)

        def missed(values: Floats) -> Floats:
            rest: Floats = (self._predicted(values) - error).ravel()
            return rest

        found = least_squares(
            missed,
            np.clip(begin, low + edge, high - edge),
            jac=self._slopes,
            bounds=(low, high),
            x_scale="jac",
            xtol=1e-10,
            ftol=1e-12,
        )
        b, tau = found.x[1 : 1 + count], np.exp(found.x[1 + count :])
        return Fit(float(np.exp(found.x[0])), b, tau, float(np.mean(found.fun**2)))

    def _parts(self, values: Floats) -> tuple[Floats, Floats, Floats]:
        """By how much b has weakened in each pass of each bucket, (P, K); and b and tau, (P,)."""
        count = len(values) // 2
        b, tau = values[1 : 1 + count], np.exp(values[1 + count :])
        weak = np.exp2(-np.arange(self._growth.shape[1]) / tau[:, None])
        return weak, b, tau

    def _predicted(self, values: Floats) -> Floats:
        weak, b, _ = self._parts(values)
        found: Floats = self._floor + np.exp(values[0] + (b[:, None] * weak) @ self._growth.T)
        return found

    def _slopes(self, values: Floats) -> Floats:
        """Derivatives of all predictions, (P T, 1 + 2 P)."""
        weak, b, tau = self._parts(values)
        over = self._predicted(values) - self._floor
        count, points = over.shape
        slopes = np.zeros((count, points, len(values)))
        slopes[:, :, 0] = over
        by_tau = b[:, None] * weak * np.log(2) * np.arange(weak.shape[1]) / tau[:, None]
        at = np.arange(count)
        slopes[at, :, 1 + at] = over * (weak @ self._growth.T)
        slopes[at, :, 1 + count + at] = over * (by_tau @ self._growth.T)
        return slopes.reshape(count * points, -1)


def drawn(error: Floats, count: int, seed: int) -> Floats:
    """Mean curves that the measurements of some seeds allow as well: float64 (count, P, T).

    Each draw adds to the mean over the seeds a mixture of the seeds' own deviations, so that whatever goes with a seed,
    as its holdout does, stays together; and is as wide as Student's t for so few seeds.

    Args:
        error: (S, P, T), S at least 2.
        count: of draws.
        seed: of them.
    """
    seeds = len(error)
    generator = np.random.default_rng(seed)
    mean = error.mean(axis=0)
    deviation = (error - mean) / np.sqrt(seeds * (seeds - 1))
    weight = generator.standard_normal((count, seeds))
    width = np.sqrt(generator.chisquare(seeds - 1, count) / (seeds - 1))
    found: Floats = mean + np.tensordot(weight / width[:, None], deviation, axes=1)
    return found
