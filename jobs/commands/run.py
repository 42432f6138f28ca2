"""``tamis run``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import typer

from tamis.jobs.commands.audit import balance, funnel_table
from tamis.jobs.job_files.load import Request, load
from tamis.jobs.observers import journal, progress
from tamis.jobs.observers.log_lines import LogLines
from tamis.jobs.terminal import display
from tamis.jobs.terminal.patience import told_after, weights_of
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.reading.funnel import Funnel, funnel, outcomes
from tamis.pipeline.audit.reading.funnel import losses as lost
from tamis.pipeline.audit.reading.words import share
from tamis.pipeline.planning.where import is_local
from tamis.pipeline.runs import account
from tamis.pipeline.runs import plan as planning
from tamis.pipeline.runs import walk as running
from tamis.schemas.errors import TamisError, Terminated
from tamis.schemas.events import Event, Observer, PhaseEnded
from tamis.schemas.ledger import Reason
from tamis.schemas.manifest import Version
from tamis.schemas.redaction import redact, redact_text
from tamis.schemas.step import StepModel

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C, and after SIGTERM."""

LONGEST = 3
"""Steps whose times are shown."""

OF_PHOTOGRAPHS = "--set embed.encoder=open_clip:ViT-B-32/laion2b_s34b_b79k (600 MB, fetched once)"
"""What is added to a command whose job takes the small encoder."""

FEW = 0.1
"""Share of the input without captions above which it is said how pictures are taken without any."""

HALF = 0.5
"""Share of what reached a step above which its drops are said aloud."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Print one line and exit when the block is stopped."""
    try:
        yield
    except KeyboardInterrupt as stop:
        display.echo("tamis: stopped; the same command resumes", err=True)
        raise typer.Exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED) from None


@dataclass(frozen=True)
class Place:
    """A person's choice of the executor."""

    address: str | None = None  # of a Ray cluster
    local: bool | None = None  # without Ray; None: it depends


@stoppable()
def run_job(
    request: Request,
    place: Place,
    *,
    accept_changed: bool,
    progress: Literal["auto", "lines", "json", "none"],
    json: bool,
) -> None:
    """Run the rest of a job, then show the funnel.

    Raises:
        TamisError: whatever a person can mend.
    """
    job = load(request)
    with told_after(weights_of(job.embeds)):
        plan = planning.make(job, accept_changed)
    if request.job is None:
        display.note(
            f"no job is named: the one that fits the input runs; it is kept as {redact(plan.root)}/job.yaml, and "
            "`tamis init --input` writes it out to be changed"
        )
        if any(step.encoder == "demo" for step in job.embeds):
            display.note(
                f"the encoder is demo, which knows clip art alone: for photographs {OF_PHOTOGRAPHS}"
            )
    place = Place(place.address, is_local(plan, place.local, place.address))
    carry_out(plan, place, progress=progress, json=json)


def carry_out(
    plan: planning.Plan,
    place: Place,
    *,
    progress: Literal["auto", "lines", "json", "none"],
    json: bool,
    base: str | None = None,
) -> None:
    """Run the rest of a plan, with a journal; ``base`` is a finished run to take tables from.

    Raises:
        TamisError: whatever a person can mend.
    """
    for note in plan.notes:
        display.note(note)
    events = journal.Journal(plan.root, _about(plan, place))
    times = Times()
    try:
        result = _walk(plan, [events, times], progress, place, base)
    except KeyboardInterrupt:
        events.close(ended="stopped")
        raise
    except TamisError as error:
        events.close(ended="failed", why=redact_text(str(error)))
        raise
    events.close(ended="finished", tasks_run=result.tasks_run)
    _show_result(open_run(result.root), result.tasks_run, times, json)


def _walk(
    plan: planning.Plan,
    observers: Sequence[Observer],
    kind: Literal["auto", "lines", "json", "none"],
    place: Place,
    base: str | None,
) -> account.Result:
    bars = None
    if kind == "auto":
        bars = progress.bars([step.name for step in plan.steps], beginning(plan, place))
    more: list[Observer] = [bars] if bars else []
    if kind == "lines":
        more.append(LogLines(sys.stderr))
    if kind == "json":
        more.append(journal.json_lines(sys.stderr))
    with bars or nullcontext():
        return running.run(
            plan,
            [*observers, *more],
            address=place.address,
            base=base,
            local=bool(place.local),
        )


def _about(plan: planning.Plan, place: Place) -> dict[str, object]:
    """The journal's facts about a run, which may differ between equal runs."""
    return {
        "root": redact(plan.root),
        "directory": os.getcwd(),
        "input_files": len(plan.inputs),
        "input_bytes": sum(file.size for file in plan.inputs),
        "executor": "local" if place.local else "ray",
        "address": place.address and redact(place.address),
        "resources": plan.job.resources.model_dump(),
        "versions": {version.package: version.version for version in Version.installed()},
    }


def beginning(plan: planning.Plan, place: Place) -> str:
    """A line about the run that begins, and its executor: Ray needs seconds to start, and says nothing."""
    files = display.count(len(plan.inputs))
    size = display.size(sum(file.size for file in plan.inputs))
    plural = "" if len(plan.inputs) == 1 else "s"
    return (
        f"{plan.job.name}: {len(plan.steps)} steps over {files} file{plural} ({size}), into {redact(plan.root)}, "
        f"{'without Ray' if place.local else 'on Ray'}; Ctrl-C stops, the same command goes on"
    )


class Times:
    """An observer of how long each step takes, in seconds of the wall; ``total`` is since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._by_step: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Add the time of a phase to its step's."""
        if isinstance(event, PhaseEnded):
            self._by_step[event.step] = self._by_step.get(event.step, 0.0) + event.seconds

    @property
    def total(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._begun

    def line(self) -> str:
        """The whole time, and the steps that took most of it."""
        longest = sorted(self._by_step.items(), key=lambda item: -item[1])[:LONGEST]
        named = ", ".join(f"{step} {display.duration(seconds)}" for step, seconds in longest)
        return f"took {display.duration(self.total)}" + (f": {named}" if named else "")


def _show_result(run: FinishedRun, tasks_run: int, times: Times, json: bool) -> None:
    totals = funnel(run)
    result = [output for output in run.files.outputs if output.path.startswith("shards/")]
    if json:
        about: dict[str, object] = {
            "run": redact(run.root),
            "computed": tasks_run,
            **totals.to_json(),
        }
        about["reasons"] = [loss._asdict() for loss in lost(run)]
        display.echo(display.as_json({**about, "bytes": sum(file.bytes for file in result)}))
        return
    out = display.console()
    display.print_table(out, funnel_table(run))
    out.print(balance(totals))
    for line in (*losses(run.steps, totals), *uncaptioned(totals), *told(run.steps, totals)):
        out.print(display.plain(line), soft_wrap=True)
    if not tasks_run:
        out.print("nothing was left to do: every table stood as it was")
    else:
        out.print(times.line())
    for line in _output_lines(run):
        out.print(display.plain(line), soft_wrap=True)


def losses(steps: Sequence[StepModel], totals: Funnel) -> Iterator[str]:
    """A line for each step that dropped more than half of what reached it, though the job names no share to keep."""
    selectors = {step.name for step in steps if step.selects}
    for step in totals.steps:
        dropped = sum(step.dropped.values())
        if step.step not in selectors and dropped > HALF * step.entered:
            reason = max(step.dropped, key=step.dropped.__getitem__)
            yield (
                f"note: {step.step} dropped {display.count(dropped)} of {display.count(step.entered)} "
                f"({share(dropped, step.entered)}), most as {reason}: see whether its settings fit the data: "
                "tamis whatif shows what others would keep"
            )


def uncaptioned(totals: Funnel) -> Iterator[str]:
    """A line where many samples of the input have no caption."""
    for step in totals.steps:
        bare = step.dropped.get(Reason.MISSING_CAPTION, 0)
        if bare > FEW * step.entered:
            yield (
                f"note: {display.count(bare)} of {display.count(step.entered)} samples have no caption: "
                "`captions: none` in the job's input takes pictures without any"
            )


def told(steps: Sequence[StepModel], totals: Funnel) -> Iterator[str]:
    """What the steps themselves say of how many samples they dropped."""
    yield from (f"note: {line}" for line in outcomes(steps, totals))


def _output_lines(run: FinishedRun) -> list[str]:
    lines, root = [], redact(run.root)
    for folder, what in (("shards", "the result"), ("ledger", "why each sample stayed or went")):
        files = [output for output in run.files.outputs if output.path.startswith(f"{folder}/")]
        if files:
            total = display.size(sum(file.bytes for file in files))
            plural = "" if len(files) == 1 else "s"
            lines.append(
                f"{root}/{folder}: {what}; {display.count(len(files))} file{plural}, {total}"
            )
    lines.append(f"next: tamis audit {root}, tamis explain {root} KEY")
    return lines
