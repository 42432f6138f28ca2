"""`events.jsonl` tells when what was done; it grows with phases, not with tasks, and not where nothing is done."""

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from tamis.jobs.observers.journal import Journal, json_lines
from tamis.schemas.events import PhaseEnded, PhaseStarted, StepEnded, TaskDone
from tamis.schemas.scope import Scope
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

STEPS = """
  - exact_duplicates: {on: image}
  - write: {samples_per_shard: 3}
"""


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def done(task: str, seconds: float) -> TaskDone:
    return TaskDone("a", "b", task, Scope.PART, rows=10, written=9, bytes=100, seconds=seconds)


def test_a_phase_is_two_lines_whatever_its_tasks(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), {"root": "here"})
    journal(PhaseStarted("a", "b", tasks=3, found=1, rows=30))
    for number in range(3):
        journal(done(f"part-{number}", float(number)))
    journal(PhaseEnded("a", "b", 4.0))
    journal.close(ended="finished")
    started, begun, ended, closed = entries(tmp_path / "events.jsonl")
    assert (started["event"], started["root"]) == ("RunStarted", "here")
    assert (begun["event"], begun["tasks"], begun["found"]) == ("PhaseStarted", 3, 1)
    assert (ended["tasks"], ended["rows"], ended["written"], ended["bytes"]) == (3, 30, 27, 300)
    assert (ended["seconds"], ended["worker_seconds"], ended["longest_seconds"]) == (4.0, 3.0, 2.0)
    assert closed["ended"] == "finished"
    times = [datetime.fromisoformat(entry["time"]) for entry in (started, begun, ended, closed)]
    assert times == sorted(times)
    assert all(time.utcoffset() is not None for time in times)


def test_a_second_run_appends(tmp_path: Path) -> None:
    for _ in range(2):
        journal = Journal(str(tmp_path), {})
        journal(PhaseStarted("a", "b", 1, 0, 1))
        journal.close(ended="stopped")
    events = [entry["event"] for entry in entries(tmp_path / "events.jsonl")]
    assert events == ["RunStarted", "PhaseStarted", "RunEnded"] * 2


def test_nothing_to_do_leaves_no_trace(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), {})
    journal(StepEnded("a", 5, {"x": 1}, 0.0))
    journal.close(ended="finished")
    assert not (tmp_path / "events.jsonl").exists()


def test_a_run_tells_every_step_in_order(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [Sample(f"k{n}", picture(n), "words", {}) for n in range(5)])
    made = make_plan(tmp_path / "run", tmp_path / "a.tar", STEPS)
    stream = io.StringIO()
    run_here(made, [Journal(made.root, {}), json_lines(stream)])
    steps = [
        entry["step"]
        for entry in entries(tmp_path / "run" / "events.jsonl")
        if entry["event"] == "StepEnded"
    ]
    assert steps == ["ingest", "exact_duplicates"]
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {entry["event"] for entry in told} == {
        "PhaseStarted",
        "TaskDone",
        "PhaseEnded",
        "StepEnded",
    }
    assert sum(entry["event"] == "PhaseStarted" for entry in told) == sum(
        entry["event"] == "PhaseEnded" for entry in told
    )
