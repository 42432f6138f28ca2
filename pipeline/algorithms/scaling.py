"""The cost of passes over data: error laws of pools that are seen again and again.

Goyal, Maini et al., "Scaling laws for data filtering" (CVPR 2024): one pass over n samples of a bucket of quality ends
at an error of a n^b + d, and every further pass weakens b: b_k = b 2^(-k/tau). Muennighoff et al., "Scaling
data-constrained language models" (2023): passes over U samples are worth U + U R* (1 - exp(-R/R*)) new ones, where R is
the number of repetitions.

This is the form of the paper. The code that its authors released raises a to the power too, and adds d before the later
passes, which then shrink it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

HALF = 15.4
"""R*, the repetitions after which more of them say little: fitted on language models, not on pairs."""

SPENT = 64
"""Passes, in units of tau, after which a pass no longer changes a float64: 2^-64."""

BLOCK = 1 << 14
"""Passes that are summed at once."""


class Buckets(NamedTuple):
    """Buckets of quality: samples, b and tau of each, float64 (P,)."""

    samples: Floats
    b: Floats
    tau: Floats

    def first(self, count: int) -> Buckets:
        """The first of them."""
        return Buckets(self.samples[:count], self.b[:count], self.tau[:count])

    def take(self, rows: npt.NDArray[np.integer]) -> Buckets:
        """Some of them, in that order."""
        return Buckets(self.samples[rows], self.b[rows], self.tau[rows])


@dataclass(frozen=True)
class Law:
    """The constants that all buckets share: error = a (samples/unit)^b + d."""

    a: float
    d: float = 0.0
    unit: float = 1.0


def effective(unique: float, seen: float, half: float = HALF) -> float:
    """New samples that are worth as much as ``seen`` ones drawn pass by pass from ``unique``.

    Below one pass it is what is seen.
    """
    if seen <= unique:
        return seen
    return unique + unique * half * -math.expm1(-(seen / unique - 1) / half)


def growth(unique: float, seen: Floats, unit: float, passes: range) -> Floats:
    """By what factor each pass multiplies the samples seen, as logarithms: float64 (S, K), for S ``seen``.

    ``passes`` are K consecutive ones. The first of all counts from ``unit``, the last is cut at ``seen``.
    """
    ends = np.minimum(unique * np.arange(passes.start, passes.stop + 1), seen[:, None])
    if passes.start == 0:
        ends[:, 0] = unit
    return np.diff(np.log(ends), axis=1)


def powers(buckets: Buckets, passes: range) -> Floats:
    """The power b of each pass over all buckets together, float64 (passes,).

    Buckets that are read together are each seen less often, by their share of the whole: tau grows by as much. Their
    mean is weighted by size, which for equal buckets is the paper's.
    """
    share = buckets.samples / buckets.samples.sum()
    tau = buckets.tau / share
    weakened = buckets.b[:, None] * np.exp2(-np.asarray(passes) / tau[:, None])
    mean: Floats = share @ weakened
    return mean


def error(law: Law, buckets: Buckets, seen: Floats) -> Floats:
    """The error after ``seen`` samples, float64 (S,), of a training on all buckets together.

    Args:
        law: what the buckets share.
        buckets: at least one.
        seen: samples above 0, repetitions counted, float64 (S,).
    """
    unique = float(buckets.samples.sum())
    longest = SPENT * float((buckets.tau * unique / buckets.samples).max())
    count = math.ceil(min(max(float(seen.max()) / unique, 1), longest + 1))
    fallen = np.zeros(len(seen))
    for start in range(0, count, BLOCK):
        passes = range(start, min(start + BLOCK, count))
        fallen += growth(unique, seen, law.unit, passes) @ powers(buckets, passes)
    after: Floats = law.a * np.exp(fallen) + law.d
    return after


def prefixes(law: Law, buckets: Buckets, seen: Floats) -> Floats:
    """``error`` of the first bucket, of the first two, and so on: float64 (P, S)."""
    return np.stack([error(law, buckets.first(count + 1), seen) for count in range(len(buckets.b))])
