"""The shards of the kept samples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tamis.pipeline.tasks.sources import ByPart


class Numbering:
    """Kept samples in the order of their sids, so many a shard; those of a tier alone have shards of their own."""

    def __init__(self, size: int, chosen: ByPart, tier: str | None = None) -> None:
        """``chosen``: the tables of their rows; gaps are among them."""
        self.size, self.chosen, self.tier = size, chosen, tier
        self._ends = np.cumsum(chosen.rows)

    @cached_property
    def sizes(self) -> list[int]:
        """The samples of each shard."""
        total = int(self._ends[-1]) if len(self._ends) else 0
        return [min(self.size, total - low) for low in range(0, total, self.size)]

    def parts_of(self, shard: int) -> tuple[npt.NDArray[np.int64], tuple[int, int]]:
        """The parts that have samples in a shard; how many of the first one's stand before it, and its samples."""
        low = shard * self.size
        first, last = np.searchsorted(self._ends, [low, low + self.sizes[shard] - 1], "right")
        span = np.arange(first, last + 1)
        taken = span[self.chosen.rows[span] > 0]
        start = int(self._ends[taken[0]] - self.chosen.rows[taken[0]])
        return taken, (low - start, self.sizes[shard])


class Numberings:
    """The shards of a result: of one numbering, or of one for each tier, which take numbers in turn.

    So none moves when another tier grows.
    """

    def __init__(self, each: Sequence[Numbering]) -> None:
        self._each = each
        numbered = sorted(
            (place * len(each) + tier, size)
            for tier, numbering in enumerate(each)
            for place, size in enumerate(numbering.sizes)
        )
        self.numbers, self.sizes = [n for n, _ in numbered], [size for _, size in numbered]

    def at(self, number: int) -> tuple[Numbering, int]:
        """The numbering of a shard, and the shard's place there."""
        place, tier = divmod(number, len(self._each))
        return self._each[tier], place
