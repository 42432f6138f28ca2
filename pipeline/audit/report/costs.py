"""The section of a report with the costs of each step, actual and predicted."""

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
"""(header, field of ``Cost``, function that writes it)."""


def cost_section(run: FinishedRun) -> str:
    """A table with a row a step: actual figures, and below them those that ``tamis plan --cluster`` predicted."""
    try:
        spent = costs(run.root)
    except StateError as error:
        return element("p", f"What the run cost cannot be told: {text(error)}.", class_="note")
    if not spent.steps:
        return ""
    whole = StepCosts("together", spent.predicted, spent.actual)
    columns = [
        column
        for column in COLUMNS
        if any(getattr(cost, column[1]) for cost in (spent.actual, spent.predicted) if cost)
    ]
    most = max(cost.cpu_seconds for cost in _every(spent.steps))
    rows = [
        [text(step.step), _bar(step.actual, most), *_cells(step, columns)] for step in spent.steps
    ]
    rows.append([element("b", "together"), "", *_cells(whole, columns)])
    header = [("step", "left"), ("", "wide"), *((name, "right") for name, _, _ in columns)]
    summary = f"The phases took {_seconds(spent.wall_seconds)} one after another."
    if spent.predicted_wall:
        low, high = spent.predicted_wall
        summary += f" Predicted: {_seconds(low)} to {_seconds(high)} with the start; predictions stand in brackets."
    else:
        summary += " Nothing was predicted (tamis plan JOB --cluster does)."
    return element("p", text(summary), class_="soft") + table(header, rows, "Cost")


def _every(steps: tuple[StepCosts, ...]) -> list[Cost]:
    return [step.actual or Cost() for step in steps]


def _bar(actual: Cost | None, most: float) -> str:
    return charts.bar([("kept", actual.cpu_seconds if actual else 0.0)], most)


def _cells(step: StepCosts, columns: list[tuple[str, str, Callable[[float], str]]]) -> list[str]:
    cells = []
    for _, field, written in columns:
        cell = written(getattr(step.actual, field)) if step.actual else "-"
        if step.predicted:
            predicted = f"[{written(getattr(step.predicted, field))}]"
            cell += "<br>" + element("span", predicted, class_="soft")
        cells.append(cell)
    return cells
