"""A phase's tasks, tried until each has an outcome; whichever executor has them done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tamis.pipeline.runs.window import Window
from tamis.pipeline.tasks.perform import Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.schemas.errors import BugError

Once = Callable[[Window, bool], Iterator[Outcome]]
"""Does every task of a window once, alone (True) or in chunks. Outcomes lost with a worker do not come."""


def outcomes(phase: Phase[Any], works: Sequence[Work], once: Once) -> Iterator[Outcome]:
    """Outcomes as they come, in no order; tasks that die at every try come last.

    Tasks whose worker dies are begun again when the others have finished, each with a worker to itself: no task is
    blamed for another.

    Raises:
        BugError: a task failed in an unforeseen way.
    """
    window = Window(works)
    for attempt in range(phase.resources.tries):
        alone = attempt > 0 or phase.resources.tries == 1
        # A pass that ends early, for want of workers that live, is begun again while it brings anything.
        while window.left:
            came = False
            for outcome in once(window, alone):
                if outcome.bug:
                    where = window.path(outcome.name) if outcome.name else phase.name
                    raise BugError(f"{where}:\n{outcome.bug}")
                if outcome.died:  # memory ran out, and the worker lives
                    continue
                came = True
                window.back(outcome.name)
                yield outcome
            if not came:
                break
        window = Window(window.missing())
        if not window.left:
            return
    yield from (Outcome(work.name, 0.0, died=True) for work in window.take(window.left))
