"""``tamis fit``."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.evaluate.fit_head import Request, check_free, fit_head, write
from tamis.pipeline.evaluate.pairs import embedding_of
from tamis.pipeline.evaluate.trusted import Marked
from tamis.pipeline.tasks import product
from tamis.schemas import yaml12
from tamis.schemas.errors import JobError
from tamis.schemas.head_card import Area, Extreme, HeadCard, Kind
from tamis.schemas.ledger import TAKEN

CAPTION = 60
"""Most characters of a caption, or a source's name, in a table."""


@dataclass(frozen=True)
class Asked:
    """The command's options, as given."""

    trusted: str | None
    where: str | None
    kind: Kind
    signals: str | None
    by: str | None
    most: int
    seed: int | None


def fit_and_show(pool: str, output: str, asked: Asked, json: bool) -> None:
    """Fit a head, write its file and its card, and show the card.

    Raises:
        TamisError: a run or an option does not fit.
    """
    check_free(output)
    if (asked.trusted is None) == (asked.where is None):
        raise JobError(
            "say what is trusted, one of the two: --trusted RUN, or --where with a condition on the pool's rows"
        )
    names = tuple(name.strip() for name in (asked.signals or "").split(",") if name.strip())
    if (asked.kind == "mix") != bool(names):
        raise JobError("--kind mix and --signals belong together: --kind mix --signals words,blur")
    run = opened(pool)
    other = None if asked.trusted is None else opened(asked.trusted)
    if other is not None and other.root == run.root:
        other, asked = None, replace(asked, where="kept")
    request = Request(
        Marked(other, asked.where), asked.kind, asked.by, names, asked.most, asked.seed
    )
    fitted = fit_head(run, request)
    written = write(fitted, output)
    if json:
        display.echo(display.as_json(fitted.card.model_dump()))
        return
    _show(fitted.card, output, written)
    for line in _steps(fitted.card, output, run):
        display.echo(line)


def _show(card: HeadCard, output: str, written: str) -> None:
    out = display.console()
    counts = card.counts
    out.print(
        f"fitted on {counts.trusted:,} trusted pairs"
        + ("" if card.kind == "pair" else f" and {counts.pool:,} of the pool")
        + f"; measured on {counts.trusted_held:,} and {counts.pool_held:,} others, unlike those; "
        f"{counts.overlap:,} of the pool were left out, which the trusted set has too"
    )
    rows = [
        [name, f"{area.value:.3f}", f"{area.low:.3f} to {area.high:.3f}"]
        for name, area in _areas(card)
    ]
    columns = [("tells trusted pairs from the pool", "left"), ("AUC", "right"), ("95%", "right")]
    display.print_table(out, display.table(columns, rows))
    if card.within_sources is not None:
        out.print(f"inside sources, which it cannot tell by the source: {card.within_sources:.3f}")
    for line in _ends(card):
        out.print(line)
    for warning in card.warnings:
        out.print(f"note: {display.plain(warning)}")
    out.print(f"{output} ({written} says what it was made from)")


def _steps(card: HeadCard, output: str, run: FinishedRun) -> Iterator[str]:
    """The lines that score by the head in the job of ``run``, the pool, after its own steps."""
    embed = embedding_of(run)
    name = _free(os.path.basename(output).partition(".")[0], _columns(run), "_head")
    settings: dict[str, Any] = {"names": [name], "heads": {name: output}}
    if card.signals:
        settings["reads"] = {name: list(card.signals)}
    elif sum(bool(step.makes_embedding) for step in run.steps) > 1:
        settings["embedding"] = embed.makes_embedding
    yield f"in a job, after {'these signals' if card.signals else f'`{embed.name}`'}:"
    for kind, written in (("signals", settings), ("score", {"signal": name, "keep": 0.3})):
        step = _free(kind, {step.name for step in run.steps}, "-head")
        named = {} if step == kind else {"name": step}
        yield f"  - {kind}: {yaml12.flow(named | written)}"


def _columns(run: FinishedRun) -> set[str]:
    """The names of the ledger's columns in small letters: no signal has a second one's name."""
    signals = (
        signal for step in run.steps for signal in run.made_by(step.name, product.Kind.SIGNAL)
    )
    return {name.lower() for name in (*TAKEN, *signals)}


def _free(name: str, taken: Container[str], end: str) -> str:
    """The name, with ``end`` behind it, and a number, as far as others have it."""
    names = chain([name], (f"{name}{end}{number}" for number in chain([""], count(2))))
    return next(free for free in names if free.lower() not in taken)


def _areas(card: HeadCard) -> Iterator[tuple[str, Area]]:
    yield "the head", card.auc
    yield from ((f"{name}, alone", area) for name, area in card.beside.items())


def _ends(card: HeadCard) -> Iterator[str]:
    """Sentences about what the head keeps first and last of the pool."""
    for title, end in (("first", card.most), ("last", card.least)):
        yield f"kept {title}, of the pool ({end.pairs:,} pairs): {'; '.join(_of_end(end))}"


def _of_end(end: Extreme) -> Iterator[str]:
    yield f"words {display.plain(end.words)}" if end.words else "no words of their own"
    yield "sources " + ", ".join(
        f"{display.plain(name, CAPTION)} {100 * share:.0f}%" for name, share in end.sources.items()
    )
    yield "such as " + ", ".join(f"'{display.plain(text, CAPTION)}'" for text in end.captions)
