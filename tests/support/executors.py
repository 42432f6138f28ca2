"""Executors in this process that do what Ray may do, or what must not happen: another order, a death, nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from tamis.pipeline.runs.ray_engine import Engine
from tamis.pipeline.tasks.perform import Here, Outcome, Work
from tamis.pipeline.tasks.phase import Phase


class Never(Here):
    """Must not be asked."""

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        raise AssertionError(f"{phase.name}: {[work.path for work in works]}")


class Shuffled(Here):
    """Does the tasks of a phase in any order, and tells of them in another; backwards for a seed of None."""

    def __init__(self, root: str, seed: int | None) -> None:
        super().__init__(root)
        self._draw = None if seed is None else random.Random(seed)

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        done = list(super().run(phase, self._in_order(works)))
        yield from done if self._draw is None else self._draw.sample(done, len(done))

    def _in_order(self, works: Sequence[Work]) -> Sequence[Work]:
        return works[::-1] if self._draw is None else self._draw.sample(works, len(works))


class KilledError(Exception):
    """The driver is gone."""


class Counted(Here):
    """Notes what is done; dies, where it is told to, when ``alive`` tasks of the folder ``dying`` are."""

    def __init__(self, root: str, dying: str = "", alive: int = 0) -> None:
        super().__init__(root)
        self.done: list[str] = []
        self._dying, self._alive = dying, alive

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        for work in works:
            (outcome,) = super().run(phase, [work])
            self.done.append(work.path)
            if work.path.rpartition("/")[0] == self._dying:
                self._alive -= 1
                if not self._alive:
                    raise KilledError
            yield outcome


class OnSharedRay(Engine):
    """Real workers, of a Ray that others use too: it is left running."""

    def stop(self) -> None:
        self._started = False
