"""What a run's journal says that it took, held against the events that it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tamis.jobs.observers.journal import Journal
from tamis.pipeline.audit.reading.costs import costs
from tamis.schemas.costs import PREDICTION, Cost, Prediction
from tamis.schemas.errors import StateError
from tamis.schemas.events import Event, PhaseEnded, PhaseStarted, Spent, TaskDone
from tamis.schemas.scope import Scope
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

STEPS = "  - signals: [words]\n  - exact_duplicates: {on: image}\n  - write: {samples_per_shard: 7}"


def test_the_costs_of_a_run_are_the_sums_of_its_tasks(tmp_path: Path) -> None:
    samples = [Sample(f"{i:03d}", picture(i), f"number {i}", {}) for i in range(20)]
    tar = write_tar(tmp_path / "in" / "0.tar", samples)
    told: list[Event] = []
    root = tmp_path / "run"
    run_here(make_plan(root, tar, STEPS, part_samples=6), [Journal(str(root), {}), told.append])
    tasks = [event for event in told if isinstance(event, TaskDone)]
    found = costs(str(root))
    assert [step.step for step in found.steps] == list(dict.fromkeys(task.step for task in tasks))
    for step in found.steps:
        mine = [task for task in tasks if task.step == step.step]
        assert step.predicted is None
        assert step.actual is not None
        assert step.actual.cpu_seconds == pytest.approx(sum(t.spent.cpu_seconds for t in mine))
        assert step.actual.read_bytes == sum(t.spent.read_bytes for t in mine)
        assert step.actual.written_bytes == sum(t.spent.written_bytes for t in mine)
        assert step.actual.memory_bytes == max(t.spent.memory_bytes for t in mine)
        gathered = [t for t in mine if t.task.startswith(("bucket-", "range-", "uids", "columns"))]
        assert step.actual.shuffled_bytes == sum(t.spent.read_bytes for t in gathered)
    assert found.actual.read_bytes == sum(task.spent.read_bytes for task in tasks)


def journal(root: Path, found: int, cpu_seconds: float, gpus: float = 0.0) -> None:
    """One more walk over the one phase of a run."""
    told = Journal(str(root), {})
    spent = Spent(cpu_seconds, 100, 10, 5)
    told(PhaseStarted("embed", "vectors", tasks=1, found=found, rows=1, gpus=gpus))
    told(TaskDone("embed", "vectors", "part-00000", Scope.PART, 1, 1, 10, 8.0, spent))
    told(PhaseEnded("embed", "vectors", 9.0))


def test_what_was_begun_again_counts_once_and_what_was_resumed_is_added(tmp_path: Path) -> None:
    journal(tmp_path, 0, 1.0, gpus=0.5)
    journal(tmp_path, 3, 2.0, gpus=0.5)
    (step,) = costs(str(tmp_path)).steps
    assert step.actual == Cost(3.0, 8.0, 200, 20, 0, 5)
    journal(tmp_path, 0, 4.0)
    (step,) = costs(str(tmp_path)).steps
    assert step.actual == Cost(4.0, 0.0, 100, 10, 0, 5)
    assert costs(str(tmp_path)).wall_seconds == 9.0


def test_predicted_stands_beside_actual(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = Prediction(
        samples=10.0,
        sampled=1,
        cluster="1x(2cpu)",
        steps={"embed": Cost(3.0, read_bytes=90.0), "write": Cost(1.0, memory_bytes=7.0)},
        wall_seconds={"embed": (1.0, 2.0), "write": (3.0, 4.0)},
        start_seconds=5.0,
        stored_bytes=11.0,
    )
    assert Prediction.from_json(json.loads(json.dumps(said.to_json()))) == said
    (tmp_path / PREDICTION).write_text(json.dumps(said.to_json()))
    journal(tmp_path, 0, 2.5)
    found = costs(str(tmp_path))
    assert [(s.step, s.predicted) for s in found.steps] == list(said.steps.items())
    assert found.predicted == Cost(4.0, read_bytes=90.0, memory_bytes=7.0)
    assert found.predicted_wall == (9.0, 11.0)
    main_ended(["audit", str(tmp_path), "--costs"])
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "embed predicted 3.0 s 0.0 s 90 B 0 B 0 B 0 B" in shown
    assert "actual 2.5 s 0.0 s 100 B 0 B 10 B 5 B" in shown
    (tmp_path / PREDICTION).write_text("{}")
    with pytest.raises(StateError, match="plan JOB --cluster"):
        costs(str(tmp_path))


def main_ended(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
