"""Several nodes, some with a (pretended) GPU: work goes where its claim is met, and survives a node's end."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

ROOT = Path(__file__).resolve().parents[2]
STEPS = """
  - signals: [words, min_side]
  - rules: {words: {min: 2}}
  - exact_duplicates: {on: image}
  - embed: {encoder: demo, batch_size: 8}
  - write: {samples_per_shard: 10}
"""

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nodes")
    for number in range(2):
        samples = [
            Sample(f"{number}{i:03d}", picture(100 * number + i // 2), "two words", {})
            for i in range(20)
        ]
        write_tar(folder / "in" / f"{number}.tar", samples)
    return folder


@pytest.fixture(scope="module")
def found(place: Path) -> Any:
    """What tests/support/nodes.py tells of its three nodes."""
    job = place / "job.yaml"
    job.write_text(
        f"name: test\ninput: [{{path: '{place}/in/*.tar'}}]\noutput: {place}/run\n"
        f"resources: {{gpus: 1, decode_tasks: 2}}\nsteps:{STEPS}"
    )
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    child = subprocess.run(
        [sys.executable, "-m", "tests.support.nodes", str(place / "tasks"), str(job)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])


def test_what_claims_a_gpu_runs_where_one_is(found: Any) -> None:
    assert found["gpu"] == [found["gpu_node"]] * 4


def test_what_a_gpu_worker_has_done_ahead_runs_where_processors_are(found: Any) -> None:
    split = found["split"]
    assert set(split["node"]) == {found["gpu_node"]}
    assert len(set(split["elsewhere"])) == 2
    assert split["item"] == list(range(6))  # whichever ends first


def test_what_ends_with_it_or_is_wrong_is_said(found: Any) -> None:
    assert found["died"] is True
    assert found["failed"] == "this is wrong"


def test_what_claims_none_runs_on_every_node_with_processors(found: Any) -> None:
    assert len(set(found["cpu"])) == 2


def test_a_claim_that_no_node_meets_is_one_line_and_no_wait(found: Any) -> None:
    assert "claims 1 CPU, 2 GPU, and no node has that" in found["refused"]
    assert "\n" not in found["refused"]


def test_a_node_may_leave_and_another_come(found: Any) -> None:
    assert found["finished"] == 8


def test_a_node_that_is_not_there_yet_is_waited_for_where_the_cluster_grows(found: Any) -> None:
    finished, nodes, came = found["awaited"]
    assert finished == 2
    assert set(nodes) == {came}


def test_a_probe_asks_other_nodes_for_what_lies_on_a_disk(found: Any, place: Path) -> None:
    shared, unshared = found["asked"]
    assert shared == {}
    assert list(unshared) == [str(place / "tasks")]


def test_several_nodes_make_the_bytes_of_one_process(found: Any, place: Path) -> None:
    run_here(make_plan(place / "local", place / "in" / "*.tar", STEPS))
    assert found["tasks"] > 0
    for folder in ("shards", "ledger", "ledger_index"):
        assert contents(place / "run" / folder) == contents(place / "local" / folder)
