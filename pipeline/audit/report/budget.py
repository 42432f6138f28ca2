"""The report's section about a compute budget: error against samples seen, a line a pool."""

from __future__ import annotations

import numpy as np

from tamis.pipeline.audit.again.budget import errors, sizes
from tamis.pipeline.audit.reading.budget import stored
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.audit.report.charts import Line, Value, curves, style
from tamis.pipeline.audit.report.html import element, table, text
from tamis.schemas.budget import Budget, Law

POINTS = 33
"""Points of a line."""

LINES = 12
"""Pools that are drawn, at most: of more, some at even distances, with the last."""


def budget_section(run: FinishedRun) -> str:
    """The section; "" for a run without a budget."""
    budget = stored(run)
    if budget is None:
        return ""
    lead = (
        f"{number(budget.seen)} samples seen, {number(budget.kept)} kept: {number(budget.passes)} passes over each, "
        f"worth {number(budget.worth)} new samples."
    )
    shown = element("p", text(lead), class_="soft")
    if budget.law is not None:
        shown += element("figure", _chart(budget.law, budget.seen)) + _table(budget)
    return shown + "".join(element("p", text(note), class_="note") for note in budget.notes)


def _chart(law: Law, seen: float) -> str:
    """A line a pool, and the least error of all of them."""
    kept = sizes(law)
    low, high = min(kept[0], seen) / 2, max(10 * kept[-1], 2 * seen)
    at = np.union1d(np.geomspace(low, high, POINTS), [seen])
    found = errors(law, at.tolist())
    drawn = np.unique(np.linspace(0, len(kept) - 1, min(LINES, len(kept))).round().astype(int))
    shown = [_line("least", "own", at, found.min(axis=0))]
    shown += [
        _line(number(round(kept[pool])), style(index), at, found[pool])
        for index, pool in enumerate(drawn.tolist())
    ]
    return curves(shown, "samples seen", "predicted error")


def _line(name: str, look: str, at: np.ndarray, found: np.ndarray) -> Line:
    return Line(
        name,
        look,
        [
            Value(x, error, 0.0, f"{name}: {error:.4f} after {number(round(x))}")
            for x, error in zip(at.tolist(), found.tolist(), strict=True)
        ],
    )


def _table(budget: Budget) -> str:
    columns = [("samples kept", "right"), ("passes", "right"), ("predicted error", "right")]
    fitted = budget.pools[0].interval is not None
    if fitted:
        columns += [("95% interval", "right"), ("best in", "right")]
    best = budget.best
    rows = []
    for pool in budget.pools:
        error = f"{pool.error:.4f}"
        cells = [number(round(pool.samples)), number(pool.passes)]
        cells.append(element("b", error) if pool is best else error)
        if pool.interval is not None and pool.best_of is not None:
            low, high = pool.interval
            cells += [f"{low:.4f} to {high:.4f}", f"{100 * pool.best_of:.0f}% of draws"]
        rows.append(cells)
    return table(columns, rows, "Budget")
