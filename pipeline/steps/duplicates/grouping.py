"""The last phases of the steps that look for near duplicates: from verified edges to who is dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tamis.pipeline.steps.duplicates import chaining, leading
from tamis.pipeline.steps.duplicates.config import EDGES
from tamis.pipeline.steps.duplicates.edges import Rule
from tamis.pipeline.steps.shared.exchange import verdict_phase
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import Phase, listed
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task

PARTITION = 4_000_000
"""Edges of a partition where there are more, about."""


def phases(
    context: Context, step: str, edges: Sequence[str], rule: Rule, reason: str
) -> Iterator[Phase[Any]]:
    """``groups``, all that is dropped, by range; and ``verdict``. ``edges``: the phases that hold the step's edges.

    Raises:
        StateError: there are more edges than a task holds, and they are not decided in any number of rounds.
    """
    found = [context.done(step, phase) for phase in edges]
    count = sum(done.rows for done in found)
    partitions = 1 + count // PARTITION
    pieces = [piece for done in found for i in range(len(done)) for piece in _pieces(done, i)]
    if count <= EDGES:
        decide = chaining.joined if rule.chain else leading.led
        together = {"edges": [source for done in found for source in done.whole()]}
        whole = Task.whole("components", together, rule)
        yield listed("groups", decide, [whole], buckets=len(rule.starts))
    elif rule.chain:
        yield from chaining.phases(context, step, pieces, rule, partitions)
    else:
        yield from leading.phases(context, step, pieces, rule, partitions, EDGES)
    yield verdict_phase(context, context.done(step, "groups"), reason)


def _pieces(done: Done, file: int) -> list[Slice]:
    """The row groups of a file of edges; several only where its task read a bucket in passes."""
    record = done.files.file(file)
    if len(record.rows) == 1:
        return [record.slice()]
    return [record.slice(group) for group in range(len(record.rows))]
