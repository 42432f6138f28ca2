"""Isolation of samples that end their worker: halving finds them, and the task is done without them.

A crash in a decoder or a lack of memory cannot be caught in the process that it ends. So the rows of the task are
halved, each half is tried in a process of its own and its result thrown away, and the halves that die are halved
again. When each culprit stands alone, the task is done once more as a whole: the rows that are left make the
batches that they would have made had the culprits been dropped before.

Where a file ends its worker before a sample is opened, its sections, such as row groups, are halved first; and before
them it is tried whether the file itself can be opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, overload

from tamis.pipeline.inputs.part_builder import FILE
from tamis.pipeline.tasks.perform import Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.schemas.errors import WorkerError

Span = tuple[int, int]
"""Rows, or sections of a file: from, to."""

NONE = (0, 0)
"""Of a span: a probe that opens nothing."""

SURE = 3
"""Times that a row, a section or a file must end its worker to be a culprit; a larger span is halved after one."""


class Executor(Protocol):
    """Has tasks done: Ray, or this process."""

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """Outcomes as they come."""

    def stop(self) -> None:
        """Let go of what was started."""


def outcomes(
    executor: Executor, phase: Phase[Any], works: Sequence[Work], notify: Callable[[str], None]
) -> Iterator[Outcome]:
    """The outcomes of ``works``; tasks that died with their worker come last, without the rows that ended it.

    Raises:
        WorkerError: a task dies for another reason than single samples.
    """
    died = []
    asked = _Asked(works)
    for outcome in executor.run(phase, asked):
        work = asked.out.pop(outcome.name)
        if outcome.died:
            died.append(work)
        else:
            yield outcome
    for work in died:
        yield _without_culprits(executor, phase, work, notify)


class _Asked(Sequence[Work]):
    """Tasks for an executor, none looked at before it asks; ``out`` are those that it has and says nothing of yet."""

    def __init__(self, works: Sequence[Work]) -> None:
        self._works = works
        self.out: dict[str, Work] = {}

    def __len__(self) -> int:
        return len(self._works)

    @overload
    def __getitem__(self, index: int) -> Work: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Work]: ...
    def __getitem__(self, index: int | slice) -> Work | Sequence[Work]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        work = self._works[index]
        self.out[work.name] = work
        return work


def _without_culprits(
    executor: Executor, phase: Phase[Any], work: Work, notify: Callable[[str], None]
) -> Outcome:
    notify(f"{work.path}: its worker process died each time; it is tried alone")
    outcome = _run_alone(executor, _with_tries(phase, 1), work)
    if not outcome.died:
        return outcome
    if not phase.by_sample:
        raise _worker_error(work, "and its work cannot be halved")
    census = _probe(executor, phase, _with_attempt(work, span=NONE))
    if census.died:
        work = _without_sections(executor, phase, work, notify)
        outcome = _run_alone(executor, _with_tries(phase, 1), work)
        if not outcome.died:
            return outcome
        census = _probe(executor, phase, _with_attempt(work, span=NONE))
    if census.died:
        raise _worker_error(work, "before it opened a single sample")
    rows = max(work.task.rows, census.rows)
    notify(f"{work.path}: dies alone too; its {rows:,} rows are halved to find what kills it")
    culprits = _culprits(executor, phase, rows, lambda span: _with_attempt(work, span=span))
    outcome = _run_alone(executor, phase, _with_attempt(work, culprits=tuple(culprits)))
    if outcome.died:
        cause = (
            f"without {len(culprits):,} rows that do so alone"
            if culprits
            else "but no row does alone"
        )
        raise _worker_error(work, cause)
    notify(f"{work.path}: done without {_ending(culprits, rows, 'rows')}")
    return outcome


def _without_sections(
    executor: Executor, phase: Phase[Any], work: Work, notify: Callable[[str], None]
) -> Work:
    """The task without the sections of its file that end their worker, or without the file.

    Raises:
        WorkerError: the worker dies with nothing to read too, or none of them ends it alone.
    """
    nothing = _with_attempt(work, span=NONE, sections=NONE, closed=(FILE,))
    if not phase.by_section or _probe(executor, phase, nothing).died:
        raise _worker_error(work, "before it opened a single sample")
    notify(f"{work.path}: dies before it opens a sample; it is tried what of its file kills it")
    opened = _probe(
        executor, _with_tries(phase, SURE), _with_attempt(work, span=NONE, sections=NONE)
    )
    if opened.died:
        notify(f"{work.path}: its file ends whoever opens it, and is one row of the ledger")
        return _with_attempt(work, closed=(FILE,))
    culprits = _culprits(
        executor, phase, opened.rows, lambda span: _with_attempt(work, span=NONE, sections=span)
    )
    if not culprits:
        raise _worker_error(work, "before it opened a single sample")
    notify(f"{work.path}: goes on without {_ending(culprits, opened.rows, 'sections of its file')}")
    return _with_attempt(work, closed=tuple(culprits))


def _ending(culprits: Sequence[int], of: int, kind: str) -> str:
    """What ends a worker, as words for a notice."""
    listing = ", ".join(str(one) for one in culprits[:10])
    listing += ", ..." if len(culprits) > 10 else ""
    return f"what ends its worker: {len(culprits):,} of {of:,} {kind} ({listing})"


def _culprits(
    executor: Executor, phase: Phase[Any], count: int, probe: Callable[[Span], Work]
) -> list[int]:
    """The deadly ones of ``count`` rows or sections; ``probe`` makes the probe of a span."""
    return find_culprits(
        lambda spans: _deadly(executor, phase, {span: probe(span) for span in spans}), count
    )


def find_culprits(deadly: Callable[[Sequence[Span]], Iterable[Span]], rows: int) -> list[int]:
    """Rows or sections that are deadly alone, ascending; ``deadly`` filters the deadly ones of some spans."""
    singles: list[int] = []
    spans: list[Span] = [(0, rows)]
    while spans:
        halves = [half for span in spans for half in _halves(span)]
        spans = sorted(deadly(halves))
        singles += [start for start, stop in spans if stop - start == 1]
        spans = [(start, stop) for start, stop in spans if stop - start > 1]
    return sorted(singles)


def _halves(span: Span) -> list[Span]:
    start, stop = span
    middle = (start + stop) // 2
    return [half for half in ((start, middle), (middle, stop)) if half[0] < half[1]]


def _deadly(executor: Executor, phase: Phase[Any], probes: Mapping[Span, Work]) -> Iterator[Span]:
    for tries in (1, SURE):
        chosen = {s: probe for s, probe in probes.items() if (s[1] - s[0] == 1) == (tries == SURE)}
        if chosen:
            outcomes = _probes(executor, _with_tries(phase, tries), [*chosen.values()])
            yield from (
                span for span, outcome in zip(chosen, outcomes, strict=True) if outcome.died
            )


def _probe(executor: Executor, phase: Phase[Any], probe: Work) -> Outcome:
    (outcome,) = _probes(executor, phase, [probe])
    return outcome


def _probes(executor: Executor, phase: Phase[Any], probes: Sequence[Work]) -> Sequence[Outcome]:
    """The outcomes of probes, in their order.

    Raises:
        TamisError: a probe failed otherwise than by the end of its worker.
    """
    by_name = {outcome.name: outcome for outcome in executor.run(phase, probes)}
    for outcome in by_name.values():
        if outcome.error:
            raise outcome.error
    return [by_name[probe.name] for probe in probes]


def _with_tries(phase: Phase[Any], tries: int) -> Phase[Any]:
    return replace(phase, resources=replace(phase.resources, tries=tries))


def _with_attempt(work: Work, **changes: Any) -> Work:
    return replace(work, attempt=replace(work.attempt, **changes))


def _run_alone(executor: Executor, phase: Phase[Any], work: Work) -> Outcome:
    (outcome,) = executor.run(phase, [work])
    return outcome


def _worker_error(work: Work, cause: str) -> WorkerError:
    return WorkerError(
        f"{work.path.removesuffix('.parquet')}: its worker process dies every time, {cause}: out of memory, or a crash "
        "in a library; claim more memory for the step (`resources.steps`), or take smaller parts"
    )
