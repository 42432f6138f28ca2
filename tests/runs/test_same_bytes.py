"""Two fresh runs that differ in what may not matter end in the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.demo_run import DemoRun, run_demo
from tests.support.running import contents

pytestmark = pytest.mark.slow


def test_one_processor_without_ray_and_two_with_it_give_the_same_bytes(
    demo_run: DemoRun, tmp_path: Path
) -> None:
    """Ray with one processor is `tests/runs/test_run_command.py`."""
    one = run_demo(tmp_path / "run", "--local", "--cpus", "1")
    for folder in ("shards", "ledger", "ledger_index"):
        found = contents(demo_run.root / folder)
        assert found
        assert contents(one.root / folder) == found
    for name in ("subset.npy", "manifest.json"):
        assert (one.root / name).read_bytes() == (demo_run.root / name).read_bytes()
