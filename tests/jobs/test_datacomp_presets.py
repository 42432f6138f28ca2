"""DataComp's presets choose what DataComp's rules choose, uid for uid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.load import Request, load
from tamis.pipeline.runs import plan
from tests.support import datacomp_pool as datacomp
from tests.support.embedded import unit
from tests.support.running import Sample, ledger, picture, run_here, write_tar
from tests.support.step_cases import captioned


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


def test_words_for_what_imagenet_has(pool: datacomp.Pool, pattern: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("dog\nhouse\ngolden retriever\n")
    run_preset(
        "datacomp-text", pattern, tmp_path / "run", f"signals.lists.entities={tmp_path}/words.txt"
    )
    expected = chosen(pool, datacomp.text_based(pool, {"dog", "house"}))
    assert 3_000 < len(expected) < 12_000
    assert reaching(tmp_path / "run", []) == expected


def test_soft_cap_over_a_mix(pool: datacomp.Pool, tmp_path: Path) -> None:
    """How often each uid stands in the subset, against the closed form with K by bisection."""
    draw = np.random.default_rng(8)
    other = np.round(draw.normal(0.3, 0.05, len(pool.uid)), 3).astype(np.float32)
    metadata = tmp_path / "metadata"
    pattern = datacomp.write_pool(metadata, pool)
    for path in sorted(metadata.glob("*.parquet")):
        first = int(path.stem) * datacomp.ROWS_PER_FILE
        table = pq.read_table(path)
        scores = pa.array(other[first : first + table.num_rows])
        pq.write_table(table.append_column("clip_b32_similarity_score", scores), path)
    np.savez(tmp_path / "mix.npz", weight=np.array([[10.0, 25.0]]), bias=np.array([-8.0]))
    settings = [f"signals.heads.mix={tmp_path}/mix.npz", "repeat.total=30000"]
    run_preset("flyt-mix", pattern, tmp_path / "run", *settings)
    score = 10.0 * other + 25.0 * pool.score.astype(np.float64) - 8.0
    scored = np.flatnonzero(np.isfinite(score))

    def times(level: float) -> npt.NDArray[np.float64]:
        return np.minimum(np.log1p(0.15 * np.exp(score[scored] + level)) / 0.15, 15)

    low, high = -50.0, 50.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if times(middle).sum() > 30_000 else (middle, high)
    words = np.load(tmp_path / "run/subset.npy")
    listed = Counter(f"{int(one['f0']):016x}{int(one['f1']):016x}" for one in words)
    found = np.array([listed[pool.uid[row]] for row in scored])
    assert found.sum() == len(words) == 30_000
    assert found.max() == 15
    assert np.abs(found - times(high)).max() < 1.01  # rounded, by the level of rounded times


def test_the_best_by_a_filtering_network(tmp_path: Path) -> None:
    """With the encoder `demo` in its place; 15% of the input, what cannot be read included."""
    samples = captioned().usual
    write_tar(tmp_path / "a.tar", samples)
    run_preset("dfn", f"{tmp_path}/a.tar", tmp_path / "run", "embed.encoder=demo")
    rows = ledger(tmp_path / "run")
    score = sorted((row["clip_similarity"] for row in rows if row["clip_similarity"]), reverse=True)
    count = int(0.15 * len(rows))
    kept = [row["clip_similarity"] for row in rows if row["kept"]]
    assert sorted(kept, reverse=True) == score[:count]
    assert count > 3


def test_balance_over_concepts(tmp_path: Path) -> None:
    texts = ["a red car", *["something"] * 20, *["an okapi"] * 20, *["a red car"] * 299]
    samples = [Sample(f"{n:04d}", picture(n), text, {}) for n, text in enumerate(texts)]
    write_tar(tmp_path / "a.tar", samples)
    (tmp_path / "list.txt").write_text("car\nokapi\n")
    settings = [f"balance.list={tmp_path}/list.txt", "balance.most=60"]
    run_preset("metaclip", f"{tmp_path}/a.tar", tmp_path / "run", *settings)
    kept = [row["text"] for row in ledger(tmp_path / "run") if row["kept"]]
    assert sum("okapi" in text for text in kept) == 20
    assert 30 < sum("car" in text for text in kept) < 90
    assert not any("something" in text for text in kept)
