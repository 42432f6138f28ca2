"""A sample that ends whoever opens it becomes a row of the ledger; nothing else is lost or changed by it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.runs import executors
from tamis.pipeline.runs import walk as run
from tamis.pipeline.runs.isolate import Span, find_culprits
from tamis.schemas.errors import WorkerError
from tamis.schemas.events import Event, Notice
from tamis.schemas.resources import Resources
from tests.support.fragile import Deadly, FragileHere, FragileWorkers, hashes
from tests.support.running import contents, ledger, make_plan, read_tar, run_here, write_tar

ROOT = Path(__file__).resolve().parents[2]
KILLED = "killed_its_worker"
INGEST, SIGNALS, EMBED = ("files", "values", "vectors")
BARE = """
  - signals: [words, entropy]
  - rules: {words: {min: 1}}
  - write: {samples_per_shard: 10}"""
EMBEDDING = """
  - embed: {encoder: demo, batch_size: 4}
  - write: {samples_per_shard: 10}"""


@given(st.integers(1, 300), st.sets(st.integers(0, 299)))
def test_halving_finds_every_culprit_in_few_probes(rows: int, deadly: set[int]) -> None:
    deadly = {row for row in deadly if row < rows}
    tried: list[Span] = []

    def kills(spans: Sequence[Span]) -> list[Span]:
        tried.extend(spans)
        return [span for span in spans if any(span[0] <= row < span[1] for row in deadly)]

    assert find_culprits(kills, rows) == sorted(deadly)
    assert len(tried) <= 2 * (1 + len(deadly) * rows.bit_length())


def test_rows_that_only_kill_together_are_not_blamed() -> None:
    assert find_culprits(lambda spans: [(a, b) for a, b in spans if b - a > 5], 20) == []


@pytest.fixture(scope="module")
def place(clipart_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tars of 12 samples, four parts; and a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("isolate")
    samples = read_tar(clipart_example / "00000.tar")[:24]
    for number in range(2):
        write_tar(folder / f"in/{number}.tar", samples[number::2])
    run_here(plan(folder, folder / "whole", BARE))
    return folder


def plan(folder: Path, output: Path, steps: str) -> Any:
    return make_plan(output, folder / "in/*.tar", steps, part_samples=8)


def disturbed(folder: Path, output: Path, deadly: Deadly, steps: str = BARE) -> list[str]:
    """A run in this process with a decoder that lacks memory for some pictures; what it told."""
    made = plan(folder, output, steps)
    told: list[Event] = []
    run.run(made, [told.append], executor=FragileHere(made.root, deadly))
    return [event.text for event in told if isinstance(event, Notice)]


def keys(folder: Path, *places: int) -> list[str]:
    rows = ledger(folder / "whole")
    return [rows[place]["key"] for place in places]


def assert_rows_are_lost(before: Path, after: Path, lost: Sequence[str], step: str) -> None:
    """``lost`` are rows of the ledger, and every other sample is what it was."""
    for old, new in zip(ledger(before), ledger(after), strict=True):
        if old["key"] in lost:
            assert (new["sid"], new["step"], new["reason"]) == (old["sid"], step, KILLED)
        else:
            for name in ("shard", "shard_key"):  # who stands before it in the shards has changed
                del old[name], new[name]
            assert old == new
    steps = json.loads((after / "manifest.json").read_text())["steps"]
    assert {s["step"]: s["dropped"] for s in steps if s["dropped"]} == {step: {KILLED: len(lost)}}


@pytest.mark.parametrize(("phase", "step"), [(INGEST, "ingest"), (SIGNALS, "signals")])
def test_the_culprits_are_rows_and_every_other_sample_is_as_it_was(
    phase: str, step: str, place: Path, tmp_path: Path
) -> None:
    chosen = keys(place, 1, 13, 14)
    told = disturbed(place, tmp_path, {phase: hashes(place / "whole", chosen)})
    assert_rows_are_lost(place / "whole", tmp_path, chosen, step)
    assert sum("done without" in text for text in told) == 2


@pytest.mark.slow
def test_embeddings_are_those_of_a_run_without_the_culprit(place: Path, tmp_path: Path) -> None:
    """Byte by byte, for a batch holds the same pictures."""
    (chosen,) = keys(place, 2)
    deadly = hashes(place / "whole", [chosen])
    disturbed(place, tmp_path / "died", {EMBED: deadly}, EMBEDDING)
    disturbed(place, tmp_path / "dropped", {INGEST: deadly}, EMBEDDING)
    for part in range(4):
        path = f"tables/embed/vectors/part-{part:05d}.parquet"
        died, dropped = (pq.read_table(tmp_path / name / path) for name in ("died", "dropped"))
        alive = [i for i, reason in enumerate(died["reason"].to_pylist()) if reason is None]
        assert died.take(alive).drop_columns(["reason"]).equals(dropped.drop_columns(["reason"]))
    (row,) = (row for row in ledger(tmp_path / "died") if not row["kept"])
    assert (row["key"], row["step"], row["reason"]) == (chosen, "embed", KILLED)
    assert contents(tmp_path / "died/shards") == contents(tmp_path / "dropped/shards")


def test_the_same_again_does_nothing_and_another_threshold_keeps_the_finding(
    place: Path, tmp_path: Path
) -> None:
    deadly = {SIGNALS: hashes(place / "whole", keys(place, 5))}
    disturbed(place, tmp_path / "run", deadly)
    stricter = BARE.replace("rules", "exact_duplicates\n  - rules").replace("min: 1", "min: 3")
    for steps in (BARE, stricter):
        made = make_plan(tmp_path / "run", place / "in/*.tar", steps, part_samples=8)
        executor = FragileHere(made.root, deadly)
        run.run(made, executor=executor)
        (row,) = (row for row in ledger(tmp_path / "run") if row["reason"] == KILLED)
        assert (row["key"], row["step"]) == (keys(place, 5)[0], "signals")
        if steps == BARE:
            assert executor.tasks == 0


def test_a_task_that_dies_without_opening_a_sample_is_an_error_that_names_it(
    place: Path, tmp_path: Path
) -> None:
    made = make_plan(tmp_path / "run", place / "in/*.tar", BARE, part_samples=8)

    class Starved(FragileHere):
        def run(self, phase: Any, works: Any) -> Any:
            from tamis.pipeline.tasks.perform import Outcome

            if phase.name != "verdict":
                return super().run(phase, works)
            return iter([Outcome(work.task.name, 0.0, died=True) for work in works])

    with pytest.raises(
        WorkerError, match=r"^tables/ingest/verdict/bundle-00000: its worker .* cannot be halved"
    ):
        run.run(made, executor=Starved(made.root, {}))


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "steps"), [(INGEST, BARE), (SIGNALS, BARE), (EMBED, EMBEDDING)])
def test_real_crashes_of_local_workers_end_in_the_same_bytes(
    phase: str, steps: str, place: Path, tmp_path: Path
) -> None:
    """``abort()`` in the decoder of worker processes; in this process, a lack of memory there."""
    deadly = {phase: hashes(place / "whole", keys(place, 3))}
    made = plan(place, tmp_path / "local", steps)
    engine = FragileWorkers(made.root, Resources(cpus=2), (), *executors.imported(made))
    engine.deadly = deadly
    told: list[Event] = []
    run.run(made, [told.append], executor=engine)
    assert sum(": 1 of " in event.text for event in told if isinstance(event, Notice)) == 1
    disturbed(place, tmp_path / "here", deadly, steps)
    for name in ("shards", "ledger", "manifest"):
        assert contents(tmp_path / "local" / name) == contents(tmp_path / "here" / name)
    manifest = (tmp_path / "local/manifest.json").read_bytes()
    assert manifest == (tmp_path / "here/manifest.json").read_bytes()
    assert KILLED.encode() in manifest


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("phase", "steps"), [(INGEST, BARE), (SIGNALS, BARE), (EMBED, EMBEDDING)])
def test_real_crashes_on_ray_end_in_the_same_bytes(
    phase: str, steps: str, place: Path, tmp_path: Path
) -> None:
    """``abort()`` in the decoder of Ray's workers; in this process, a lack of memory there."""
    deadly = {phase: hashes(place / "whole", keys(place, 3))}
    child = subprocess.run(
        [
            *(sys.executable, "-m", "tests.support.fragile", str(tmp_path / "ray")),
            *(f"{place}/in/*.tar", steps, json.dumps(deadly)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    told = json.loads(child.stdout.splitlines()[-1])
    assert sum(": 1 of " in text for text in told) == 1, told
    disturbed(place, tmp_path / "here", deadly, steps)
    for folder in ("shards", "ledger"):
        assert contents(tmp_path / "ray" / folder) == contents(tmp_path / "here" / folder)
    ours, theirs = (tmp_path / name / "manifest.json" for name in ("ray", "here"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert KILLED.encode() in theirs.read_bytes()
