"""The pace of a run: which step of how many is at work, how far it is, and how long it will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tamis.jobs.terminal import display
from tamis.pipeline.host import at_work
from tamis.schemas.events import PhaseStarted, TaskDone


@dataclass
class Pace:
    """Counts of the phase at work. Times are seconds of one clock.

    A phase that reads no table, such as the walk over the input, is counted in files; its samples show as they come.
    """

    place: str  # "step 3 of 9"
    name: str  # of step and phase
    total: int
    by_rows: bool
    started: float
    done: int = 0
    samples: int = 0

    @staticmethod
    def of(event: PhaseStarted, steps: Sequence[str], now: float) -> Pace:
        """The pace of a phase that begins; ``steps`` are the names of the run's steps, in order."""
        by_rows = event.rows > 0
        number = steps.index(event.step) + 1 if event.step in steps else 0
        place = f"step {number} of {len(steps)}" if number else ""
        total = event.rows if by_rows else event.tasks
        return Pace(place, f"{event.step} {event.phase}", total, by_rows, now)

    def add(self, task: TaskDone) -> None:
        """Count a task that is done."""
        self.done += task.rows if self.by_rows else 1
        self.samples += task.rows if self.by_rows else task.written

    @property
    def seen(self) -> int:
        """What is done, samples of the tasks at work included."""
        return min(self.total, self.done + at_work.rows()) if self.by_rows else self.done

    @property
    def counted(self) -> int:
        """The samples that are done, those of the tasks at work included."""
        return self.seen if self.by_rows else self.samples + at_work.rows()

    def text(self, now: float) -> str:
        """One line: "step 3 of 9, embed vectors: 1,000 of 4,000 samples, 31/s, 1 min 36 s left"."""
        unit = "samples" if self.by_rows else "files"
        seen, samples = self.seen, self.counted
        about = f"{display.count(seen)} of {display.count(self.total)} {unit}"
        if samples and not self.by_rows:
            about += f", {display.count(samples)} samples"
        seconds = now - self.started
        if samples and seconds > 0:
            about += f", {samples / seconds:,.0f} samples/s"
        if 0 < seen < self.total:
            left = seconds * (self.total - seen) / seen
            about += f", about {display.duration(left)} left"
        place = f"{self.place}, " if self.place else ""
        return f"{place}{self.name}: {about}"
