"""The driver is killed in the middle of each phase of the near-duplicates step: the survivors are the same."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import contents, make_plan, run_here

STEP = "near_duplicates"
PHASES = ("texts", "equal", "bands", "shared", "members", "similar", "links", "large-00", "groups")
STEPS = f"  - {STEP}: {{agree: phash, hamming: 12, jaccard: 0.7}}"

# A process that kills itself when the first task of a phase is done and others are left. Small buckets, so that
# each phase has several tasks. Without Ray: that a driver may die above Ray's workers is tests/test_chaos.py's.
DYING = """
import os, signal, sys
from pipeline.steps import grouping, near
from schemas.events import TaskDone
from tests.running import make_plan, run_here

near.TEXTS, near.RECORDS, near.CANDIDATES = 200, 2000, 500
grouping.EDGES, grouping.PARTITION = 10, 200
output, pattern, step, phase, steps = sys.argv[1:]

def observe(event):
    if isinstance(event, TaskDone) and (event.step, event.phase) == (step, phase):
        os.kill(os.getpid(), signal.SIGKILL)
    if getattr(event, "phase", None):
        print(event.step, event.phase, flush=True)

run_here(make_plan(output, pattern, steps, part_samples=100, range_samples=200), [observe])
"""


def run_until(phase: str, output: Path, pattern: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", DYING, str(output), pattern, STEP, phase, STEPS],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_killed_in_every_phase_the_survivors_are_the_same(
    clipart_example: Path, tmp_path: Path
) -> None:
    pattern = f"{clipart_example}/*.tar"
    for phase in PHASES:
        killed = run_until(phase, tmp_path / "killed", pattern)
        assert killed.returncode == -signal.SIGKILL, phase
        assert list((tmp_path / f"killed/tables/{STEP}/{phase}").glob("*.parquet"))
        assert not (tmp_path / "killed/manifest.json").exists()
    last = run_until("none", tmp_path / "killed", pattern)
    assert last.returncode == 0
    done = {line.split()[1] for line in last.stdout.splitlines() if line.startswith(STEP)}
    assert done.isdisjoint(PHASES[:-1])
    run_here(make_plan(tmp_path / "whole", pattern, STEPS, part_samples=100, range_samples=200))
    assert contents(tmp_path / "killed/ledger") == contents(tmp_path / "whole/ledger")
    killed_bytes, whole_bytes = (
        (tmp_path / name / "manifest.json").read_bytes() for name in ("killed", "whole")
    )
    assert killed_bytes == whole_bytes
    assert b"near_caption" in whole_bytes
