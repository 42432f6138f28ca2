"""A prediction from a share of the parts, held against the whole run; and the formulas by which phases grow.

Bytes and rows are compared, never seconds: those are for tests/benchmarks/predict.py.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tamis.jobs.observers.journal import Journal
from tamis.pipeline.audit.reading.costs import costs
from tamis.pipeline.host import machine
from tamis.pipeline.planning import forecast, trial
from tamis.pipeline.planning.forecast import Machine, Measured, Scale
from tamis.pipeline.planning.predict import check_claims, notes, predict, reaching
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.steps.selectors.density.config import Density
from tamis.pipeline.tables import part_files
from tamis.pipeline.tasks.claims import of_job
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.cluster import parse_cluster
from tamis.schemas.costs import Cost, Prediction
from tamis.schemas.errors import ClusterError
from tamis.schemas.events import Spent, TaskDone
from tamis.schemas.job import Job
from tamis.schemas.parse import parse_job
from tamis.schemas.scope import Scope
from tests.support.embedded import EMBED, blobs, write_input
from tests.support.running import Sample, make_plan, run_here, write_tar

SPEC = "2x(4cpu,16GB)@3"
CLUSTER = parse_cluster(SPEC)
WITHIN = 0.25

PICTURES = """
  - signals: [words, bytes, blur]
  - rules: {words: {min: 2}}
  - exact_duplicates: {on: image}
  - near_duplicates: {jaccard: 0.8, agree: phash}
  - write: {samples_per_shard: 40}
"""

VECTORS = f"""
  {EMBED}
  - semantic_duplicates: {{clusters: 24, epsilon: 0.02}}
  - density: {{clusters: 16, keep: 400, neighbours: 3}}
  - write
"""


def noise(seed: int, side: int) -> bytes:
    """A PNG of three bytes a pixel."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def pictures(folder: Path) -> Plan:
    """Eight tars of 60; a quarter has too few words, pictures are of different sizes."""
    for number in range(8):
        samples = [
            Sample(
                f"{number}{i:03d}",
                noise(1000 * number + i, 40 + i % 7),
                "word" if i % 4 == 3 else f"a caption of sample {number} {i * 7919}",
                {"n": i},
            )
            for i in range(60)
        ]
        write_tar(folder / "in" / f"{number:05d}.tar", samples)
    return make_plan(folder / "run", folder / "in" / "*.tar", PICTURES, part_samples=10)


def vectors(folder: Path) -> Plan:
    """Two thousand embeddings in four files."""
    entry = write_input(folder / "in", blobs([100] * 20, [0.5] * 20), files=4)
    return make_plan(folder / "run", "", VECTORS, input=[entry], part_samples=50)


@pytest.fixture(scope="module", params=[pictures, vectors], ids=["pictures", "vectors"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Plan, trial.Trial, Prediction]:
    """A plan, a trial of a quarter of it, and what that predicts; the run itself is then done, with its journal.

    Every task reads footers anew, as where workers are many: one process that keeps them reads less than is foreseen.
    """
    make: Callable[[Path], Plan] = request.param
    plan = make(tmp_path_factory.mktemp("predict"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part_files, "MANY_GROUPS", 1 << 30)
        tried = trial.measure(plan, 0.25, None, Here)
        said = predict(plan.job, tried, CLUSTER, SPEC, 1e10, 1)
        run_here(plan, [Journal(plan.root, {})])
    return plan, tried, said


def test_the_whole_run_is_as_predicted(both: tuple[Plan, trial.Trial, Prediction]) -> None:
    plan, _, said = both
    found = costs(plan.root)
    assert set(said.steps) == {step.step for step in found.steps}
    for name in ("read_bytes", "written_bytes", "shuffled_bytes"):
        predicted, actual = getattr(said.total, name), getattr(found.actual, name)
        assert predicted == pytest.approx(actual, rel=WITHIN), name
    assert said.stored_bytes == said.total.written_bytes


def test_a_quarter_of_the_parts_was_run_and_all_rows_were_foreseen(
    both: tuple[Plan, trial.Trial, Prediction],
) -> None:
    plan, tried, said = both
    rows, parts = {8: (480, 48), 4: (2000, 40)}[len(plan.inputs)]
    assert tried.parts == pytest.approx(parts / 4, abs=2)
    assert tried.rows == tried.parts * plan.job.part_samples
    # Tars end in padding that no sample has.
    assert said.samples == pytest.approx(rows, rel=0.04)
    assert not Path(plan.root, "prediction.json").exists()


def test_which_parts_are_run_is_no_matter_of_chance_and_ingest_reads_every_byte(
    tmp_path: Path,
) -> None:
    plan = pictures(tmp_path)
    tried = trial.measure(plan, 0.25, None, Here)
    again = trial.measure(plan, 0.25, None, Here)
    assert (tried.rows, tried.parts, tried.sample.alive) == (
        again.rows,
        again.parts,
        again.sample.alive,
    )
    bounded = trial.measure(plan, 1.0, 3, Here)
    assert bounded.parts == 3
    whole, twice = (
        predict(plan.job, tried, CLUSTER, SPEC, 1e10, 1, rows=times * tried.input_rows)
        for times in (1, 2)
    )
    inputs = sum(file.size for file in plan.inputs)
    read = twice.steps["ingest"].read_bytes - whole.steps["ingest"].read_bytes
    # What is more than the input itself: its tables, read by three phases.
    assert inputs < read < whole.steps["ingest"].read_bytes * 1.05
    assert twice.samples == 2 * tried.input_rows


# The formulas.

PART_ROWS = 100.0

STEPS = "- embed: {encoder: demo}\n- semantic_duplicates: {clusters: %d}"


def job(clusters: int) -> Job:
    text = f"name: t\ninput: [{{path: x}}]\noutput: o\nsteps:\n{STEPS % clusters}"
    return parse_job(text, "t")


def measured(phase: str, scope: Scope, tasks: int, rows: int, cpu: float) -> Measured:
    spent = Spent(cpu, 1000, 500, 1 << 20)
    step = "semantic_duplicates"
    done = [
        TaskDone(step, phase, f"{scope}-{n}", scope, rows, rows, 1, cpu, spent)
        for n in range(tasks)
    ]
    return Measured(step, phase, 1.0, 0.0, done)


def grown(found: Measured, times: float, clusters: int = 10, more: int = 10) -> Cost:
    """A phase of 1,000 rows at ``times`` as many, with ``more`` clusters instead of ``clusters``."""
    machine = Machine(1, 1e9, 100, CLUSTER, (1e6, 1e6))
    small = Scale(1000.0, {found.step: 1000.0}, job(clusters), PART_ROWS)
    large = Scale(1000.0 * times, {found.step: 1000.0 * times}, job(more), PART_ROWS)
    return forecast.phase(found, small, large, machine).cost


@given(st.floats(1, 1e6), st.sampled_from(["members", "scores", "verdict"]))
def test_what_has_no_formula_grows_with_its_rows(times: float, phase: str) -> None:
    cost = grown(measured(phase, Scope.PART, 10, 100, 0.5), times)
    assert cost.cpu_seconds == pytest.approx(5.0 * times)
    assert cost.read_bytes == pytest.approx(10_000 * times)
    assert cost.written_bytes == pytest.approx(5_000 * times)
    assert (cost.shuffled_bytes, cost.memory_bytes) == (0.0, 1 << 20)


@given(st.floats(1, 1e4), st.integers(10, 10_000))
def test_assignment_grows_with_rows_and_clusters(times: float, clusters: int) -> None:
    cost = grown(measured("assign", Scope.PART, 10, 100, 0.5), times, more=clusters)
    flop = 2.0 * 1000 * times * 100 * (clusters - 10)
    assert cost.cpu_seconds == pytest.approx(5.0 * times + flop / 1e9)


@given(st.floats(1, 1e4))
def test_pairs_grow_with_the_square_and_fall_with_the_clusters(times: float) -> None:
    found = measured("pairs", Scope.BUCKET, 10, 100, 0.5)
    same = grown(found, times).cpu_seconds
    flop = (1000 * times) ** 2 / 10 * 100
    linear = 1000**2 / 10 * 100 * times
    assert same == pytest.approx(5.0 * times + (flop - linear) / 1e9)
    assert grown(found, times, more=20).cpu_seconds <= same


def test_loading_is_paid_once_a_worker_and_not_once_a_row() -> None:
    found = measured("members", Scope.PART, 10, 100, 0.5)
    spent = found.sample[0].spent
    loading = replace(spent, cpu_seconds=20.5, cold=True, read_bytes=spent.read_bytes + 1_000_000)
    found.sample[0] = replace(found.sample[0], spent=loading)
    machine_slots = 8
    whole = grown(found, 100)
    assert whole.cpu_seconds == pytest.approx(500 + 20.0 * machine_slots)
    assert whole.read_bytes == pytest.approx(1000 * spent.read_bytes + 1_000_000 * machine_slots)


def test_a_task_that_gathers_more_holds_more() -> None:
    found = measured(
        "doomed", Scope.BUCKET, 8, 125, 0.5
    )  # eight buckets at the least, few or many rows
    assert grown(found, 1).memory_bytes == 1 << 20
    assert grown(found, 11).memory_bytes == (1 << 20) + 4 * 10_000
    assert grown(found, 11).shuffled_bytes == 88_000


def test_tables_without_a_row_grow_in_number_and_not_in_size() -> None:
    found = measured("doomed", Scope.BUCKET, 8, 125, 0.5)
    each = found.sample[0].spent
    found.sample[0] = replace(found.sample[0], written=0)
    assert grown(found, 11).written_bytes == (7 * 11 + 1) * each.written_bytes
    assert grown(found, 11).read_bytes == 88 * each.read_bytes
    found.sample[:] = [replace(task, rows=0, written=0) for task in found.sample]
    assert grown(found, 11).written_bytes == 8 * each.written_bytes
    assert grown(found, 11).read_bytes == 8 * each.read_bytes


def test_duplicates_are_more_in_the_whole_and_counts_are_kept() -> None:
    tried = _tried()
    step = "semantic_duplicates"
    alive = {"ingest": 1000.0, "embed": 1000.0, step: 900.0, "ledger": 1000.0}

    def left(dropped: int, doubled: int) -> float:
        verdicts = {
            "embed": trial.Verdict(1000, 100, 0),
            step: trial.Verdict(900, dropped, doubled),
        }
        scale = replace(tried.sample, alive={**alive, "write": 900.0 - dropped})
        made = replace(tried, sample=scale, verdicts=verdicts)
        found = reaching(made.sample.job, made, 100_000)
        assert (found["embed"], found[step], found["ledger"]) == (100_000, 90_000, 100_000)
        return found["write"]

    assert left(0, 0) == 90_000
    assert left(300, 0) == 60_000  # not for the sake of others: the share stays
    assert left(300, 300) == pytest.approx(600 * 100**0.5)
    assert left(300, 30) == pytest.approx(600 * 100**0.725)
    assert left(800, 100) == pytest.approx(100)  # nothing new is to come


def test_money_is_that_of_the_wall_time_of_the_work_and_of_what_is_stored(tmp_path: Path) -> None:
    tried = _tried()
    said: dict[str, Any] = {
        rate: predict(tried.sample.job, tried, CLUSTER, SPEC, 1e9, 1, None, {rate: 2.0})
        for rate in ("cpu", "storage")
    }
    low, high = said["cpu"].wall
    nodes = said["cpu"].money["nodes, for the wall time"]
    assert nodes == pytest.approx((low / 3600 * 6, high / 3600 * 6))
    (work, _) = said["cpu"].money["work, by the hour of a processor or GPU"]
    assert work == pytest.approx(said["cpu"].total.cpu_seconds / 3600 * 2)
    (stored, _) = said["storage"].money["storage of the run, a month"]
    assert stored == pytest.approx(said["storage"].stored_bytes / 1e9 * 2)


def _tried() -> trial.Trial:
    found = measured("members", Scope.PART, 10, 100, 0.5)
    scale = Scale(1000.0, {found.step: 1000.0}, job(10), PART_ROWS)
    return trial.Trial((found,), scale, {}, 1000, 10, 5000.0, 10**6, 16, (1.0, 1.0), 2.0, 3.0)


def test_what_more_there_is_to_multiply_is_done_at_the_rate_of_what_does_it() -> None:
    """Four times the clusters: three times the products more, on a GPU of 1e12 a second instead of 1e9."""
    machine = Machine(1, 1e9, 100, parse_cluster("2x(4cpu,1gpu)"), (1e6, 1e6), 1e12)
    small, large = (
        Scale(1000.0, {"semantic_duplicates": 1000.0}, job(n), PART_ROWS) for n in (10, 40)
    )
    found = measured("assign", Scope.PART, 10, 100, 0.5)
    extra = 2.0 * 1000 * 30 * 100
    for gpus, rate in ((0.0, 1e9), (1.0, 1e12)):
        cost = forecast.phase(replace(found, gpus=gpus), small, large, machine).cost
        assert cost.cpu_seconds == pytest.approx(5.0 + extra / rate, rel=1e-6)


def test_the_rate_of_a_device_is_measured() -> None:
    assert trial.gpu_flops(8, "cpu") > 1e6


def test_a_job_for_gpus_is_measured_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it claims of the cluster in question is judged as the job says it."""
    asked = parse_job(
        "name: a\ninput: [{path: /x.tar}]\noutput: /o\nresources: {gpus: 0.5, steps: {embed: {cpus: 2, gpus: 1}}}\n"
        "steps: [embed: {encoder: demo, device: cuda, precision: fp16}, density: {keep: 0.5, device: cuda}]",
        "job",
    )
    monkeypatch.setattr(machine, "gpus", list)
    here = trial.scaled(asked, 0.1, "/tmp/o")
    (embed,) = here.embeds
    assert (embed.device, embed.precision) == ("cpu", "fp32")
    assert {claim.gpus for claim in of_job(here)} == {0}
    assert here.steps[-1].device == "cpu"
    assert [claim.cpus for claim in of_job(here) if claim.step == "embed"] == [2]
    check_claims(asked, parse_cluster("2x(16cpu) + 1x(2cpu,1gpu)"), "c")
    for lacking, mend in (("8x(16cpu)", "set device: cpu, change"), ("8x(1cpu,4gpu)", "change")):
        match = f"embed: a task claims 2 CPU, 1 GPU, and no node has that: {mend}"
        with pytest.raises(ClusterError, match=match):
            check_claims(asked, parse_cluster(lacking), lacking)


@pytest.mark.parametrize(
    ("device", "nodes", "gpus_here", "said"),
    [
        ("cpu", "2x(4cpu)", [], []),
        ("cpu", "2x(4cpu) + 1x(4cpu,1gpu)", [], ["the nodes' GPUs are paid for and idle"]),
        ("cuda", "2x(4cpu,1gpu)", ["0"], []),
        ("cuda", "2x(4cpu,1gpu)", [], ["this machine has no GPU"]),
    ],
)
def test_what_is_told_of_gpus_before_they_are_paid_for(
    device: str, nodes: str, gpus_here: list[str], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: gpus_here)
    asked = parse_job(
        "name: a\ninput: [{path: /x.tar}]\noutput: /o\n"
        f"steps: [embed: {{encoder: demo, device: {device}}}]",
        "job",
    )
    told = list(notes(asked, {}, parse_cluster(nodes)))
    assert len(told) == len(said)
    assert all(one.startswith(start) for one, start in zip(told, said, strict=True))


@pytest.mark.parametrize("clusters", [2, 3, 21, 500, "auto"])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.001])
def test_a_job_that_is_scaled_is_a_job(clusters: int | str, share: float) -> None:
    """Neighbours fit the concepts that a sample has."""
    neighbours = 20 if clusters == "auto" else min(20, int(clusters) - 1)
    density = Density(clusters=clusters, keep=0.5, neighbours=neighbours).scaled(share)
    assert density.neighbours >= 1
    if density.clusters != "auto":
        assert density.neighbours < density.clusters
    if share == 1.0:
        assert (density.clusters, density.neighbours) == (clusters, neighbours)


@given(st.floats(1, 1e6))
def test_bundles_are_of_parts_as_long_as_the_sample_had(times: float) -> None:
    """Not of ``part_samples`` rows: input files may be shorter."""
    found = measured("members", Scope.BUNDLE, 1, 1000, 0.5)
    machine = Machine(1, 1e9, 100, CLUSTER, (1e6, 1e6))
    small, large = (
        Scale(rows, {found.step: rows}, job(10), PART_ROWS) for rows in (1000.0, 1000.0 * times)
    )
    made = forecast.phase(found, small, large, machine)
    assert made.tasks == math.ceil(math.ceil(1000 * times / PART_ROWS) / 128)


@given(st.integers(9, 100_000))
def test_footers_are_read_and_not_held(buckets: int) -> None:
    """A task of one bucket reads the ends of many files; that adds bytes, and no memory."""
    assert forecast._longer_footers(buckets, 8, 1000) > 0
    found = measured("doomed", Scope.BUCKET, 8, 125, 0.5)
    machine = Machine(1, 1e9, 100, CLUSTER, (1e6, 1e6))
    small, large = (
        Scale(rows, {found.step: rows}, job(n), 1.0) for rows, n in ((1000.0, 10), (1e9, 100_000))
    )
    made = forecast.phase(found, small, large, machine)
    data = 1e6 * 8 * 1000 / made.tasks
    assert made.cost.memory_bytes <= (1 << 20) + forecast.HELD * data
