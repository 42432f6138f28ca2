"""``tamis whatif``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.jobs.terminal.patience import look_for_weights
from tamis.pipeline.audit.again.whatif import Change, whatif
from tamis.schemas.errors import JobError

CAPTION = 60
"""Most characters of a caption in a table."""


def show_changes(path: str, settings: Sequence[str], count: int, json: bool) -> None:
    """Show the samples that other settings would keep or drop.

    Raises:
        JobError: no settings.
        TamisError: the run or a setting does not fit, or a signal was never scored.
    """
    if not settings:
        raise JobError("whatif: no settings: add --set density.keep=0.3")
    run = opened(path)
    look_for_weights(run.steps)
    change = whatif(run, settings, count)
    if json:
        display.echo(display.as_json(_plain(change)))
        return
    out = display.console()
    display.print_table(out, _steps(change))
    difference = change.kept_after - change.kept_before
    out.print(
        f"kept {display.count(change.kept_before)} -> {display.count(change.kept_after)} ({difference:+,}): "
        f"{display.count(change.came)} come, {display.count(change.went)} go"
    )
    for note in change.notes:
        out.print(note)
    for title, counts in (("reason", change.by_reason), ("cluster", change.by_cluster)):
        if counts:
            display.print_table(
                out, _counts(title, {str(key): value for key, value in counts.items()})
            )
    if change.samples:
        display.print_table(out, _samples(change))


def _plain(change: Change) -> dict[str, object]:
    plain = asdict(change)
    plain["by_cluster"] = {str(key): value for key, value in sorted(change.by_cluster.items())}
    return plain


def _steps(change: Change) -> Table:
    rows = []
    for before, after in zip(change.before, change.after, strict=True):
        counts = (before.entered - before.kept, after.entered - after.kept, before.kept, after.kept)
        rows.append([before.step, *(display.count(number) for number in counts)])
    names = ("dropped now", "dropped then", "kept now", "kept then")
    return display.table([("step", "left"), *((name, "right") for name in names)], rows)


def _counts(title: str, counts: dict[str, int], most: int = 10) -> Table:
    chosen = sorted(counts, key=lambda key: (-abs(counts[key]), key))[:most]
    rows = [[name, f"{counts[name]:+,}"] for name in chosen]
    return display.table([(title, "left"), ("come - go", "right")], rows)


def _samples(change: Change) -> Table:
    rows = [
        [
            "+" if sample["side"] == "comes" else "-",
            display.plain(sample["key"]),
            display.plain(sample["text"] or "", CAPTION),
            sample["because"],
        ]
        for sample in change.samples
    ]
    return display.table([(name, "left") for name in ("", "key", "caption", "because of")], rows)
