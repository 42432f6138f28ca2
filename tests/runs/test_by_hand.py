"""Phases of one task, or with little to do, are done by one process that is there, and are no less safe so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_one_process_does_what_is_little_and_is_replaced_when_it_dies(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "tests.support.hand", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "3"},
    )
    assert child.returncode == 0, child.stderr
    said = json.loads(child.stdout.splitlines()[-1])
    found = said["did"]
    who = {phase: {row["process"] for row in rows} for phase, rows in found.items()}
    assert len(who["one"]) == 1
    assert len(who["two"]) == 1
    assert len(who["several"]) == 2  # as many as fit
    assert len(who["after"]) == 1
    # Two that Ray has begun at once, and another for the one that died.
    assert len(set.union(*who.values())) <= 3
    assert {row["threads"] for rows in found.values() for row in rows} == {"1"}
    assert said["threads"] == "3"  # of the driver itself
    assert said["refused"].startswith(
        "later: a worker claims 1 CPU, 1000 GPU, and no node has that"
    )
    assert not (tmp_path / "tables" / "no").exists()
