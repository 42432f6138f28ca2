"""The walk over a plan: each phase is done or found done, and the living samples are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.pipeline.host import interrupts
from tamis.pipeline.host.watchdog import Watchdog
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.runs import executors, isolate
from tamis.pipeline.runs.account import Account, Result, all_dropped, check_reasons
from tamis.pipeline.runs.isolate import Executor
from tamis.pipeline.runs.manifest import write_manifest
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.runs.state import State, check_output, save_job
from tamis.pipeline.store import storage
from tamis.pipeline.store.lease import Lease
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.file_columns import Ints
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks import claims, dealing, product, row_reuse
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.parts import Parts, ranges
from tamis.pipeline.tasks.perform import Outcome, Works
from tamis.pipeline.tasks.phase import VERDICT, Fingerprints, Phase
from tamis.pipeline.tasks.phase_index import PhaseFiles, Records, remove_damaged
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Attempt
from tamis.schemas.errors import InputError, StateError
from tamis.schemas.events import (
    Event,
    Notice,
    Observer,
    PhaseEnded,
    PhaseStarted,
    StepEnded,
    TaskDone,
)
from tamis.schemas.job import Job

DAMAGE_LIMIT = 100
"""Damaged tables that are made again before a run blames the disk."""


class RestartError(Exception):
    """A damaged table has been removed, and the walk must start over."""


class Run(Context):
    """One walk over the plan. Holds counts and records of files, never samples.

    ``base``: a finished run whose tables are taken where they fit: copied with a lease, else read where they lie.
    """

    def __init__(
        self,
        plan: Plan,
        state: State,
        executor: Executor,
        observers: Sequence[Observer],
        lease: Lease | None = None,
        base: str | None = None,
    ) -> None:
        self.job: Job = plan.job
        self.root = plan.root
        self.plan, self._state, self._executor, self._observers = plan, state, executor, observers
        self._lease, self._base = lease, base
        self._done: dict[tuple[str, str], Done] = {}
        self._by_part: dict[tuple[str, str], ByPart] = {}
        self._deciders: list[str] = []
        self._accounts: list[Account] = []
        self._ranges: list[range] = []
        self._emitting = threading.Lock()
        self.tasks_run = 0

    # The view of steps.

    @property
    def parts(self) -> Parts:
        """All parts, in order of their numbers."""
        return self._state.parts

    @property
    def total(self) -> int:
        """Count of all input samples."""
        return self.parts.total

    @property
    def alive(self) -> int:
        """Count of samples that no earlier step dropped."""
        return self._accounts[-1].kept if self._accounts else self.total

    @property
    def accounts(self) -> tuple[Account, ...]:
        """One for each step that has decided."""
        return tuple(self._accounts)

    def ingest(self) -> ByPart:
        """The ingest table."""
        return self.at("ingest", "files")

    def verdicts(self) -> Sequence[tuple[str, ByPart]]:
        """The steps that have decided, in order, and the table of each verdict."""
        return [(step, self.at(step, VERDICT)) for step in self._deciders]

    def living_by_part(self) -> npt.NDArray[np.int64]:
        """Count of each part's living samples: its rows less those of every verdict."""
        left = self.parts.rows.copy()
        for verdict in self.drops():
            left -= verdict.rows
        return left

    def drops(self) -> Sequence[ByPart]:
        """Every earlier verdict."""
        return [self.at(step, VERDICT) for step in self._deciders]

    def done(self, step: str, phase: str) -> Done:
        """A finished phase."""
        return self._done[step, phase]

    def at(self, step: str, phase: str) -> ByPart:
        """The table of a finished phase, made part by part, bundle by bundle or range by range."""
        if (step, phase) not in self._by_part:
            self._by_part[step, phase] = self._done[step, phase].by_part(self.parts, self.ranges())
        return self._by_part[step, phase]

    @property
    def inputs(self) -> Sequence[InputFile]:
        """The input files, by number."""
        return self._state.inputs

    def signal(self, name: str) -> ByPart:
        """The table that holds a signal."""
        return self.at(*self.plan.makers[product.signal(name)])

    def signals(self) -> Sequence[tuple[str, ByPart]]:
        """Every signal, by name, and its table."""
        signals = sorted(made for made in self.plan.makers if made.kind is product.Kind.SIGNAL)
        return [(made.name, self.at(*self.plan.makers[made])) for made in signals]

    def place_tables(self) -> Sequence[tuple[str, ByPart]]:
        """The steps that place samples in concepts, in order, and their tables."""
        makers = self.plan.makers.items()
        return [(made.name, self.at(*at)) for made, at in makers if made.kind is product.Kind.PLACE]

    def embedding(self, name: str) -> ByPart:
        """The embeddings."""
        return self.at(*self.plan.makers[product.embedding(name)])

    def ranges(self) -> list[range]:
        """Numbers of consecutive parts of about ``range_samples`` rows."""
        if not self._ranges:
            self._ranges = ranges(self.parts.rows, self.job.range_samples)
        return self._ranges

    # The walk.

    def walk(self) -> None:
        """Walk all steps, in order; then write the manifest.

        Raises:
            StateError: the account does not balance.
        """
        self.walk_steps()
        if self._base is None and (self.tasks_run or self._state.touched):
            self._state.check_inputs(self.job.input, self.done("ingest", "files"))
        if self._lease:
            self._lease.check_now()
        write_manifest(self, self.accounts, self._done.values())

    def walk_steps(self) -> None:
        """Walk all steps, in order. With a base only its tables are read, and no model is loaded."""
        for step in self.plan.steps:
            started, entered = time.perf_counter(), self.alive
            for phase in step.phases(self):
                self._phase(step, phase)
                if step.name == "ingest" and phase.name == "files":
                    entered = self._settle()
            self._decide(step, entered, time.perf_counter() - started)

    def _settle(self) -> int:
        done = self.done("ingest", "files")
        if not done.files.rows.any():
            raise InputError("the input has no samples: no file has a row: see what `input:` names")
        if self._lease and self._state.remove_replaced(done, self.plan, self._notify):
            raise RestartError
        self._state.settle(done.files.rows, done.files.ends)
        return self.total

    def _decide(self, step: Step, entered: int, seconds: float) -> None:
        if (step.name, VERDICT) not in self._done:
            return
        dropped = dict(self.done(step.name, VERDICT).counts())
        check_reasons(self.job, step.name, dropped)
        account = Account(step.name, entered, dropped)
        if account.kept < 0:
            raise StateError(
                f"{step.name}: dropped {sum(dropped.values())} of {entered} samples: the account does not balance"
            )
        self._deciders.append(step.name)
        self._accounts.append(account)
        self._emit(StepEnded(step.name, entered, dropped, seconds))
        if self._lease and entered and not account.kept:
            verdict = self.done(step.name, VERDICT).files
            raise StateError(all_dropped(self.root, account, verdict))

    def _phase(self, step: Step, phase: Phase[Any]) -> None:
        started = time.perf_counter()
        assert (step.name, phase.name) not in self._done, f"{step.name}: two phases `{phase.name}`"
        phase = replace(phase, resources=claims.of_phase(phase, step.name, self.job))
        head = [type(step).__name__, step.version, phase.name]
        fan = dealing.fan_of(phase.tasks.buckets)
        head += [fan] if fan > 1 else []
        index = PhaseFiles(self.root, paths.folder(step.name, phase.name), self._base)
        names, fingerprints = phase.tasks.names(), phase.tasks.fingerprints(head)
        records = index.find(names, fingerprints)
        if self._lease:
            index.adopt(records)
        todo = records.missing
        if len(todo):
            if self._base and phase.name == "files" and step.name == "ingest":
                raise StateError(
                    f"ingest: {len(todo)} input files would have to be read again: run the job with that setting "
                    "instead"
                )
            index.invalidate()
            works = self._works(step.name, phase, names, fingerprints, todo, head)
            self._do(step, phase, works, records)
            self.tasks_run += len(todo)
        files = records.columns()
        index.commit(files)
        done = Done(phase.tasks.scope, files)
        if fan > 1:
            buckets = phase.tasks.buckets or 0
            second = dealing.second_wave(phase.name, files, buckets)
            self._phase(step, second)
            dealt = self._done[step.name, second.name].files
            done = replace(done, dealt=dealt, buckets=buckets)
        self._done[step.name, phase.name] = done
        if len(todo):
            self._emit(PhaseEnded(step.name, phase.name, time.perf_counter() - started))

    def _works(
        self,
        step: str,
        phase: Phase[Any],
        names: Sequence[str],
        fingerprints: Fingerprints,
        todo: Ints,
        head: Sequence[Any],
    ) -> Works:
        attempt = Attempt(gpus=phase.resources.gpus)
        folder = paths.folder(step, phase.name)
        if not phase.per_row:
            return Works(phase.tasks, folder, names, fingerprints, todo, attempt)
        roots = [self.root, self._base] if self._base else [self.root]
        attempt = replace(attempt, frozen=self._base is not None and not phase.cheap)
        known = phase.tasks.fingerprints(head, without=phase.rows_from)
        stored = row_reuse.Stored(known, row_reuse.StoredFiles(roots, folder))
        return Works(phase.tasks, folder, names, fingerprints, todo, attempt, stored)

    def _do(self, step: Step, phase: Phase[Any], works: Works, records: Records) -> None:
        """Do the works; their files are added to ``records``."""
        rows, claim = phase.tasks.rows(), phase.resources
        found = len(records.names) - len(works)
        self._emit(
            PhaseStarted(
                step.name,
                phase.name,
                len(works),
                found,
                int(rows[works.todo].sum()),
                claim.cpus,
                claim.gpus,
            )
        )
        position = {records.names[task]: int(task) for task in works.todo}
        lacking = 0
        for outcome in self._outcomes(step, phase, works):
            if isinstance(outcome.error, row_reuse.NotScoredError):
                lacking += outcome.error.count
                continue
            file, task = self._accept(outcome), position[outcome.name]
            records.set(task, file)
            self._emit(
                TaskDone(
                    step.name,
                    phase.name,
                    outcome.name,
                    phase.tasks.scope,
                    int(rows[task]),
                    sum(file.rows),
                    file.bytes,
                    outcome.seconds,
                    outcome.spent,
                )
            )
        if lacking:
            raise StateError(row_reuse.refusal(step.name, lacking, phase, works.attempts()))

    def _outcomes(self, step: Step, phase: Phase[Any], works: Works) -> Iterator[Outcome]:
        """Outcomes as they come; where none comes for long, a notice names the tasks at work."""
        unfinished = dict.fromkeys(works.names())

        def name_unfinished(seconds: float) -> None:
            names = list(islice(unfinished, 3))
            more = f" and {len(unfinished) - 3:,} more" if len(unfinished) > 3 else ""
            self._notify(
                f"{step.name} {phase.name}: no task has ended for {seconds:,.0f} s; "
                f"waiting for {', '.join(names)}{more}"
            )

        with Watchdog(self.job.resources.stuck_after, name_unfinished) as watchdog:
            for outcome in isolate.outcomes(self._executor, phase, works, self._notify):
                watchdog.feed()
                del unfinished[outcome.name]
                yield outcome

    def _notify(self, text: str) -> None:
        self._emit(Notice(text))

    def _accept(self, outcome: Outcome) -> TableFile:
        if self._lease:
            self._lease.check()
        if outcome.damaged and storage.is_absolute(outcome.damaged):
            raise part_files.damage_error(outcome.damaged)
        if outcome.damaged:
            self._notify(remove_damaged(self.root, outcome.damaged))
            raise RestartError
        if outcome.error:
            raise outcome.error
        assert outcome.file is not None
        return outcome.file

    def _emit(self, event: Event) -> None:
        with self._emitting:  # the watchdog has a thread of its own
            for observer in self._observers:
                observer(event)


def run(
    plan: Plan,
    observers: Sequence[Observer] = (),
    executor: Executor | None = None,
    address: str | None = None,
    base: str | None = None,
    local: bool = False,
) -> Result:
    """Do the tasks of ``plan`` that are not done yet, and tell ``observers`` of every event.

    ``executor``: by default Ray, at ``address`` or started here; where ``local``, worker processes without Ray.
    ``base``: a finished run whose tables are copied where they fit; samples that it has not scored are refused.

    Raises:
        TamisError: a fault that a person can mend, in one line.
    """
    check_output(plan)
    executor = executor or executors.of(plan, address, local=local, base=base)
    with interrupts.defer() as signals, Lease(plan.root) as lease:
        try:
            with signals.deliver():
                watched = (lambda _: signals.check(), *observers)
                return _walk(plan, watched, executor, lease, base)
        finally:
            executor.stop()


def _walk(
    plan: Plan,
    observers: Sequence[Observer],
    executor: Executor,
    lease: Lease,
    base: str | None,
) -> Result:
    tasks_run = 0
    reread = plan.accept_changed and base is None
    for _ in range(DAMAGE_LIMIT):
        state = State.open(plan)
        state.reread = reread
        state.save_head()
        walk = Run(plan, state, executor, observers, lease, base)
        save_job(plan)
        try:
            walk.walk()
        except RestartError:
            tasks_run += walk.tasks_run
            reread = state.reread
            continue
        return Result(plan.root, walk.accounts, tasks_run + walk.tasks_run)
    raise StateError(f"{plan.root}: tables were damaged {DAMAGE_LIMIT} times over: check the disk")
