"""Both ways that tasks go to Ray's processes: few are at work at once, none is lost, and none is done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import DEADLY, MANY, WAYS

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What tests/support/engine.py tells."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.support.engine", str(tmp_path_factory.mktemp("engine"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "3"},
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])


def test_processes_are_kept_from_phase_to_phase_and_replaced_when_they_die(said: Any) -> None:
    found = said["did"]
    who = {phase: {row["process"] for row in rows} for phase, rows in found.items()}
    assert len(who["several"]) == 2  # as many as fit
    # Two that Ray has begun at once, and another for the one that died.
    assert len(set.union(*(who[phase] for phase in who if phase != "much"))) <= 3


def test_a_process_works_on_one_thread_and_the_driver_as_it_did(said: Any) -> None:
    assert {row["threads"] for rows in said["did"].values() for row in rows} == {"1"}
    assert said["threads"] == "3"


def test_what_a_later_task_claims_in_vain_is_said_before_the_first(said: Any) -> None:
    assert said["refused"].startswith(
        "later: a worker claims 1 CPU, 1000 GPU, and no node has that"
    )
    assert not said["did"].get("no")


@pytest.mark.parametrize("way", ["calls", "pool"])
def test_rows_of_tasks_at_work_are_known_before_they_end(way: str, said: Any) -> None:
    assert said["at_work"][way] == [True, True]


@pytest.mark.parametrize("way", WAYS)
def test_no_more_tasks_are_looked_at_than_the_window_holds_and_each_once(
    way: str, said: Any
) -> None:
    assert said["many"][way]["looked"] == [1]
    assert said["many"][way]["ahead"] <= said["window"][way] < MANY


@pytest.mark.parametrize("way", WAYS)
def test_of_a_chunk_whose_process_dies_what_was_done_stays_and_the_rest_is_done(
    way: str, said: Any
) -> None:
    assert said["many"][way]["died"] == [f"part-{DEADLY:05d}"]
    assert said["files"][way] == MANY - 1
    assert said["begun"][way] == [int(number != DEADLY) for number in range(MANY)]
