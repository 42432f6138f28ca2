"""What tasks claim: the job's word goes before the step's, and what no node has is told, or waited for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tamis.pipeline.steps.concepts.config import POOL_BYTES
from tamis.pipeline.tasks import claims
from tamis.pipeline.tasks.claims import Claim
from tamis.pipeline.tasks.phase import Phase, listed
from tamis.pipeline.tasks.task import Task
from tamis.schemas.errors import ClusterError
from tamis.schemas.job import Job
from tamis.schemas.parse import parse_job
from tamis.schemas.resources import Claimed
from tamis.schemas.scope import Scope

NODES = [{"CPU": 8.0, "memory": 16e9}, {"CPU": 4.0, "GPU": 2.0, "memory": 8e9}]


def job(resources: str, device: str = "cpu") -> Job:
    return parse_job(
        f"name: a\ninput: [{{path: s3://b/x.tar}}]\noutput: s3://b/out\nresources: {resources}\nsteps:\n"
        f"  - signals: [words]\n  - embed: {{encoder: demo, device: {device}}}\n"
        f"  - density: {{keep: 0.5, device: {device}}}\n",
        "job",
    )


def of(resources: str, device: str = "cpu") -> dict[str, Claim]:
    return {claim.step: claim for claim in claims.of_job(job(resources, device))}


def test_an_embedding_worker_on_cuda_holds_a_gpu() -> None:
    """Or a node without one might be given it."""
    assert of("{}")["embed"] == Claim("embed", 1, 0, 0)
    assert of("{}", "cuda")["embed"] == Claim("embed", 1, 1, 0)
    assert of("{gpus: 0.5}", "cuda")["embed"] == Claim("embed", 1, 0.5, 0)
    assert of("{gpus: 2, decode_tasks: 3}")["embed"] == Claim("embed", 0, 2, 0)


def test_a_step_that_clusters_holds_a_gpu_where_it_works_there_and_large_centroids_in_a_pool() -> (
    None
):
    assert of("{gpus: 1}")["density"] == Claim("density", 1, 0, 0)
    assert of("{}", "cuda")["density"] == Claim("density", 1, 1, 0)
    assert of("{gpus: 0.5}", "cuda")["density"] == Claim("density", 1, 0.5, 0)
    asked = "{steps: {density: {gpus: 0.25, workers: 3}, signals: {gpus: 1}}}"
    assert of(asked, "cuda")["density"] == Claim("density", 1, 0.25, 0)
    made = job(asked, "cuda")
    density = made.steps[-1]
    work: Phase[None] = listed("assign", print, [], density.claim(made.resources))  # type: ignore[arg-type]
    assert claims.of_phase(work, "density", made) == Claimed(gpus=0.25, pool=True, workers=3)
    on_processors = density.model_copy(update={"device": "cpu"})
    for size, pool in ((0, False), (POOL_BYTES - 1, False), (POOL_BYTES, True)):
        found = on_processors.claim(made.resources, size)
        assert found == Claimed(pool=pool)
    plain: Phase[None] = listed("sums", print, [])  # type: ignore[arg-type]
    assert claims.of_phase(plain, "density", made).gpus == 0
    assert claims.of_phase(plain, "signals", made).gpus == 1


def test_a_jobs_word_on_gpus_is_for_those_tasks_of_a_step_that_work_there() -> None:
    made = job("{steps: {embed: {gpus: 0.25}}}", "cuda")
    embed = made.embeds[0]
    vectors: Phase[None] = listed("vectors", print, [], embed.claim(made.resources))  # type: ignore[arg-type]
    verdict: Phase[None] = listed("verdict", print, [])  # type: ignore[arg-type]
    assert claims.of_phase(vectors, "embed", made).gpus == 0.25
    assert claims.of_phase(verdict, "embed", made).gpus == 0


def test_gpus_are_looked_for_before_anything_runs_but_for_steps_that_have_begun(
    tmp_path: Path,
) -> None:
    made = job("{}", "cuda")
    assert [claim.step for claim in claims.pending_gpu_claims(made, str(tmp_path))] == [
        "embed",
        "density",
    ]
    (tmp_path / "tables" / "embed").mkdir(parents=True)
    assert [claim.step for claim in claims.pending_gpu_claims(made, str(tmp_path))] == ["density"]
    assert claims.pending_gpu_claims(job("{}"), str(tmp_path)) == []


def test_the_claim_of_a_single_step_goes_before() -> None:
    found = of("{gpus: 1, steps: {embed: {gpus: 0.25, cpus: 3}, ingest: {memory: 4000000}}}")
    assert found["embed"] == Claim("embed", 3, 0.25, 0)
    assert found["ingest"] == Claim("ingest", 1, 0, 4_000_000)
    assert found["signals"] == Claim("signals", 1, 0, 0)


def test_memory_is_claimed_by_what_gathers() -> None:
    made = job("{memory: 1073741824}")

    def claimed(scope: Scope, **own: Any) -> Claimed:
        tasks: list[Task[None]] = [Task(scope, 0, {})]
        phase = listed("p", print, tasks, Claimed(**own))  # type: ignore[arg-type]
        return claims.of_phase(phase, "s", made)

    assert claimed(Scope.BUCKET).memory == 1 << 30
    assert claimed(Scope.WHOLE).memory == 1 << 30
    assert claimed(Scope.PART, pool=True) == Claimed(pool=True)
    assert (
        max(of("{memory: 1073741824}").values(), key=lambda claim: claim.memory).memory == 1 << 30
    )


def test_how_many_fit() -> None:
    assert claims.fitting(Claimed(), NODES, False) == 12
    assert claims.fitting(Claimed(gpus=0.5), NODES, False) == 4
    assert claims.fitting(Claimed(memory=5 * 10**9), NODES, False) == 3 + 1


def test_what_no_node_has_is_told_or_waited_for() -> None:
    with pytest.raises(ClusterError, match="claims 8 CPU, 1 GPU, and no node has that"):
        claims.fitting(Claimed(cpus=8, gpus=1), NODES, False)
    with pytest.raises(ClusterError, match=r"no node has that .*: set device: cpu, change"):
        claims.fitting(Claimed(gpus=1), NODES[:1], False)
    assert claims.fitting(Claimed(cpus=8, gpus=1), NODES, True) == 0
    with pytest.raises(ClusterError, match="any number would fit"):
        claims.fitting(Claimed(cpus=0), NODES, True)
