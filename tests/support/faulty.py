"""A disk that fails once: at the k-th call that a run makes of it, or at the first from a place that is new."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from unittest.mock import patch

from tamis.pipeline.host.bytes_read import CountedFile
from tamis.pipeline.store import local, matching, storage

CALLS = (
    "fsync", "link", "listdir", "makedirs", "open", "preadv", "remove", "replace", "scandir", "stat", "unlink",
)  # fmt: skip
"""Functions of ``os`` that the store calls."""

METHODS = ("__init__", "close", "read", "readall", "readinto", "seek", "write")
"""Methods of the store's files."""


@dataclass
class Disk:
    """Counts calls, and has call number ``failing`` (from 0) fail with ``number``; ``calls`` are their names."""

    failing: int | None = None
    number: int = 0
    calls: list[str] = field(default_factory=list)

    def fails(self) -> bool:
        """Whether the last of ``calls`` does."""
        return len(self.calls) - 1 == self.failing

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which may fail."""

        def call(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            if self.fails():
                if name == "close":  # the system lets go of it all the same
                    function(*args, **options)
                raise OSError(self.number, os.strerror(self.number), "somewhere")
            return function(*args, **options)

        return call


@dataclass
class NewPlaces(Disk):
    """Fails at the first call from a place that is not among ``known``: the lines of the project that led to it."""

    known: set[tuple[str, ...]] = field(default_factory=set)
    has_failed: bool = False

    def fails(self) -> bool:
        """Whether it is from a new place, and nothing has failed yet."""
        if self.has_failed:
            return False
        place = (self.calls[-1], *_lines())
        self.has_failed = place not in self.known
        self.known.add(place)
        return self.has_failed


def _lines() -> Iterator[str]:
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        if "/tamis/" in frame.f_code.co_filename:
            yield f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back


class _Os:
    """The module ``os`` of one of the store's modules."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        function = getattr(os, name)
        return self._disk.counted(f"os.{name}", function) if name in CALLS else function


@contextmanager
def faulty(disk: Disk) -> Iterator[Disk]:
    """The store on such a disk."""
    modules = _Os(disk)
    methods = {name: disk.counted(name, getattr(io.FileIO, name)) for name in METHODS}
    patched = type("Faulty", (io.FileIO,), {name: _method(f) for name, f in methods.items()})
    with (
        patch.object(local, "os", modules),
        patch.object(storage, "os", modules),
        patch.object(matching, "os", modules),
    ):
        CountedFile.__bases__ = (patched,)
        try:
            yield disk
        finally:
            CountedFile.__bases__ = (io.FileIO,)


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **options: Any) -> Any:
        return function(self, *args, **options)

    return method
