"""The driver is killed in the middle of each phase of the near-duplicates step, on Ray: the survivors are the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.running import contents, make_plan, run_here

STEP = "near_duplicates"
PHASES = ("texts", "equal", "bands", "shared", "members", "similar", "links", "large-00", "groups")

# Small buckets, so that each phase has several tasks; the plan is made by the driver alone.
COMMAND = """
from jobs.cli import main
from pipeline.steps import grouping, near
near.TEXTS, near.RECORDS, near.CANDIDATES = 200, 2000, 500
grouping.EDGES, grouping.PARTITION = 10, 200
main()
"""


def begin(job: Path, output: Path) -> subprocess.Popen[str]:
    options = ["--output", str(output), "--cpus", "2", "--progress", "json"]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "run", str(job), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_in(line: str, phase: str) -> bool:
    """Whether the first task of the phase is done, and others are at work."""
    if not line.startswith("{"):
        return False
    event = json.loads(line)
    return (event["event"], event.get("step"), event.get("phase")) == ("TaskDone", STEP, phase)


def end_session(leader: int) -> None:
    """End what the dead driver has left behind of Ray, which would notice in half a minute."""
    while left := [pid for pid in psutil.pids() if pid != leader and session_of(pid) == leader]:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def run_until(job: Path, output: Path, phase: str) -> None:
    """Run, and kill the driver when it is in the phase."""
    with begin(job, output) as running:
        assert running.stderr is not None
        seen = [
            line for line in iter(running.stderr.readline, "") if not _killed(running, line, phase)
        ]
        assert running.wait() == -signal.SIGKILL, "".join(seen[-5:])
    end_session(running.pid)


def _killed(running: subprocess.Popen[str], line: str, phase: str) -> bool:
    if not is_in(line, phase):
        return False
    running.kill()
    return True


@pytest.mark.slow
def test_killed_in_every_phase_the_survivors_are_the_same(
    clipart_example: Path, tmp_path: Path
) -> None:
    steps = f"  - {STEP}: {{agree: phash, hamming: 12, jaccard: 0.7}}"
    pattern = f"{clipart_example}/*.tar"
    job = tmp_path / "job.yaml"
    sizes = "part_samples: 100\nrange_samples: 200"
    job.write_text(
        f"name: test\ninput: [{{path: '{pattern}'}}]\noutput: unset\n{sizes}\nsteps:\n{steps}\n"
    )
    for phase in PHASES:
        run_until(job, tmp_path / "ray", phase)
        stood = list((tmp_path / f"ray/tables/{STEP}/{phase}").glob("*.parquet"))
        assert stood
        assert not (tmp_path / "ray/manifest.json").exists()
    with begin(job, tmp_path / "ray") as last:
        _, told = last.communicate()
    end_session(last.pid)
    assert last.returncode == 0, told
    begun = {json.loads(line)["phase"] for line in told.splitlines() if '"PhaseStarted"' in line}
    assert begun.isdisjoint(PHASES[:-1])
    run_here(make_plan(tmp_path / "here", pattern, steps, part_samples=100, range_samples=200))
    assert contents(tmp_path / "ray/ledger") == contents(tmp_path / "here/ledger")
    ours, theirs = (tmp_path / name / "manifest.json" for name in ("ray", "here"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert "near_caption" in ours.read_text()
