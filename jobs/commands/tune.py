"""``tamis tune``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import typer

from tamis.jobs.loading import Request, load, locate, text_of
from tamis.jobs.terminal import display
from tamis.pipeline.planning import tuning
from tamis.pipeline.runs import plan as planning
from tamis.pipeline.store import storage
from tamis.schemas.errors import JobError
from tamis.schemas.parse import with_setting

LARGEST = 8192


@dataclass(frozen=True)
class Question:
    """The options of ``tamis tune``."""

    sizes: str
    samples: int
    rounds: int
    dry: bool = False  # write nothing


def tune_job(request: Request, question: Question, *, json: bool) -> None:
    """Measure batch sizes over the job's own first samples, show them, and write the best into the job file.

    Raises:
        TamisError: the job cannot be done, has no model to tune, or its file cannot be changed in place.
    """
    sizes = numbers(question.sizes)
    plan = planning.make(load(request))
    steps = [step for step in plan.job.embeds if not step.takes_embeddings]
    if not steps:
        raise JobError(f"{request.job}: no step embeds with a model: there is nothing to tune")
    typer.echo("tamis: the first samples are embedded, here, in a temporary directory", err=True)
    found = [tuning.tune(plan, step, sizes, question.samples, question.rounds) for step in steps]
    written = [] if question.dry else _write(request.job, found)
    if json:
        steps_found = {one.step: asdict(one) for one in found}
        typer.echo(
            display.as_json({"job": plan.job.name, "steps": steps_found, "written": written})
        )
        return
    for one in found:
        _show(one, request.job, one.step in written)


def numbers(text: str) -> list[int]:
    """``8,32,128`` as numbers.

    Raises:
        JobError: one is no batch size.
    """
    pieces = [piece.strip() for piece in text.split(",")]
    for piece in pieces:
        if not piece.isdecimal() or not 1 <= int(piece) <= LARGEST:
            raise JobError(
                f"--sizes {text}: `{piece}` is no batch size: 1 to {LARGEST}, such as 8,32,128"
            )
    return [int(piece) for piece in pieces]


def _write(job: str, found: Sequence[tuning.Tuned]) -> list[str]:
    """The best sizes into the job file, where they are not there already; the steps that were changed."""
    path, preset = locate(job)
    changed = [one for one in found if one.best != one.own]
    if preset or not changed:  # a preset belongs to the installation
        return []
    text = text_of(path)
    for one in changed:
        text = with_setting(text, job, one.step, "batch_size", one.best)
    storage.write_bytes(path, text.encode())
    return [one.step for one in changed]


def _show(one: tuning.Tuned, job: str, written: bool) -> None:
    out = display.console()
    out.print(f"{one.step}: {display.count(one.samples)} samples, one worker")
    headers = [
        ("batch_size", "right"),
        ("samples/s", "right"),
        ("from", "right"),
        ("to", "right"),
        ("", "left"),
    ]
    put = [
        [
            display.count(rate.batch_size),
            *(f"{value:,.1f}" for value in (rate.median, rate.low, rate.high)),
            "best"
            if rate.batch_size == one.best
            else "the job's"
            if rate.batch_size == one.own
            else "",
        ]
        for rate in one.rates
    ]
    display.print_table(out, display.table(headers, put))
    setting = f"{one.step}.batch_size={one.best}"
    if written:
        said = (
            f"{job} now says {setting}: part of the result's identity, so the next run embeds anew"
        )
    elif one.best == one.own:
        said = f"{setting} is the job's own: it stays"
    else:
        said = f"nothing was written: --set {setting}"
    out.print(display.plain(said), soft_wrap=True)
