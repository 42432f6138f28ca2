"""A task that always ends its worker: the samples at fault are found by halving, and the task is done without them.

A crash in a decoder or a lack of memory cannot be caught in the process that it ends. So the rows of the task are
halved, each half is tried in a process of its own and its result thrown away, and the halves that die are halved
again. When each culprit stands alone, the task is done once more as a whole: the rows that are left make the
batches that they would have made had the culprits been dropped before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from tamis.pipeline.tasks.task import Phase
from tamis.schemas.errors import WorkerError

if TYPE_CHECKING:
    from tamis.pipeline.tasks.perform import Outcome, Work

Span = tuple[int, int]
"""Rows: from, to."""

SURE = 3
"""Times that one row alone must end its worker before it is blamed; a larger span is halved at once."""


class Executor(Protocol):
    """Has tasks done: Ray, or this process."""

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """Outcomes as they come."""

    def stop(self) -> None:
        """Let go of what was started."""


def outcomes(
    executor: Executor, phase: Phase[Any], works: Sequence[Work], tell: Callable[[str], None]
) -> Iterator[Outcome]:
    """What comes of ``works``; those that died with their worker come last, without what killed it.

    Raises:
        WorkerError: a task dies of something else than single samples.
    """
    died = []
    by_name = {work.name: work for work in works}
    for outcome in executor.run(phase, works):
        if outcome.died:
            died.append(by_name[outcome.name])
        else:
            yield outcome
    for work in died:
        yield _without_culprits(executor, phase, work, tell)


def _without_culprits(
    executor: Executor, phase: Phase[Any], work: Work, tell: Callable[[str], None]
) -> Outcome:
    tell(f"{work.path}: its worker process died each time; it is tried alone")
    outcome = _alone(executor, _tried_at_most(phase, 1), work)
    if not outcome.died:
        return outcome
    if not phase.by_sample:
        raise _beyond_help(work, "and its work cannot be halved")
    (census,) = _tried(executor, phase, work, [(0, 0)])
    if census.died:
        raise _beyond_help(work, "before it opened a single sample")
    rows = max(work.task.rows, census.rows)
    tell(f"{work.path}: dies alone too; its {rows:,} rows are halved to find what kills it")
    found = culprits(lambda spans: _deadly(executor, phase, work, spans), rows)
    outcome = _alone(executor, phase, _again(work, culprits=tuple(found)))
    if outcome.died:
        blamed = (
            f"without {len(found):,} rows that do so alone" if found else "but no row does alone"
        )
        raise _beyond_help(work, blamed)
    named = ", ".join(str(row) for row in found[:10]) + (", ..." if len(found) > 10 else "")
    tell(
        f"{work.path}: done without what ends its worker: {len(found):,} of {rows:,} rows ({named})"
    )
    return outcome


def culprits(deadly: Callable[[Sequence[Span]], Iterable[Span]], rows: int) -> list[int]:
    """The rows that are deadly alone, ascending. ``deadly`` says which of some spans are."""
    found: list[int] = []
    waiting: list[Span] = [(0, rows)]
    while waiting:
        halves = [half for span in waiting for half in _halves(span)]
        waiting = sorted(deadly(halves))
        found += [start for start, stop in waiting if stop - start == 1]
        waiting = [(start, stop) for start, stop in waiting if stop - start > 1]
    return sorted(found)


def _halves(span: Span) -> list[Span]:
    start, stop = span
    middle = (start + stop) // 2
    return [half for half in ((start, middle), (middle, stop)) if half[0] < half[1]]


def _deadly(
    executor: Executor, phase: Phase[Any], work: Work, spans: Sequence[Span]
) -> Iterator[Span]:
    for tries in (1, SURE):
        chosen = [span for span in spans if (span[1] - span[0] == 1) == (tries == SURE)]
        if chosen:
            tried = _tried(executor, _tried_at_most(phase, tries), work, chosen)
            yield from (span for span, outcome in zip(chosen, tried, strict=True) if outcome.died)


def _tried(
    executor: Executor, phase: Phase[Any], work: Work, spans: Sequence[Span]
) -> Sequence[Outcome]:
    """The outcomes of probes, in the order of ``spans``.

    Raises:
        TamisError: a probe found something else wrong.
    """
    probes = [_again(work, span=span) for span in spans]
    found = {outcome.name: outcome for outcome in executor.run(phase, probes)}
    for outcome in found.values():
        if outcome.error:
            raise outcome.error
    return [found[probe.name] for probe in probes]


def _tried_at_most(phase: Phase[Any], tries: int) -> Phase[Any]:
    return replace(phase, resources=replace(phase.resources, tries=tries))


def _again(work: Work, **how: Any) -> Work:
    return replace(work, attempt=replace(work.attempt, **how))


def _alone(executor: Executor, phase: Phase[Any], work: Work) -> Outcome:
    (outcome,) = executor.run(phase, [work])
    return outcome


def _beyond_help(work: Work, how: str) -> WorkerError:
    return WorkerError(
        f"{work.path.removesuffix('.parquet')}: its worker process dies every time, {how}: out of memory, or a crash "
        "in a library; claim more memory for the step (`resources.steps`), or take smaller parts"
    )
