"""``tamis audit --costs``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

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
"""Header, field of Cost, format."""


def show_costs(path: str, json: bool) -> None:
    """Show the costs of each step of a run, beside the predicted ones if any.

    Raises:
        StateError: no journal with costs.
    """
    figures = costs(storage.absolute(path))
    if not figures.steps:
        raise StateError(f"{path}: no events.jsonl with costs: name a run directory")
    if json:
        display.echo(display.as_json({"run": storage.absolute(path), **_plain(figures)}))
        return
    out = display.console()
    headers = [("step", "left"), ("", "left"), *((name, "right") for name, _, _ in COLUMNS)]
    rows = []
    for name, predicted, actual in _lines(figures):
        if predicted:
            rows.append([name, "predicted", *cells(predicted)])
        rows.append(["" if predicted else name, "actual", *cells(actual)])
    display.print_table(out, display.table(headers, rows))
    prediction = ""
    if figures.predicted_wall:
        low, high = (display.duration(seconds) for seconds in figures.predicted_wall)
        prediction = f"; predicted {low} to {high} with the start"
    out.print(f"wall time of the phases: {display.duration(figures.wall_seconds)}{prediction}")


def _lines(figures: Costs) -> list[tuple[str, Cost | None, Cost | None]]:
    lines = [(step.step, step.predicted, step.actual) for step in figures.steps]
    return [*lines, ("together", figures.predicted, figures.actual)]


def cells(cost: Cost | None) -> list[str]:
    """The cells of a cost, one a column; empty ones without a cost."""
    if cost is None:
        return [""] * len(COLUMNS)
    return [write(getattr(cost, field)) for _, field, write in COLUMNS]


def _plain(figures: Costs) -> dict[str, object]:
    steps = [
        {
            "step": name,
            "predicted": asdict(predicted) if predicted else None,
            "actual": asdict(actual) if actual else None,
        }
        for name, predicted, actual in _lines(figures)
    ]
    return {
        "steps": steps[:-1],
        "together": steps[-1],
        "wall_seconds": figures.wall_seconds,
        "predicted_wall_seconds": figures.predicted_wall,
    }
