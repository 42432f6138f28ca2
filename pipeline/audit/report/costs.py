"""The section of a report that shows what each step took, beside what had been predicted."""

from __future__ import annotations

from collections.abc import Callable

from tamis.pipeline.audit.reading.costs import StepCosts, costs
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.report import charts
from tamis.pipeline.audit.report.html import element, table, text
from tamis.schemas.costs import Cost
from tamis.schemas.errors import StateError


def _seconds(value: float) -> str:
    return f"{value:,.1f} s"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.1f} MB"


COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("CPU", "cpu_seconds", _seconds),
    ("GPU", "gpu_seconds", _seconds),
    ("read", "read_bytes", _megabytes),
    ("shuffled", "shuffled_bytes", _megabytes),
    ("written", "written_bytes", _megabytes),
    ("peak memory", "memory_bytes", _megabytes),
)
"""Header, field of Cost, how it is written."""


def cost_section(run: FinishedRun) -> str:
    """A row a step: actual figures, and below each the predicted one, where ``tamis plan --cluster`` left any."""
    try:
        found = costs(run.root)
    except StateError as error:
        return element("p", f"What the run cost cannot be told: {text(error)}.", class_="note")
    if not found.steps:
        return ""
    whole = StepCosts("together", found.predicted, found.actual)
    columns = [
        column
        for column in COLUMNS
        if any(getattr(cost, column[1]) for cost in (found.actual, found.predicted) if cost)
    ]
    most = max(cost.cpu_seconds for cost in _every(found.steps))
    rows = [
        [text(step.step), _bar(step.actual, most), *_cells(step, columns)] for step in found.steps
    ]
    rows.append([element("b", "together"), "", *_cells(whole, columns)])
    header = [("step", "left"), ("", "wide"), *((name, "right") for name, _, _ in columns)]
    said = f"The phases took {_seconds(found.wall_seconds)} one after another."
    if found.predicted_wall:
        low, high = found.predicted_wall
        said += f" Predicted: {_seconds(low)} to {_seconds(high)} with the start; predictions stand in brackets."
    else:
        said += " Nothing was predicted (tamis plan JOB --cluster does)."
    return element("p", text(said), class_="soft") + table(header, rows, "Cost")


def _every(steps: tuple[StepCosts, ...]) -> list[Cost]:
    return [step.actual or Cost() for step in steps]


def _bar(actual: Cost | None, most: float) -> str:
    return charts.bar([("kept", actual.cpu_seconds if actual else 0.0)], most)


def _cells(step: StepCosts, columns: list[tuple[str, str, Callable[[float], str]]]) -> list[str]:
    cells = []
    for _, field, written in columns:
        cell = written(getattr(step.actual, field)) if step.actual else "-"
        if step.predicted:
            said = f"[{written(getattr(step.predicted, field))}]"
            cell += "<br>" + element("span", said, class_="soft")
        cells.append(cell)
    return cells
