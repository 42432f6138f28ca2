"""Steps that cluster with `device: cuda`: torch's code, run on processors where there is no GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
import torch

from tamis.pipeline.algorithms.clusters import gpu
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.host import devices
from tamis.pipeline.steps.concepts import clustering
from tamis.pipeline.steps.selectors.density.config import Density
from tamis.pipeline.tasks.perform import Work, perform
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import ModelError
from tamis.schemas.events import Event, PhaseStarted
from tamis.schemas.parse import parse_job
from tamis.schemas.scope import Scope
from tests.support.embedded import EMBED, blobs, by_uid, run_steps, write_input
from tests.support.running import make_plan, materialize, run_here
from tests.support.tables import table

STEPS = """
- semantic_duplicates: {clusters: 4, epsilon: 0.05, device: cuda}
- density: {clusters: 6, neighbours: 3, keep: 0.4, full_iterations: 2, device: cuda}
- prototypes: {clusters: 3, keep: 0.9, device: cuda}
"""
NO_GPU = "device: cuda, but torch sees no GPU here: set device: cpu"

without_a_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def _by_torch(io: TaskIo[clustering.AnyDevice]) -> str | None:
    """Where there is no GPU, the same code on the processors."""
    asked = io.args.device
    return asked and ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `gpu`, a run by torch, and `cpu`, the same job without."""
    folder = tmp_path_factory.mktemp("on_gpu")
    entry = write_input(folder / "in", blobs((60, 50, 40, 30, 30, 20, 20), (0.6,) * 7, dim=8), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering, "device", _by_torch)
        run_steps(folder / "gpu", [entry], STEPS, part_samples=70)
    run_steps(folder / "cpu", [entry], STEPS.replace(", device: cuda", ""), part_samples=70)
    return folder


def test_a_whole_run_decides_as_on_processors(finished: Path) -> None:
    def close(value: Any) -> Any:
        return pytest.approx(value, abs=1e-6) if isinstance(value, float) else value

    theirs = by_uid(finished / "cpu")
    for uid, row in by_uid(finished / "gpu").items():
        assert row == {name: close(value) for name, value in theirs[uid].items()}


@pytest.mark.parametrize("step", ["semantic_duplicates", "density", "prototypes"])
def test_labels_and_cosines_have_the_same_bits(finished: Path, step: str) -> None:
    found, expected = (table(finished / name, step, "assign") for name in ("gpu", "cpu"))
    assert found.equals(expected)


def test_the_device_is_part_of_what_a_result_is_known_by(finished: Path, tmp_path: Path) -> None:
    assert clustering.on_device(Density(keep=1, device="cuda")) == "cuda"
    assert clustering.on_device(Density(keep=1)) is None
    entry = {
        "path": f"{finished}/in/*.parquet",
        "image_embeddings": f"{finished}/in/img_emb_*.npy",
    }
    said = STEPS.replace("device: cuda", "device: cpu")
    assert run_steps(finished / "cpu", [entry], said, part_samples=70).tasks_run == 0


def test_another_device_makes_again_what_is_made_there_alone(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what reads it, where that comes out otherwise; of these bytes nothing does."""
    entry = {
        "path": f"{finished}/in/*.parquet",
        "image_embeddings": f"{finished}/in/img_emb_*.npy",
    }
    steps = "\n".join(STEPS.strip().splitlines()[1:])
    run_steps(tmp_path, [entry], steps.replace("cuda", "cpu"), part_samples=70)
    monkeypatch.setattr(clustering, "device", _by_torch)
    ran: set[tuple[str, str]] = set()

    def observe(event: Event) -> None:
        if isinstance(event, PhaseStarted):
            ran.add((event.step, event.phase))

    made = make_plan(tmp_path, "", f"{EMBED}\n{steps}", input=[entry], part_samples=70)
    run_here(made, [observe])
    made_there = {("prototypes", phase) for phase in ("train", "assign")}
    made_there |= {("density", phase) for phase in ("start", "sums-001", "assign")}
    assert ran >= made_there
    # What is one small task an iteration carries the mean cosines before it, the last bits of which may be others.
    assert {step for step, phase in ran - made_there} <= {"density"}
    assert {phase[:6] for step, phase in ran - made_there} <= {"sums-0", "update", "train"}


@without_a_gpu
def test_without_a_gpu_one_line_says_so(tmp_path: Path) -> None:
    entry = write_input(tmp_path / "in", blobs((40,), (0.5,), dim=4))
    with pytest.raises(ModelError, match=f"^{NO_GPU}$"):
        run_steps(
            tmp_path / "run",
            [entry],
            "- density: {clusters: 2, neighbours: 1, keep: 0.5, device: cuda}",
        )


@without_a_gpu
def test_a_plan_is_made_without_a_gpu(tmp_path: Path) -> None:
    """It may be for a cluster that has some."""
    entry = write_input(tmp_path / "in", blobs((40,), (0.5,), dim=4))
    make_plan(tmp_path / "run", "", f"{EMBED}\n{STEPS}", input=[entry])


def test_torch_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ModelError, match="needs the package torch, which is missing here"):
        devices.require_cuda()


@pytest.mark.parametrize("claimed", [0.25, 1.0])
def test_a_worker_is_told_what_share_of_a_gpu_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claimed: float
) -> None:
    """Others may have the rest, and see the same bytes free."""
    told: list[tuple[str | None, float]] = []

    def noted(name: str | None, share: float) -> None:
        told.append((name, share))
        raise ModelError("noted")

    monkeypatch.setattr(devices, "prepare", noted)
    entry = write_input(tmp_path / "in", blobs((40,), (0.5,), dim=4))
    made = make_plan(
        tmp_path / "run",
        "",
        f"{EMBED}\n- density: {{clusters: 2, neighbours: 1, keep: 0.5, device: cuda}}",
        input=[entry],
        resources={"gpus": claimed} if claimed < 1 else {},
    )
    with pytest.raises(ModelError, match="noted"):
        run_here(made)
    assert told == [("cuda", claimed)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_worker_takes_no_more_of_a_gpu_than_its_share() -> None:
    devices.prepare("cuda", 0.5)
    assert gpu._default_room("cuda") <= torch.cuda.mem_get_info()[1] // 4
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(int(0.6 * torch.cuda.mem_get_info()[1]), dtype=torch.uint8, device="cuda")


@dataclass(frozen=True)
class Failure:
    """Arguments of ``full``."""

    kind: bool  # whether torch knows it as a lack of memory
    said: str


def full(io: TaskIo[Failure]) -> Any:
    """As torch says it; the last is cuBLAS."""
    raise (torch.OutOfMemoryError if io.args.kind else RuntimeError)(io.args.said)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            True,
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 3 GiB",
        ),
        (False, "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        (False, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_gpu_that_is_full_is_one_line_with_what_to_do(
    tmp_path: Path, kind: bool, said: str
) -> None:
    task = Task(Scope.PART, 0, {}, Failure(kind, said))
    work = Work(task, "tables/density/assign/part-00000.parquet", "f")
    error = perform(full, str(tmp_path), work).error
    assert isinstance(error, ModelError)
    assert str(error).startswith(f"{work.path}: a GPU's memory is full (CUDA ")
    assert "a larger resources.gpus" in str(error)
    assert "\n" not in str(error)
    assert "capacity" not in str(error)
    other = Work(replace(task, args=Failure(False, "the page is full")), work.path, "f")
    with pytest.raises(RuntimeError, match="the page is full"):
        perform(full, str(tmp_path), other)


def test_products_of_short_numbers_are_noticed() -> None:
    devices.prepare("cpu")
    half = torch.full((256, 256), 1.0 + 2.0**-12).bfloat16().float()
    assert not devices.is_float32(half @ half)


# What a finished run is asked without a GPU


@without_a_gpu
@pytest.mark.parametrize(
    "setting", ["semantic_duplicates.epsilon=0.2", "density.keep=0.2", "prototypes.keep=0.5"]
)
def test_whatif_takes_what_is_stored(finished: Path, setting: str) -> None:
    """What is kept of another keep or epsilon follows from stored cosines; no sample is new to a cluster."""
    change = whatif(open_run(str(finished / "gpu")), [setting])
    theirs = whatif(open_run(str(finished / "cpu")), [setting])
    assert (change.kept_after, change.came, change.went) == (
        theirs.kept_after,
        theirs.came,
        theirs.went,
    )


@without_a_gpu
def test_whatif_refuses_what_a_gpu_would_have_to_compute(finished: Path) -> None:
    other = "semantic_duplicates.which_to_keep=easy"
    run = open_run(str(finished / "gpu"))
    with pytest.raises(ModelError, match=f"^{NO_GPU}$"):
        whatif(run, [other])
    change = whatif(run, [other, "semantic_duplicates.device=cpu"])
    theirs = whatif(open_run(str(finished / "cpu")), [other])
    assert change.kept_after == theirs.kept_after


@without_a_gpu
def test_materialize_takes_what_is_stored(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "less"
    run = open_run(str(finished / "gpu"))
    materialize(run, ["density.keep=0.2"], out)
    kept = sum(row["kept"] for row in by_uid(out).values())
    assert kept == whatif(run, ["density.keep=0.2"]).kept_after


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_whole_run_on_a_gpu(finished: Path) -> None:
    entry = {
        "path": f"{finished}/in/*.parquet",
        "image_embeddings": f"{finished}/in/img_emb_*.npy",
    }
    made = make_plan(finished / "real", "", f"{EMBED}\n{STEPS}", input=[entry], part_samples=70)
    run_here(made)
    label = table(finished / "real", "density", "assign")["cluster"]
    expected = table(finished / "cpu", "density", "assign")["cluster"]
    assert pc.sum(pc.not_equal(label, expected)).as_py() == 0


@pytest.mark.parametrize(
    ("said", "size"),
    [("", 32), (", device: cuda", 256), (", device: cuda, batch_size: 8", 8)],
)
def test_a_batch_fills_a_gpu_where_the_job_does_not_say(said: str, size: int) -> None:
    text = (
        f"name: a\ninput: [{{path: a.tar}}]\noutput: b\nsteps: [{{embed: {{encoder: demo{said}}}}}]"
    )
    assert parse_job(text, "job").embeds[0].batch_size == size
