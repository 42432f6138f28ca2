"""A second look at samples and listed pictures whose layouts are alike: both are opened, and small cells compared.

Pairs of the same pixels need none. Each picture is opened once, while those that were opened fit into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms.near_pictures import details

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

HELD = 1 << 14
"""Details that are held of either side: 60 MB."""

_PAIRS = 1 << 12
"""Pairs compared at once, so of as many pictures of either side at most."""


class Opened:
    """Details of pictures by their numbers, those of the last HELD at hand."""

    def __init__(self, opened: Callable[[Ints], Sequence[bytes]]) -> None:
        """``opened``: makes the details of some, whose numbers are distinct and ascend."""
        self._opened = opened
        self._held: dict[int, bytes] = {}

    def of(self, numbers: Ints) -> npt.NDArray[np.uint8]:
        """uint8 (n, details.BYTES) of some, at most HELD, whose numbers are distinct and ascend."""
        wanted = numbers.tolist()
        missing = [number for number in wanted if number not in self._held]
        if len(self._held) + len(missing) > HELD:
            self._held, missing = {}, wanted
        if missing:
            made = self._opened(np.array(missing, np.int64))
            self._held.update(zip(missing, made, strict=True))
        whole = b"".join(self._held[number] for number in wanted)
        return np.frombuffer(whole, np.uint8).reshape(-1, details.BYTES)


class SecondLook:
    """Compares samples of one part with listed pictures.

    Args:
        bound: largest difference of the details of a pair that are alike.
        own: opens the samples' pictures.
        listed: opens the listed ones.
        pixels: uint64 (n,), a hash of the pixels of each sample.
        listed_pixels: uint64 (m,), of each entry.
    """

    def __init__(
        self,
        bound: float,
        own: Opened,
        listed: Opened,
        pixels: npt.NDArray[np.uint64],
        listed_pixels: npt.NDArray[np.uint64],
    ) -> None:
        self._bound, self._own, self._listed = bound, own, listed
        self._pixels, self._listed_pixels = pixels, listed_pixels

    def __call__(self, row: Ints, entry: Ints) -> Mask:
        """Mark the pairs (p,) of a sample and an entry that are alike: bool (p,)."""
        alike: Mask = self._pixels[row] == self._listed_pixels[entry]
        others = np.flatnonzero(~alike)
        others = others[np.lexsort((row[others], entry[others]))]
        for start in range(0, len(others), _PAIRS):
            some = others[start : start + _PAIRS]
            alike[some] = self._differences(row[some], entry[some]) <= self._bound
        return alike

    def _differences(self, row: Ints, entry: Ints) -> npt.NDArray[np.float64]:
        rows, a = np.unique(row, return_inverse=True)
        entries, b = np.unique(entry, return_inverse=True)
        both = np.concatenate([self._own.of(rows), self._listed.of(entries)])
        return details.difference(both, a, b + len(rows))
