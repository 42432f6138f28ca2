"""The driver is killed in the middle of each phase of the duplicate steps: the survivors are the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedded import blobs, write_input
from tests.support.running import contents, make_plan, run_here

STARS = ("links", "large-00", "small-00", "labels", "groups", "verdict")
NEAR = ("texts", "equal", "bands", "shared", "members", "similar", *STARS)
PICTURES = ("hashes", "equal", "distinct", "similar", *STARS)
SEMANTIC = ("members", "order", "blocks", "pairs", "scores", "doomed", "verdict")

# A process that kills itself when the first task of a phase is done and others are left. Small buckets, so that
# each phase has several tasks. Without Ray: that a driver may die above Ray's workers is tests/runs/test_chaos.py's.
DYING = """
import json, os, signal, sys
from tamis.pipeline.steps.duplicates import grouping
from tamis.pipeline.steps.duplicates.semantic import step as semantic, tasks as semantic_tasks
from tamis.pipeline.steps.shared import bucket_counts
from tamis.schemas.events import TaskDone
from tests.support.running import make_plan, run_here

bucket_counts.TEXTS, bucket_counts.RECORDS, bucket_counts.CANDIDATES = 200, 2000, 500
bucket_counts.HASHES, bucket_counts.VECTOR_BYTES = 300, 2000
semantic.OVERSIZE_BYTES, semantic_tasks.BLOCK_ROWS = 500, 50
grouping.EDGES, grouping.PARTITION = 10, 200
output, step, phase, steps, job = sys.argv[1:]

def observe(event):
    if isinstance(event, TaskDone) and (event.step, event.phase) == (step, phase):
        os.kill(os.getpid(), signal.SIGKILL)
    if getattr(event, "phase", None):
        print(event.step, event.phase, flush=True)

run_here(make_plan(output, "", steps, **json.loads(job)), [observe])
"""


def run_until(phase: str, output: Path, step: str, steps: str, job: dict[str, Any]) -> Any:
    return subprocess.run(
        [sys.executable, "-c", DYING, str(output), step, phase, steps, json.dumps(job)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


def killed_in_each(folder: Path, phases: tuple[str, ...], steps: str, entry: Any) -> bytes:
    """Kill a run in every phase of its last step, end it, and compare it with one; the manifest."""
    step = steps.rpartition("- ")[2].partition(":")[0]
    job: dict[str, Any] = {"input": [entry], "part_samples": 100, "range_samples": 200}
    for phase in phases:
        killed = run_until(phase, folder / "killed", step, steps, job)
        assert killed.returncode == -signal.SIGKILL, phase
        assert list((folder / f"killed/tables/{step}/{phase}").glob("*.parquet"))
        assert not (folder / "killed/manifest.json").exists()
    last = run_until("none", folder / "killed", step, steps, job)
    assert last.returncode == 0
    done = {line.split()[1] for line in last.stdout.splitlines() if line.startswith(step)}
    assert done.isdisjoint(phases[:-1])
    # With buckets of the usual size, and never killed.
    run_here(make_plan(folder / "whole", "", steps, **job))
    assert contents(folder / "killed/ledger") == contents(folder / "whole/ledger")
    killed_bytes, whole_bytes = (
        (folder / name / "manifest.json").read_bytes() for name in ("killed", "whole")
    )
    assert killed_bytes == whole_bytes
    return whole_bytes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phases", "step", "reason"),
    [
        (NEAR, "near_duplicates: {agree: phash, hamming: 12, jaccard: 0.7}", b"near_caption"),
        (PICTURES, "near_pictures: {hamming: 8}", b"near_picture"),
    ],
    ids=["near_duplicates", "near_pictures"],
)
def test_killed_in_every_phase_the_survivors_are_the_same(
    phases: tuple[str, ...], step: str, reason: bytes, clipart_example: Path, tmp_path: Path
) -> None:
    entry = {"path": f"{clipart_example}/*.tar"}
    assert reason in killed_in_each(tmp_path, phases, f"  - {step}", entry)


@pytest.mark.slow
def test_killed_in_every_phase_semantic_survivors_are_the_same(tmp_path: Path) -> None:
    entry = write_input(tmp_path / "in", blobs([300, 200, 90, 10], [0.4] * 4, dim=8), files=3)
    steps = (
        "  - embed: {encoder: precomputed}\n  - semantic_duplicates: {clusters: 4, epsilon: 0.05}"
    )
    assert b"semantic_duplicate" in killed_in_each(tmp_path, SEMANTIC, steps, entry)
