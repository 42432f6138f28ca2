"""The kinds of signals, by what each is computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tamis.pipeline.inputs.images import Opened
from tamis.pipeline.plugins.packages import installed

Need = Literal["text", "size", "pixels", "embedding", "column", "list", "classifier", "plugin"]
TextFunction = Callable[[Sequence[str | None]], pa.Array]
SizeFunction = Callable[..., pa.Array]
PixelFunction = Callable[[NDArray[np.uint8]], float]
PictureFunction = Callable[[Opened], float]
FileFunction = Callable[[bytes | memoryview], str]


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
        return [package for package in self.packages if installed(package) is None]

    def identity(self) -> list[str]:
        """Versions of the definition and the packages, on which the values depend beside the input."""
        return [
            str(self.version),
            *(f"{package}=={installed(package)}" for package in self.packages),
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
    """A signal of a decoded picture: ``load()`` returns a function (h, w, 3) uint8 RGB -> float; NaN is no value."""

    needs: ClassVar[Need] = "pixels"
    reads: tuple[str, ...] = ("pixels",)
    load: Callable[[], PixelFunction]


@dataclass(frozen=True, kw_only=True)
class PictureSignal(Signal):
    """A signal of a picture as its file has it: ``load()`` returns a function of the opened picture -> float.

    NaN is no value.
    """

    needs: ClassVar[Need] = "pixels"
    reads: tuple[str, ...] = ("pixels",)
    load: Callable[[], PictureFunction]


@dataclass(frozen=True, kw_only=True)
class FileSignal(Signal):
    """A signal of a picture's bytes, which are not decoded: ``load()`` returns a function of them -> text."""

    needs: ClassVar[Need] = "pixels"
    reads: tuple[str, ...] = ("pixels",)
    load: Callable[[], FileFunction]


@dataclass(frozen=True, kw_only=True)
class HeadSignal(Signal):
    """A signal of a stored embedding, computed by a head whose file the job names."""

    needs: ClassVar[Need] = "embedding"


@dataclass(frozen=True, kw_only=True)
class ListSignal(Signal):
    """A signal of captions and of a list of words, whose file the job names."""

    needs: ClassVar[Need] = "list"
