"""A share of web scale, without data: what a run costs its driver must grow as its rows do, and no faster.

Counts and bytes alone are judged, which are the same on any machine. ``python -m tests.simulate`` says the seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.simulate import Cost, simulate

pytestmark = pytest.mark.slow

TASK_BYTES = 64 << 10
"""Of a task's description, at most."""

FILES_A_PART = 5
"""Phases with a file a part, or a file of the input or of the result: ingest, signals, embed, shards, and the pictures
that near duplicates open again."""

DEALT_ROWS = 100_000
"""Rows a bucket, at least, of any phase that deals rows out; a few buckets even of a small run."""


@pytest.fixture(scope="module", params=[(10_000_000, 10_000), (600_000, 100)], ids=str)
def costs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Cost, Cost]:
    """The costs of so many rows, with so many in a file, and of twice as many.

    Long files; and many small ones, each of which is a part of its own. Each run is walked once more: that walk has
    nothing to do, or fails.
    """
    rows, samples_per_file = request.param
    roots: list[Path] = [tmp_path_factory.mktemp("run") for _ in range(2)]
    once, twice = (
        simulate(rows * factor, samples_per_file, str(root))
        for factor, root in zip((1, 2), roots, strict=True)
    )
    return once, twice


def test_descriptions_of_tasks_are_small(costs: tuple[Cost, Cost]) -> None:
    """However many parts and buckets there are."""
    assert max(cost.largest_task_bytes for cost in costs) <= TASK_BYTES, costs[1].largest_task


def test_a_cost_is_written_as_json(costs: tuple[Cost, Cost]) -> None:
    """Every task goes one way or another."""
    for cost in costs:
        shown = json.loads(json.dumps(asdict(cost)))
        assert sum(shown["tasks_by_way"].values()) == cost.tasks


def test_tasks_grow_as_rows_do(costs: tuple[Cost, Cost]) -> None:
    """Tasks, requests and the bytes of indices: of all phases together, and tasks of each."""
    once, twice = costs
    assert twice.tasks <= 2.2 * once.tasks
    assert twice.requests <= 2.2 * once.requests
    assert twice.index_bytes <= 2.2 * once.index_bytes
    before, after = tasks_of(once), tasks_of(twice)
    assert set(after) >= set(before)
    for phase, tasks in after.items():
        assert tasks <= 2.2 * before.get(phase, 0) + 16, phase


def test_few_phases_have_a_file_a_part(costs: tuple[Cost, Cost]) -> None:
    """All others have a few a bundle, or one a bucket."""
    for cost in costs:
        many = [phase for phase, tasks in tasks_of(cost).items() if tasks > cost.parts / 4]
        assert len(many) <= FILES_A_PART, many
        few = 4 * cost.bundles + cost.rows // DEALT_ROWS + 16
        rest = [tasks for phase, tasks in tasks_of(cost).items() if phase not in many]
        assert max(rest) <= few


def tasks_of(cost: Cost) -> Mapping[str, int]:
    """The tasks of each phase."""
    return {phase["phase"]: phase["tasks"] for phase in cost.phases}
