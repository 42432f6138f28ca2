"""float16 to float32, a block at a time."""

import numpy as np
import pytest

from tamis.pipeline.algorithms.clusters.float16 import widen

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(256, 256)
FINITE = EVERY[np.isfinite(EVERY)].reshape(-1, 128)


@pytest.mark.parametrize(
    "rows", [EVERY, FINITE, FINITE[::3, ::-2], FINITE[:0], np.tile(FINITE, (1, 300))]
)
def test_every_half_has_numpys_bits(rows: np.ndarray) -> None:
    """NaN with its payload, infinities, both zeros and what is not normal among them."""
    out = np.full((len(rows) + 2, rows.shape[1]), 7, np.float32)
    widen(rows, out[: len(rows)])
    assert out[: len(rows)].tobytes() == rows.astype(np.float32).tobytes()
    assert (out[len(rows) :] == 7).all()


def test_other_numbers_are_copied() -> None:
    rows = np.array([[0.1, 2.0]])
    out = np.empty((1, 2), np.float32)
    widen(rows, out)
    assert out.tolist() == rows.astype(np.float32).tolist()
