"""The sizes that `tamis plan` foresees, beside those of a run."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tamis.pipeline.planning.sizes import sizes
from tamis.schemas.errors import JobError
from tests.simulate import _job, _plan, simulate
from tests.support.embedded import blobs, write_input
from tests.support.running import make_plan, run_here

STEPS = """
  - exact_duplicates: {on: url_text}
  - embed: {encoder: precomputed}
  - density: {clusters: 2, neighbours: 1, keep: 0.5}
  - write: {format: parquet}
"""


def test_parts_are_foreseen_from_footers_and_then_counted(tmp_path: Path) -> None:
    """Files of 20 rows, at most 8 a part: three a file."""
    samples = blobs([30, 30], [0.9, 0.9], dim=8, url=[f"http://x/{i}" for i in range(60)])
    entry = write_input(tmp_path / "in", samples, files=3)
    plan = make_plan(tmp_path / "run", "", STEPS, input=[entry], part_samples=8)
    before = sizes(plan)
    assert (before.samples, before.parts, before.bundles, before.counted) == (60, 9, 1, False)
    done = run_here(plan)
    after = sizes(plan)
    assert after == replace(before, counted=True)
    assert done.tasks_run <= after.tasks


def test_a_run_without_data_has_no_more_than_is_foreseen(tmp_path: Path) -> None:
    """Of the whole preset: tasks, and bytes of a description."""
    cost = simulate(6_000_000, 10_000, str(tmp_path / "run"))
    made = _plan(_job(str(tmp_path / "run"), 10_000), str(tmp_path / "run"), 600)
    found = sizes(made)
    assert (found.parts, found.counted) == (cost.parts, True)
    assert cost.tasks <= found.tasks <= 2 * cost.tasks
    assert cost.largest_task_bytes <= found.task_bytes <= 2 * cost.largest_task_bytes


def test_what_no_memory_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, with the mend."""
    made = _plan(_job(str(tmp_path / "run"), 10_000), str(tmp_path / "run"), 100)
    real = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: 1 if name == "SC_PHYS_PAGES" else real(name))
    with pytest.raises(
        JobError, match=r"parts: the driver would hold .*: set part_samples above 10000"
    ):
        sizes(made)
