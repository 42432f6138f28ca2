"""A run of any size without data: the real plan, steps, fingerprints, indices and pickles, over made-up outcomes.

``python -m tests.simulate --rows 5.85e9 --samples-per-file 10000 --json`` says what a run of so many samples costs its
driver. All is measured that the driver does, but for the work of tasks, the storage's answers, and Ray: what the real
engine costs a task is measured in the same command, and added.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.runs.plan import Plan, build
from tamis.pipeline.runs.state import State
from tamis.pipeline.runs.walk import Run
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tables.file_columns import Ints
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks import dealing
from tamis.pipeline.tasks.parts import bundles
from tamis.pipeline.tasks.perform import Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.pipeline.tasks.task import Task
from tamis.schemas.job import Job
from tamis.schemas.parse import parse_job
from tamis.schemas.scope import Scope
from tests.benchmarks.engine import costs, way_of
from tests.support.made_up import (
    CANDIDATES,
    COPIES,
    MET,
    counts_of,
    files_read,
    held_bytes,
    notes_of,
    outputs_of,
    table_bytes,
)

ROOT = Path(__file__).resolve().parents[1]

PRESET = """
name: dbp-paper
input: [{path: x.tar}]
output: OUTPUT
part_samples: PART
steps:
  - signals: [words, min_side, aspect_ratio]
  - rules: {words: {min: 2}, min_side: {min: 64}, aspect_ratio: {max: 3.0}}
  - exact_duplicates: {on: image}
  - near_duplicates: {jaccard: 0.8, agree: phash}
  - embed: {encoder: demo}
  - rules: {name: similarity, clip_similarity: {min: 0.28}}
  - semantic_duplicates: {clusters: auto, epsilon: 0.07, which_to_keep: hard}
  - density: {clusters: 500, keep: 0.4, temperature: 0.1, neighbours: 20, which: hard}
  - write: {samples_per_shard: 10000}
"""
"""The steps of the preset ``dbp-paper``, with an encoder that needs no weights; embeddings are as wide as CLIP's."""

DROPPED = {
    "rules": (0.10, "below_minimum"),
    "exact_duplicates": (0.05, "same_image"),
    "near_duplicates": (0.10, "near_caption"),
    "similarity": (0.10, "below_minimum"),
    "semantic_duplicates": (0.05, "semantic_duplicate"),
    "density": (0.60, "over_quota"),
}
"""Step -> the share of what reaches it that it drops, and why."""

SHARES = {
    "unique": 0.0, "groups": 0.08, "doomed": 0.05, "similar": 0.1, "equal": 0.02,
    "shared": MET, "alike": 0.75, "near_duplicates/members": CANDIDATES,
}  # fmt: skip
"""Phase -> the rows that come of one that it reads; 1 of the others."""


@dataclass
class Cost:
    """What a simulated run costs. Bytes and seconds are measured, but for those called computed."""

    rows: int
    parts: int = 0
    bundles: int = 0
    tasks: int = 0
    requests: int = 0  # computed: PUTs, and GETs of what tasks read
    index_bytes: int = 0
    driver_peak_bytes: int = 0
    driver_own_seconds: float = 0.0
    ray_seconds: float = 0.0  # tasks of each way times what one was measured to cost the driver
    driver_seconds: float = 0.0  # both
    largest_task_bytes: int = 0
    largest_task: str = ""
    largest_task_memory: int = 0  # computed, from the rows that a task reads
    largest_memory_task: str = ""
    noop_seconds: float = 0.0
    noop_processor_seconds: float = 0.0
    tasks_by_way: dict[str, int] = field(default_factory=dict)
    ray_ms_a_task: dict[str, float] = field(default_factory=dict)
    phases: list[dict[str, Any]] = field(default_factory=list)


class Fabricated:
    """An executor whose tasks are not done: each is described, pickled and counted, and an outcome made up."""

    def __init__(self, cost: Cost, samples_per_file: int) -> None:
        self.cost, self._per_file = cost, samples_per_file
        self.run_of: Run | None = None
        self._kept_of: Ints | None = None
        self.aside = 0.0  # seconds of making outcomes up, which no driver spends

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """Outcomes in the order of the tasks."""
        started, aside = time.process_time(), self.aside
        largest, folder = 0, ""
        for work in works:
            folder = work.path.rpartition("/")[0]
            described = len(pickle.dumps(work, pickle.HIGHEST_PROTOCOL))
            before = time.process_time()
            largest = max(largest, described)
            step, name, _ = paths.address(work.path)
            made = self._file(step, name, phase, work)
            self._count(f"{step}/{name}", work.task, described, made)
            outcome = Outcome(work.name, 0.0, made)
            self.aside += time.process_time() - before
            yield outcome
        by_way = self.cost.tasks_by_way
        by_way[way_of(phase)] = by_way.get(way_of(phase), 0) + len(works)
        step, name, _ = paths.address(f"{folder}/none")
        spent = time.process_time() - started - (self.aside - aside)
        self.cost.phases.append(
            {
                "phase": f"{step}/{name}",
                "tasks": len(works),
                "largest_task_bytes": largest,
                "seconds": round(spent, 2),
                "rss": resident(),
            }
        )

    def stop(self) -> None:
        """Do nothing: nothing was started."""

    def _count(self, name: str, task: Task[Any], described: int, made: TableFile) -> None:
        cost = self.cost
        cost.tasks += 1
        cost.requests += 1 + 2 * self._slices(task)
        if described > cost.largest_task_bytes:
            cost.largest_task_bytes, cost.largest_task = described, f"{name} {task.name}"
        memory = COPIES * held_bytes(name, task, made)
        if memory > cost.largest_task_memory:
            cost.largest_task_memory, cost.largest_memory_task = memory, f"{name} {task.name}"

    def _slices(self, task: Task[Any]) -> int:
        """Row groups that a task reads, a file's in one piece where they are neighbours."""
        sources = [source for several in task.inputs.values() for source in several]
        count = sum(map(files_read, sources))
        if task.members is not None:
            of_parts = {id(by): by for several in task.members.inputs.values() for by in several}
            count += sum(len(by.names) for by in of_parts.values())
        return count

    def _file(self, step: str, name: str, phase: Phase[Any], work: Work) -> TableFile:
        """A made-up record."""
        run, task = self.run_of, work.task
        assert run is not None
        rows = self._rows(step, name, task)
        if name == "verdict":
            share, reason = DROPPED.get(step, (0.0, "bad_embedding"))
            share *= self._alive_share()
            rows = [int(count * share) for count in rows]
            counts = {reason: sum(rows)} if sum(rows) else {}
        else:
            counts = counts_of(name, rows)
        if (step, name) == ("ledger", "rows"):
            assert task.members is not None
            first, stop = task.members.first, task.members.first + len(task.members.rows)
            counts = {"kept": int(self._kept()[first:stop].sum())}
        if work.dealt is not None:
            fan, dealt, behind = dealing.fan_of(work.dealt), rows[: work.dealt], rows[work.dealt :]
            rows = [sum(dealt[at : at + fan]) for at in range(0, len(dealt), fan)] + behind
        digests = np.random.default_rng(task.number).integers(0, 2**63, len(rows))
        notes = {**notes_of(name, work), **outputs_of(step, name, task), "counts": counts}
        groups = tuple(f"{digest:016x}" for digest in digests.tolist())
        size = table_bytes(f"{step}/{name}", sum(rows))
        return TableFile(work.path, work.fingerprint, groups, tuple(rows), size, notes)

    def _rows(self, step: str, name: str, task: Task[Any]) -> list[int]:
        """Rows of each row group."""
        run, members = self.run_of, task.members
        assert run is not None
        match task.scope:
            case Scope.FILE:
                return self._file_rows(task.number)
            case Scope.RANGE:
                return [int(count) for count in run.parts.rows[slice(*task.args.parts)]]
            case Scope.SHARD:
                return [1]
            case Scope.PART:
                return [int(task.rows * self._alive_share())]
        if members is not None and members.buckets is None and not members.together:
            share = 0.0 if name == "columns" else self._alive_share()  # a row a part, of any size
            return [int(count * share) or 1 for count in members.rows]
        read = max((sum(s.rows for s in of) for of in task.inputs.values()), default=0)
        if members is not None:
            read = int(task.rows * self._alive_share())
        if name in ("sample", "drawn"):
            read = int(read * min(1.0, task.args.below / 2**64))
        read = {"sums": 500, "train": getattr(task.args, "clusters", 0)}.get(name, read)
        groups = self._groups(step, name, task)
        share = SHARES.get(f"{step}/{name}", SHARES.get(name, 1.0))
        behind: list[int] = []
        if (
            name == "bands"
        ):  # a record for each caption and bands that lie together; behind them the sketches
            share, behind = groups / task.args.parts, [4 * read // task.args.each]
        return [int(read * share) // groups] * groups + behind

    def _groups(self, step: str, name: str, task: Task[Any]) -> int:
        """Row groups of a task that deals out its rows; 1 of any other."""
        run, args = self.run_of, task.args
        assert run is not None
        if name.endswith("-dealt"):
            return int(args.fan)
        if name in ("shared", "alike"):
            return int(args.texts)
        if name == "bands":
            return int(-(-args.bands[0] // args.each) * args.parts)
        if task.members is not None:
            return task.members.buckets or 1
        if hasattr(args, "starts"):
            return len(args.starts)
        return int(getattr(args, "buckets", None) or getattr(args, "partitions", None) or 1)

    def _file_rows(self, number: int) -> list[int]:
        run = self.run_of
        assert run is not None
        left = min(self._per_file, self.cost.rows - number * self._per_file)
        size = run.job.part_samples
        return [min(size, left - start) for start in range(0, left, size)]

    def _alive_share(self) -> float:
        run = self.run_of
        assert run is not None
        return run.alive / max(1, run.total)

    def _kept(self) -> Ints:
        assert self.run_of is not None
        if self._kept_of is None:
            self._kept_of = self.run_of.living_by_part()
        return self._kept_of


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _job(root: str, part_samples: int) -> Job:
    text = PRESET.replace("OUTPUT", root).replace("PART", str(part_samples))
    return parse_job(text, "simulated")


def _plan(job: Job, root: str, files: int) -> Plan:
    example = str(next((ROOT / "jobs" / "examples" / "clipart").glob("*.tar")))
    inputs = tuple(
        InputFile("input", f"{number:06d}.tar", example, "tar", 1_000_000_000, "1")
        for number in range(files)
    )
    return Plan(job, root, inputs, build(job))


@contextmanager
def _made_up_storage(run: Run) -> Iterator[None]:
    """Listings show the files that outcomes speak of; indices, plan and manifest are written and read for real."""
    real = storage.listing

    def listing(path: str) -> Mapping[str, int]:
        inner = path.removeprefix(run.root).strip("/")
        found = dict(real(path))
        step, _, phase = inner.removeprefix(f"{paths.TABLES}/").partition("/")
        done = finished.get((step, phase))
        if done is not None:
            names = [f"{name}.parquet" for name in done.files.names.to_pylist()]
            found |= dict(zip(names, done.files.bytes.tolist(), strict=True))
        if inner in results:
            found |= results[inner]
        return found

    finished = run._done
    results = _result_sizes(run) if finished else {}
    storage.listing = listing  # type: ignore[assignment]
    try:
        yield
    finally:
        storage.listing = real


def _result_sizes(run: Run) -> dict[str, dict[str, int]]:
    sizes: dict[str, dict[str, int]] = {}
    for done in run._done.values():
        for notes in done.notes():
            for output in notes.get("outputs", ()):
                folder, _, name = output["path"].rpartition("/")
                sizes.setdefault(folder, {})[name] = output["bytes"]
    return sizes


def simulate(rows: int, samples_per_file: int, root: str, part_samples: int = 10_000) -> Cost:
    """Run the preset over ``rows`` samples, and then once more with nothing to do."""
    cost = Cost(rows)
    files = (rows + samples_per_file - 1) // samples_per_file
    job = _job(root, part_samples)
    plan = _plan(job, root, files)
    began = time.process_time()
    executor = Fabricated(cost, samples_per_file)
    state = State.open(plan)
    state.save_head()
    run = Run(plan, state, executor, ())
    executor.run_of = run
    with patch("tamis.pipeline.runs.state.check_unchanged"):  # there is no input to be listed again
        run.walk()
    cost.driver_own_seconds = time.process_time() - began - executor.aside
    cost.parts = len(run.parts)
    cost.bundles = bundles(cost.parts)
    cost.driver_peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    cost.index_bytes = sum(path.stat().st_size for path in Path(root).rglob("_index.parquet"))
    cost.noop_seconds, cost.noop_processor_seconds = _nothing_to_do(plan, run)
    return cost


def _nothing_to_do(plan: Plan, before: Run) -> tuple[float, float]:
    """Seconds of the same walk again, with every table where it was: by the clock, and of the processor."""

    class Nothing:
        def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
            raise AssertionError(f"{phase.name}: {len(works)} tasks, {works[0].path} first")

        def stop(self) -> None:
            """Nothing was started."""

    with _made_up_storage(before):
        began, processor = time.perf_counter(), time.process_time()
        Run(plan, State.open(plan), Nothing(), ()).walk()
        return time.perf_counter() - began, time.process_time() - processor


def add_ray(cost: Cost, tasks: int) -> None:
    """Measure the real engine over so many empty tasks of each way, and add what it costs the driver."""
    for measured in costs(list(cost.tasks_by_way), tasks):
        cost.ray_ms_a_task[measured.way] = round(measured.driver_ms, 3)
        cost.ray_seconds += cost.tasks_by_way[measured.way] * measured.driver_ms / 1e3
    cost.driver_seconds = cost.driver_own_seconds + cost.ray_seconds


def main(words: Sequence[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=float, required=True)
    parser.add_argument("--samples-per-file", type=int, default=10_000)
    parser.add_argument("--part-samples", type=int, default=10_000)
    parser.add_argument(
        "--ray-tasks", type=int, default=10_000, help="empty tasks of each way, on the real engine"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, without the phases")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="tamis-simulate-") as root:
        cost = simulate(int(asked.rows), asked.samples_per_file, root, asked.part_samples)
    add_ray(cost, asked.ray_tasks)
    shown = asdict(cost)
    phases = shown.pop("phases")
    if not asked.json:
        for phase in phases:
            sys.stdout.write(
                f"{phase['phase']:36} {phase['tasks']:>9,} tasks {phase['largest_task_bytes']:>9,} B "
                f"{phase['seconds']:>8.1f} s {phase['rss'] / 1e9:>6.2f} GB\n"
            )
    sys.stdout.write(json.dumps(shown, indent=None if asked.json else 1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
