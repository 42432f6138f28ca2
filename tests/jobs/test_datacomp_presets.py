"""DataComp's presets choose what DataComp's rules choose, uid for uid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tamis.jobs.loading import Request, load
from tamis.pipeline.runs import plan
from tests.support import datacomp_pool as datacomp
from tests.support.embedded import unit
from tests.support.running import ledger, run_here


@pytest.fixture(scope="module")
def pool() -> datacomp.Pool:
    return datacomp.pool()


@pytest.fixture(scope="module")
def pattern(pool: datacomp.Pool, tmp_path_factory: pytest.TempPathFactory) -> str:
    return datacomp.write_pool(tmp_path_factory.mktemp("datacomp") / "metadata", pool)


def reaching(output: Path, last: Sequence[str]) -> list[str]:
    """The uids that passed all steps but ``last``, sorted."""
    return sorted(row["uid"] for row in ledger(output) if row["kept"] or row["step"] in last)


def chosen(pool: datacomp.Pool, mask: npt.NDArray[np.bool_]) -> list[str]:
    return sorted(uid for uid, is_in in zip(pool.uid, mask.tolist(), strict=True) if is_in)


def run_preset(name: str, pattern: str, output: Path, *settings: str) -> None:
    job = load(Request(name, [pattern], str(output), ["part_samples=2500", *settings]))
    run_here(plan.make(job))


def test_basic(pool: datacomp.Pool, pattern: str, tmp_path: Path) -> None:
    run_preset("datacomp-basic", pattern, tmp_path / "run")
    expected = chosen(pool, datacomp.basic(pool))
    assert 1_000 < len(expected) < 10_000
    assert reaching(tmp_path / "run", []) == expected


@pytest.mark.parametrize("share", [0.3, 0.29])
def test_medium_up_to_semantic_duplicates(
    pool: datacomp.Pool, pattern: str, tmp_path: Path, share: float
) -> None:
    settings = [f"score.threshold.share={share}", "density.clusters=25"]
    run_preset("datacomp-medium", pattern, tmp_path / "run", *settings)
    expected = chosen(pool, datacomp.basic(pool) & datacomp.best_share(pool, share))
    assert 500 < len(expected) < 5_000
    assert reaching(tmp_path / "run", ["semantic_duplicates", "density"]) == expected


def test_the_best_scores(pool: datacomp.Pool, pattern: str, tmp_path: Path) -> None:
    run_preset("datacomp-clip", pattern, tmp_path / "run")
    expected = chosen(pool, datacomp.best_share(pool, 0.3))
    assert len(expected) > 6_000  # with those that tie
    assert reaching(tmp_path / "run", []) == expected


@pytest.mark.parametrize("name", ["datacomp-image-based", "datacomp-image-clip"])
def test_concepts_of_a_target(pool: datacomp.Pool, pattern: str, tmp_path: Path, name: str) -> None:
    draw = np.random.default_rng(3)
    centroids = unit(draw.standard_normal((120, datacomp.DIM)))
    target = unit(draw.standard_normal((30, datacomp.DIM)))
    np.save(tmp_path / "centroids.npy", centroids)
    np.save(tmp_path / "target.npy", target)
    run_preset(
        name,
        pattern,
        tmp_path / "run",
        f"target.path={tmp_path}/target.npy",
        f"target.centroids={tmp_path}/centroids.npy",
    )
    mask = datacomp.image_based(pool, centroids, target)
    if name == "datacomp-image-clip":
        mask &= datacomp.best_share(pool, 0.3)
    expected = chosen(pool, mask)
    assert 300 < len(expected) < 10_000
    assert reaching(tmp_path / "run", []) == expected
