"""The walk over a plan: each phase is done or found done, and the living samples are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tamis.pipeline.host import interrupts
from tamis.pipeline.host.watchdog import Watchdog
from tamis.pipeline.inputs.entries import check_unchanged
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.runs import isolate
from tamis.pipeline.runs.account import Account, Result
from tamis.pipeline.runs.isolate import Executor
from tamis.pipeline.runs.manifest import write_manifest
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.runs.ray_engine import Engine
from tamis.pipeline.runs.state import State, check_output, save_job
from tamis.pipeline.store import storage
from tamis.pipeline.store.lease import Lease
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks import claims, row_reuse
from tamis.pipeline.tasks.perform import Outcome, Work
from tamis.pipeline.tasks.phase_index import PhaseFiles
from tamis.pipeline.tasks.step import Context, Step, fingerprint
from tamis.pipeline.tasks.task import Attempt, Done, Part, Phase, Task
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
from tamis.schemas.ledger import FRAME
from tamis.schemas.scope import Scope

VERDICT = "verdict"
"""The phase of a step's decision, whose files are DROPS tables."""

DAMAGE_LIMIT = 100
"""Damaged tables that are made again before a run blames the disk."""


class RestartError(Exception):
    """A damaged table has been removed, and the walk must start over."""


class Run(Context):
    """One walk over the plan. Holds counts and records of files, never samples.

    ``base`` is a finished run whose tables are taken where they fit. With a lease, in a run directory that is to last,
    they are copied there; without one they are read where they lie.
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
        self._deciders: list[str] = []
        self._accounts: list[Account] = []
        self._ranges: list[list[Part]] = []
        self._range_of: dict[int, tuple[int, int]] = {}
        self._emitting = threading.Lock()
        self.tasks_run = 0

    # The view of steps.

    @property
    def parts(self) -> Sequence[Part]:
        """All parts, in order of their numbers."""
        return self._state.parts

    @property
    def total(self) -> int:
        """Count of all input samples."""
        return sum(part.rows for part in self.parts)

    @property
    def alive(self) -> int:
        """Count of samples that no earlier step dropped."""
        return self._accounts[-1].kept if self._accounts else self.total

    @property
    def accounts(self) -> tuple[Account, ...]:
        """One for each step that has decided."""
        return tuple(self._accounts)

    def ingest(self, part: Part) -> Slice:
        """The part's rows of the ingest table."""
        return Slice(
            self.done("ingest", "files")[paths.task_name(Scope.FILE, part.file)], part.group
        )

    def verdicts(self, part: Part) -> Sequence[tuple[str, Slice]]:
        """The steps that have decided, in order, and the part's slice of each verdict."""
        return [(step, self.at(step, VERDICT, part)) for step in self._deciders]

    def kept(self, part: Part) -> int:
        """Count of the part's living samples: its rows less those of every verdict."""
        return part.rows - sum(piece.rows for piece in self.drops(part))

    def drops(self, part: Part) -> tuple[Slice, ...]:
        """The part's slice of every earlier verdict."""
        return tuple(self.at(step, VERDICT, part) for step in self._deciders)

    def done(self, step: str, phase: str) -> Done:
        """A finished phase."""
        return self._done[step, phase]

    def at(self, step: str, phase: str, part: Part) -> Slice:
        """A part's slice of a finished phase, made part by part or range by range."""
        files = self._done[step, phase].files
        if part.name in files:
            return Slice(files[part.name], 0)
        self.ranges()
        number, position = self._range_of[part.number]
        return Slice(files[paths.task_name(Scope.RANGE, number)], position)

    @property
    def inputs(self) -> Sequence[InputFile]:
        """The input files, by number."""
        return self._state.inputs

    def signal(self, name: str, part: Part) -> Slice | None:
        """The part's slice of the table that holds a signal; None if no step makes it."""
        maker = self.plan.makers.get(f"signal:{name}")
        return self.at(*maker, part) if maker else None

    def signals(self, part: Part) -> Sequence[tuple[str, Slice]]:
        """Every signal, by name, and the part's slice of its table."""
        keys = sorted(key for key in self.plan.makers if key.startswith("signal:"))
        return [
            (key.removeprefix("signal:"), self.at(*self.plan.makers[key], part)) for key in keys
        ]

    def place_tables(self, part: Part) -> Sequence[tuple[str, Slice]]:
        """The steps that place samples in concepts, in order, and the part's slice of each table."""
        makers = [maker for key, maker in self.plan.makers.items() if key.startswith("place:")]
        return [(maker[0], self.at(*maker, part)) for maker in makers]

    def embedding(self, name: str, part: Part) -> Slice:
        """The part's embeddings."""
        return self.at(*self.plan.makers[f"embedding:{name}"], part)

    def ranges(self) -> Sequence[Sequence[Part]]:
        """Consecutive parts of about ``range_samples`` rows."""
        if not self._ranges:
            size = 0
            for part in self.parts:
                if not self._ranges or size + part.rows > self.job.range_samples:
                    self._ranges.append([])
                    size = 0
                self._ranges[-1].append(part)
                self._range_of[part.number] = (len(self._ranges) - 1, len(self._ranges[-1]) - 1)
                size += part.rows
        return self._ranges

    # The walk.

    def walk(self) -> None:
        """Walk all steps, in order; then write the manifest.

        Raises:
            StateError: the account does not balance.
        """
        self.walk_steps()
        if self._base is None:
            ingested = self.done("ingest", "files").files.values()
            check_unchanged(self.job.input, self.inputs, [f.notes["sha256"] for f in ingested])
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
        files = self.done("ingest", "files").files
        if not any(sum(file.rows) for file in files.values()):
            raise InputError("the input has no samples: no file has a row: see what `input:` names")
        self._state.settle([file.rows for file in files.values()])
        return self.total

    def _decide(self, step: Step, entered: int, seconds: float) -> None:
        if (step.name, VERDICT) not in self._done:
            return
        dropped = dict(self.done(step.name, VERDICT).counts())
        self._check_reasons(step.name, dropped)
        account = Account(step.name, entered, dropped)
        if account.kept < 0:
            raise StateError(
                f"{step.name}: dropped {sum(dropped.values())} of {entered} samples: the account does not balance"
            )
        self._deciders.append(step.name)
        self._accounts.append(account)
        self._emit(StepEnded(step.name, entered, dropped, seconds))
        if self._lease and entered and not account.kept:
            raise StateError(self._all_dropped(step.name, account))

    def _all_dropped(self, step: str, account: Account) -> str:
        """Words for a step after which nothing is left: the next would only say that nothing reaches it."""
        reason, count = max(sorted(account.dropped.items()), key=lambda item: item[1])
        why = f"{count:,} for {reason}"
        for file in self.done(step, VERDICT).files.values():
            told = part_files.read_groups(self.root, file, None, ["reason", "message"]).to_pylist()
            messages = [
                row["message"] for row in told if row["reason"] == reason and row["message"]
            ]
            if messages:
                why += f", such as: {messages[0][:200]}"
                break
        return f"{step}: drops all {account.entered:,} samples that reach it, {why}: loosen it, or mend the input"

    def _check_reasons(self, step: str, dropped: Mapping[str, int]) -> None:
        own = [config.reasons for config in self.job.steps if config.name == step]
        unknown = sorted(set(dropped).difference(FRAME, *own))
        if unknown:
            raise StateError(
                f"{step}: dropped {dropped[unknown[0]]} samples for the reason `{unknown[0]}`, which it does not "
                "declare: add it, with its meaning, to `reasons` in the step's config.py"
            )

    def _phase(self, step: Step, phase: Phase[Any]) -> None:
        started = time.perf_counter()
        assert (step.name, phase.name) not in self._done, f"{step.name}: two phases `{phase.name}`"
        claim = claims.of_phase(phase, step.name, self.job)
        phase = replace(phase, resources=claim)
        folder = paths.folder(step.name, phase.name)
        works = [self._work(step, phase, task) for task in phase.tasks]
        index = PhaseFiles(self.root, folder, self._base)
        files = index.find(works)
        if self._lease:
            files = index.adopt(files)
        todo = [work for work in works if work.name not in files]
        if phase.per_row:
            todo = [self._with_stored(step, phase, work) for work in todo]
        if todo and self._base and phase.name == "files" and step.name == "ingest":
            raise StateError(
                f"ingest: {len(todo)} input files would have to be read again: run the job with that setting instead"
            )
        if todo:
            index.invalidate()
            rows = sum(work.task.rows for work in todo)
            self._emit(
                PhaseStarted(
                    step.name, phase.name, len(todo), len(files), rows, claim.cpus, claim.gpus
                )
            )
            task_of = {work.name: work.task for work in todo}
            lacking = 0
            for outcome in self._outcomes(step, phase, todo):
                if isinstance(outcome.error, row_reuse.NotScoredError):
                    lacking += outcome.error.count
                    continue
                file = self._accept(outcome)
                files[outcome.name] = file
                self._emit(
                    TaskDone(
                        step.name,
                        phase.name,
                        outcome.name,
                        task_of[outcome.name].scope,
                        task_of[outcome.name].rows,
                        sum(file.rows),
                        file.bytes,
                        outcome.seconds,
                        outcome.spent,
                    )
                )
            if lacking:
                attempts = [work.attempt for work in todo]
                raise StateError(row_reuse.refusal(step.name, lacking, phase, attempts))
            self.tasks_run += len(todo)
        if self._base is None or self._lease:
            index.commit([work.name for work in works], files)
        self._done[step.name, phase.name] = Done({work.name: files[work.name] for work in works})
        if todo:
            self._emit(PhaseEnded(step.name, phase.name, time.perf_counter() - started))

    def _work(self, step: Step, phase: Phase[Any], task: Task[Any]) -> Work:
        path = paths.table(step.name, phase.name, task.name)
        attempt = Attempt(gpus=phase.resources.gpus)
        return Work(task, path, fingerprint(step, phase, task), attempt)

    def _outcomes(self, step: Step, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """Outcomes as they come; where none comes for long, a notice names the tasks at work."""
        unfinished = {work.name: None for work in works}

        def name_unfinished(seconds: float) -> None:
            names = list(unfinished)
            more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
            self._notify(
                f"{step.name} {phase.name}: no task has ended for {seconds:,.0f} s; "
                f"waiting for {', '.join(names[:3])}{more}"
            )

        with Watchdog(self.job.resources.stuck_after, name_unfinished) as watchdog:
            for outcome in isolate.outcomes(self._executor, phase, works, self._notify):
                watchdog.feed()
                del unfinished[outcome.name]
                yield outcome

    def _notify(self, text: str) -> None:
        self._emit(Notice(text))

    def _with_stored(self, step: Step, phase: Phase[Any], work: Work) -> Work:
        """The work, with the file whose rows it may take over."""
        key = fingerprint(step, phase, work.task, without="drops")
        roots = [self.root, self._base] if self._base else [self.root]
        stored = row_reuse.stored_file(roots, work.path, key)
        attempt = replace(work.attempt, rows_key=key, stored=stored, frozen=self._base is not None)
        return replace(work, attempt=attempt)

    def _accept(self, outcome: Outcome) -> Any:
        if self._lease:
            self._lease.check()
        if outcome.damaged and storage.is_absolute(outcome.damaged):
            raise part_files.damage_error(outcome.damaged)
        if outcome.damaged:
            storage.delete(storage.join(self.root, outcome.damaged))
            PhaseFiles(self.root, outcome.damaged.rpartition("/")[0]).invalidate()
            self._emit(Notice(f"{outcome.damaged} is damaged: it is made again"))
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
) -> Result:
    """Do the tasks of ``plan`` that are not done yet.

    ``base``: a finished run whose tables are copied where they fit; samples that it has not scored are refused.

    Raises:
        TamisError: a fault that a person can mend, in one line.
    """
    check_output(plan)
    pending = () if base else claims.pending_gpu_claims(plan.job, plan.root)
    executor = executor or Engine(plan.root, plan.job.resources, address, pending)
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
    for _ in range(DAMAGE_LIMIT):
        state = State.open(plan)
        state.save_first()
        walk = Run(plan, state, executor, observers, lease, base)
        save_job(plan)
        try:
            walk.walk()
        except RestartError:
            tasks_run += walk.tasks_run
            continue
        return Result(plan.root, walk.accounts, tasks_run + walk.tasks_run)
    raise StateError(f"{plan.root}: tables were damaged {DAMAGE_LIMIT} times over: check the disk")
