"""Pictures and their vectors, as tests want them: all at once."""

from __future__ import annotations

import numpy as np

from pipeline.encoders.base import Encoder, Vectors
from pipeline.encoders.preprocessing import Pixels


def images(encoder: Encoder, pixels: Pixels, rows: int = 32) -> Vectors:
    """(n, height, width, 3) to (n, dim), in batches of ``rows``."""
    batches = (pixels[start : start + rows] for start in range(0, len(pixels), rows))
    return np.concatenate([*encoder.encode_images(batches, rows)])
