"""``tamis audit --costs``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import typer

from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.costs import Costs, costs
from tamis.pipeline.store import storage
from tamis.schemas.costs import Cost
from tamis.schemas.errors import StateError

COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("CPU", "cpu_seconds", display.duration),
    ("GPU", "gpu_seconds", display.duration),
    ("read", "read_bytes", display.size),
    ("shuffled", "shuffled_bytes", display.size),
    ("written", "written_bytes", display.size),
    ("peak memory", "memory_bytes", display.size),
)
"""Header, field of Cost, how it is written."""


def show_costs(path: str, json: bool) -> None:
    """What each step of a run took, and where there is a prediction, what it said.

    Raises:
        StateError: there is no journal to tell.
    """
    found = costs(storage.absolute(path))
    if not found.steps:
        raise StateError(f"{path}: no events.jsonl that tells costs: name a run directory")
    if json:
        typer.echo(display.as_json({"run": storage.absolute(path), **_plain(found)}))
        return
    out = display.console()
    headers = [("step", "left"), ("", "left"), *((name, "right") for name, _, _ in COLUMNS)]
    rows = []
    for name, predicted, actual in _lines(found):
        if predicted:
            rows.append([name, "predicted", *cells(predicted)])
        rows.append(["" if predicted else name, "actual", *cells(actual)])
    display.print_table(out, display.table(headers, rows))
    said = ""
    if found.predicted_wall:
        low, high = (display.duration(seconds) for seconds in found.predicted_wall)
        said = f"; predicted {low} to {high} with the start"
    out.print(f"wall time of the phases: {display.duration(found.wall_seconds)}{said}")


def _lines(found: Costs) -> list[tuple[str, Cost | None, Cost | None]]:
    lines = [(step.step, step.predicted, step.actual) for step in found.steps]
    return [*lines, ("together", found.predicted, found.actual)]


def cells(cost: Cost | None) -> list[str]:
    """One a column; nothing where nothing is known."""
    if cost is None:
        return [""] * len(COLUMNS)
    return [write(getattr(cost, field)) for _, field, write in COLUMNS]


def _plain(found: Costs) -> dict[str, object]:
    steps = [
        {
            "step": name,
            "predicted": asdict(predicted) if predicted else None,
            "actual": asdict(actual) if actual else None,
        }
        for name, predicted, actual in _lines(found)
    ]
    return {
        "steps": steps[:-1],
        "together": steps[-1],
        "wall_seconds": found.wall_seconds,
        "predicted_wall_seconds": found.predicted_wall,
    }
