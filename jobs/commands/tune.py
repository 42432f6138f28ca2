"""``tamis tune``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tamis.jobs.job_files.load import FITTED, Request, load, locate, read_text
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
    """Measure batch sizes over the job's first samples, show them, and write the best into the job file.

    Raises:
        TamisError: the job cannot be done, has no model to tune, or its file cannot be changed in place.
    """
    sizes, named = numbers(question.sizes), request.job or FITTED
    plan = planning.make(load(request))
    steps = [step for step in plan.job.embeds if not step.takes_embeddings]
    if not steps:
        raise JobError(f"{named}: no step embeds with a model: there is nothing to tune")
    display.echo("tamis: the first samples are embedded here, in a temporary directory", err=True)
    results = [tuning.tune(plan, step, sizes, question.samples, question.rounds) for step in steps]
    written = [] if question.dry else _write(named, results)
    if json:
        figures = {result.step: asdict(result) for result in results}
        display.echo(display.as_json({"job": plan.job.name, "steps": figures, "written": written}))
        return
    for result in results:
        _show(result, named, result.step in written)


def numbers(text: str) -> list[int]:
    """``8,32,128`` as numbers.

    Raises:
        JobError: no batch size.
    """
    pieces = [piece.strip() for piece in text.split(",")]
    for piece in pieces:
        known = piece.isdecimal() and len(piece) <= len(str(LARGEST))
        if not known or not 1 <= int(piece) <= LARGEST:
            raise JobError(
                f"--sizes {text}: `{piece}` is no batch size: 1 to {LARGEST}, such as 8,32,128"
            )
    return [int(piece) for piece in pieces]


def _write(job: str, results: Sequence[tuning.Tuned]) -> list[str]:
    """Write the best sizes into the job file, and return the steps whose size changed."""
    path, preset = locate(job)
    changed = [result for result in results if result.best != result.own]
    if preset or not changed:  # a preset belongs to the installation
        return []
    text = read_text(path)
    for result in changed:
        text = with_setting(text, job, result.step, "batch_size", result.best)
    storage.write_bytes(path, text.encode())
    return [result.step for result in changed]


def _show(result: tuning.Tuned, job: str, written: bool) -> None:
    out = display.console()
    out.print(f"{result.step}: {display.count(result.samples)} samples, one worker")
    headers = [
        ("batch_size", "right"),
        ("samples/s", "right"),
        ("from", "right"),
        ("to", "right"),
        ("", "left"),
    ]
    rows = [
        [
            display.count(rate.batch_size),
            *(f"{value:,.1f}" for value in (rate.median, rate.low, rate.high)),
            "best"
            if rate.batch_size == result.best
            else "the job's"
            if rate.batch_size == result.own
            else "",
        ]
        for rate in result.rates
    ]
    display.print_table(out, display.table(headers, rows))
    setting = f"{result.step}.batch_size={result.best}"
    if written:
        outcome = (
            f"{job} now says {setting}: part of the result's identity, so the next run embeds anew"
        )
    elif result.best == result.own:
        outcome = f"{setting} is the job's own: it stays"
    else:
        outcome = f"nothing was written: --set {setting}"
    out.print(display.plain(outcome), soft_wrap=True)
