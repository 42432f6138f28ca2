"""Logistic regression of two classes, to the optimum: the same bits in every run on one class of processor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Matrix = NDArray[np.float64]

MOST_STEPS = 2_000
"""Steps of L-BFGS, at most; it ends far earlier, when the gradient is next to nothing."""


def fit(features: Matrix, is_first: NDArray[np.bool_], penalty: float) -> tuple[Matrix, float]:
    """Weights (d,) and bias of the probability 1 / (1 + exp(-(x w + b))) that a row belongs to the first class.

    They minimise sum_i c_i log(1 + exp(-y_i (x_i w + b))) + penalty |w|^2 / 2, where y is 1 in the first class and -1
    in the other, and c makes the classes weigh the same: n / 2 each. How many rows each class has then changes no
    probability.

    Args:
        features: (n, d).
        is_first: (n,), of both classes.
        penalty: above 0.

    Raises:
        ValueError: a class has no row.
    """
    from scipy.optimize import minimize

    n, dim = features.shape
    count = int(is_first.sum())
    if not 0 < count < n:
        raise ValueError(f"{count:,} of {n:,} rows are of the first class: both classes need rows")
    sign = np.where(is_first, 1.0, -1.0)
    weight = np.where(is_first, n / (2 * count), n / (2 * (n - count)))

    def loss(at: Matrix) -> tuple[float, Matrix]:
        margin = sign * (features @ at[:dim] + at[dim])
        value = float(weight @ np.logaddexp(0, -margin)) + penalty * float(at[:dim] @ at[:dim]) / 2
        slope = -weight * sign * _logistic(-margin)
        return value, np.append(features.T @ slope + penalty * at[:dim], slope.sum())

    with threadpool_limits(1, user_api="blas"):  # with more the sums are added in another order
        found = minimize(
            loss,
            np.zeros(dim + 1),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MOST_STEPS, "maxfun": 2 * MOST_STEPS, "ftol": 0.0, "gtol": 1e-7},
        )
    return found.x[:dim], float(found.x[dim])


def _logistic(values: Matrix) -> Matrix:
    positive: Matrix = np.exp(-np.logaddexp(0, -values))
    return positive
