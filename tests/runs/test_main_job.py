"""The main job through the command line, on Ray: the account balances, nothing is done twice, memory is bounded."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.demo_run import DemoRun, raw_input, rows_of, tamis
from tests.support.running import contents

pytestmark = pytest.mark.slow

STEPS = [
    "ingest",
    "rules",
    "exact_duplicates",
    "near_duplicates",
    "embed",
    "similarity",
    "semantic_duplicates",
    "density",
]
"""Those that decide, in order."""


def test_rows_in_are_kept_and_dropped_after_every_step(demo_run: DemoRun) -> None:
    manifest = demo_run.manifest
    assert [step["step"] for step in manifest["steps"]] == STEPS
    ledger = demo_run.ledger()
    assert len(ledger) == len({row["uid"] for row in ledger}) == len(raw_input())
    entered = len(raw_input())
    for step in manifest["steps"]:
        dropped = Counter(row["reason"] for row in ledger if row["step"] == step["step"])
        assert step["dropped"] == dropped
        assert step["entered"] == entered == step["kept"] + dropped.total()
        entered = step["kept"]
    assert entered == manifest["kept"] == sum(row["kept"] for row in ledger)
    assert manifest["rows_in"] == len(ledger)
    assert all(row["kept"] == (row["step"] is None) == (row["reason"] is None) for row in ledger)


def test_the_command_says_what_the_manifest_says(demo_run: DemoRun) -> None:
    told, manifest = demo_run.told, demo_run.manifest
    assert told["computed"] > 0
    assert (told["rows_in"], told["kept"]) == (manifest["rows_in"], manifest["kept"])
    assert told["rows_in"] == told["kept"] + told["dropped"]


def test_quotas_sum_to_the_budget_exactly(demo_run: DemoRun) -> None:
    reaching = demo_run.manifest["steps"][-1]["entered"]
    quotas = f"SELECT DISTINCT cluster, quota FROM '{demo_run.root}/ledger/*.parquet'"
    asked = f"SELECT sum(quota) AS total FROM ({quotas} WHERE quota IS NOT NULL)"
    ((total,),) = (row.values() for row in rows_of(asked))
    assert total == reaching * 4 // 10 == demo_run.manifest["kept"]


def test_the_same_again_does_nothing(demo_run: DemoRun) -> None:
    before = contents(demo_run.root)
    told, with_ray = tamis("run", "demo", "--output", str(demo_run.root), "--cpus", "2")
    assert told == {**demo_run.told, "computed": 0}
    assert not with_ray
    after = contents(demo_run.root)
    assert after == before  # the journal too: no phase began


def test_another_budget_runs_density_and_what_follows_it(demo_run: DemoRun, tmp_path: Path) -> None:
    root = tmp_path / "run"
    shutil.copytree(demo_run.root, root)
    begun = len(events(root))
    told, _ = tamis("run", "demo", "--output", str(root), "--set", "density.keep=0.3")
    phases = [
        (event["step"], event["phase"])
        for event in events(root)[begun:]
        if event["event"] == "PhaseStarted"
    ]
    assert {step for step, _ in phases} == {"density", "write", "ledger"}
    deciding = [phase for step, phase in phases if step == "density"]
    assert deciding == ["quotas", "verdict"]
    reaching = demo_run.manifest["steps"][-1]["entered"]
    assert told["kept"] == reaching * 3 // 10
    fewer, more = (
        {row["uid"] for row in run.ledger("kept")} for run in (DemoRun(root, told, {}), demo_run)
    )
    assert len(fewer - more) <= 1  # a rounded quota may grow by one while the budget shrinks


def events(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]


def test_no_process_holds_2_gb_of_its_own(demo_run: DemoRun) -> None:
    workers = [name for name in demo_run.memory if "ray::" in name]
    assert workers  # they were seen
    assert max(demo_run.memory.values()) < 2_000_000_000, demo_run.memory
