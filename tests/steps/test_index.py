"""The step `index`: its lists hold all embedded samples, searches of them are exact, and the recall is as measured."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.clusters import recall
from tamis.pipeline.audit.again.frozen_job import job_of
from tamis.pipeline.audit.again.late_steps import first_of
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.search.query import Query
from tamis.pipeline.audit.search.search import Asked, Found, Search
from tamis.pipeline.audit.search.stored import Clusters, Embedding
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.runs import cleaning
from tamis.pipeline.runs.plan import build
from tamis.pipeline.steps.index import config
from tamis.pipeline.steps.index.config import Index
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import centroid_rows, uid_words, vectors
from tamis.pipeline.tasks import dealing
from tests.support.embedded import blobs, run_steps, write_input
from tests.support.running import ledger

DIM, QUERIES = 8, 20
STEPS = """
- signals: [quality]
- rules: {quality: {min: 3}}
- index: {clusters: 12, queries: 20}
- random: {keep: 0.5}
- write
"""


@pytest.fixture(scope="module", params=["one wave", "two waves"])
def run(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """240 pairs in several lists; a rule before the index drops some, and a selector behind it."""
    folder = tmp_path_factory.mktemp("index")
    samples = blobs([40] * 6, [0.9] * 6, dim=DIM, quality=[n % 10 for n in range(240)])
    entry = write_input(folder / "in", samples, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "LIST_BYTES", 500)
        if request.param == "two waves":
            patch.setattr(dealing, "GROUPS", 3)
            patch.setattr(dealing, "LEAST_FILES", 2)
        run_steps(folder / "run", [entry], STEPS, part_samples=35)
        dealt = folder / "run/tables/index/lists-dealt"
        assert dealt.exists() == (request.param == "two waves")
        yield open_run(str(folder / "run"))


def stored(run: FinishedRun) -> tuple[npt.NDArray[np.int64], list[str], npt.NDArray[np.float64]]:
    """sid, uid and vector, of length 1, of all embedded samples: those that the rule before did not drop."""
    rows = ledger(Path(run.root))
    sids = np.array([row["sid"] for row in rows])
    found = Embedding(run).vectors_of(sids, "image").astype(np.float64)
    return sids, [row["uid"] for row in rows], found / np.linalg.norm(found, axis=1, keepdims=True)


def test_the_lists_hold_each_embedded_sample_once_whatever_became_of_it(run: FinishedRun) -> None:
    sids, uids, rows = stored(run)
    clusters = Clusters.of(Embedding(run))
    assert clusters is not None
    assert clusters.rows == len(sids) == 240
    assert {row["step"] for row in ledger(Path(run.root))} == {None, "rules", "random"}
    nearest = (rows @ clusters.centroids.T.astype(np.float64)).argmax(axis=1)
    seen = 0
    for cluster in range(12):
        for block in clusters.blocks(np.array([cluster])):
            at = np.searchsorted(sids, block.sid)
            assert nearest[at].tolist() == [cluster] * len(at)
            wide = block.vectors.astype(np.float64)
            wide /= np.linalg.norm(wide, axis=1, keepdims=True)
            assert np.array_equal(wide, rows[at])
            words = block.uids(np.arange(len(at)))
            assert [f"{a:016x}{b:016x}" for a, b in words.tolist()] == [uids[i] for i in at]
            seen += len(at)
    assert seen == 240


@pytest.mark.parametrize("among", ["kept", "dropped", "all"])
def test_a_search_of_all_concepts_is_that_of_all_vectors(run: FinishedRun, among: Any) -> None:
    _, uids, rows = stored(run)
    kept = [row["kept"] for row in ledger(Path(run.root))]
    wanted = [n for n, is_kept in enumerate(kept) if among == "all" or is_kept == (among == "kept")]
    for seed in range(5):
        drawn = np.random.default_rng(seed).standard_normal(DIM)
        query = (drawn / np.linalg.norm(drawn)).astype(np.float32)
        value = rows @ query.astype(np.float64)
        judged = sorted(wanted, key=lambda n: (-value[n], uids[n]))[:15]
        search = Search(Embedding(run), Asked(15, among=among, probes=12))
        found = search.find(Query(query, "v"))
        assert [row["uid"] for row in found.rows] == [uids[n] for n in judged]
        assert found.extent.recall is not None
        assert found.extent.recall.share == 1.0
        few = Search(Embedding(run), Asked(15, among=among, probes=3)).find(Query(query, "v"))
        assert few.searched < found.searched == 240


def test_the_recall_is_that_of_the_queries_by_brute_force(run: FinishedRun) -> None:
    _, uids, rows = stored(run)
    table = part_files.read_file(run.root, "tables/index/queries/queries.parquet")
    words = uid_words(table["uid"])
    asked = [uids.index(f"{a:016x}{b:016x}") for a, b in words.tolist()]
    assert len(asked) == QUERIES
    alive = {row["uid"] for row in ledger(Path(run.root)) if row["step"] != "rules"}
    assert {uids[n] for n in asked} < alive
    assert vectors(table["vector"]).shape == (QUERIES, DIM)
    path = "tables/index/train/centroids.parquet"
    centroids = centroid_rows(part_files.read_file(run.root, path)).astype(np.float64)
    own = (rows @ centroids.T).argmax(axis=1)
    measured = run.table("index", "recall", "recall")
    assert measured is not None
    assert measured["probes"].to_pylist() == [1, 2, 4, 8, 12]
    for probes, share in zip(*(measured[n].to_pylist() for n in ("probes", "recall")), strict=True):
        found = 0
        for query in asked:
            value = rows @ rows[query]
            order = [
                n for n in sorted(range(240), key=lambda n: (-value[n], uids[n])) if n != query
            ]
            probed = np.argsort(-(centroids @ rows[query]))[:probes]
            found += sum(own[n] in probed for n in order[:10])
        assert share == pytest.approx(found / (10 * QUERIES))
        clusters = Clusters.of(Embedding(run))
        assert clusters is not None
        told = clusters.recall(probes)
        assert told is not None
        assert (told.probes, told.share, told.queries) == (probes, share, QUERIES)


def test_other_thresholds_are_decided_as_if_it_were_not_there(run: FinishedRun) -> None:
    settings = ["rules.quality.min=5"]
    assert first_of(job_of(run), job_of(run, settings)) is None  # by lot keeps of what passes
    change = whatif(run, settings)
    rows = ledger(Path(run.root))
    passing = [row["uid"] for row in rows if row["quality"] >= 5]
    assert change.kept_after == len(passing) // 2
    assert "index" not in {account.step for account in change.after}
    # Without the lots rules and index alone stand behind the change: it is decided in memory.
    jobs = [
        job.model_copy(update={"steps": [step for step in job.steps if step.kind != "random"]})
        for job in (job_of(run), job_of(run, settings))
    ]
    assert first_of(*jobs) == 2


def test_what_was_dealt_out_may_go(run: FinishedRun, tmp_path: Path) -> None:
    """The first of two waves holds the vectors once more: `tamis clean` removes it, and searches stay as they were."""
    query = Query(np.eye(1, DIM, dtype=np.float32)[0], "v")

    def found(of: FinishedRun) -> Found:
        return Search(Embedding(of), Asked(15, among="all", probes=3)).find(query)

    shutil.copytree(run.root, tmp_path / "run")
    again = open_run(str(tmp_path / "run"))
    before = found(again)
    passing = list(cleaning.passing(again.root, build(job_of(again))))
    two_waves = (Path(run.root) / "tables/index/lists-dealt").exists()
    assert ("lists" in {phase.phase for phase in passing}) == two_waves
    assert "lists-dealt" not in {phase.phase for phase in passing}
    if not two_waves:  # an earlier job's second wave is not read, and what is read does not go
        stale = tmp_path / "run/tables/index/lists-dealt"
        shutil.copytree(tmp_path / "run/tables/index/drawn", stale)
        left = {phase.phase for phase in cleaning.passing(again.root, build(job_of(again)))}
        assert "lists" not in left
    cleaning.clear(again.root, passing)
    after = found(open_run(again.root))
    assert after.extent.clusters == 12
    assert (after.rows, after.searched) == (before.rows, before.searched)
    if not two_waves:
        shutil.rmtree(stale)
    assert list(verify(open_run(again.root), Seen(), deep=True)) == []


def test_its_tables_are_sound(run: FinishedRun) -> None:
    assert list(verify(run, Seen(), deep=True)) == []


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 1000))
def test_those_that_may_be_nearest_are_not_left_out(count: int, wanted: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((count, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = rows[: min(3, count)]
    for query, found in zip(queries, recall.near(rows, queries, wanted), strict=True):
        exact = np.argsort(-(rows.astype(np.float64) @ query), kind="stable")[:wanted]
        assert set(exact.tolist()) <= set(found.tolist())


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_the_curve_counts_ranks(ranks: list[int]) -> None:
    probes, shares = recall.curve(np.array(ranks), 9)
    assert probes.tolist() == [1, 2, 4, 8, 9]
    judged = [sum(rank <= count for rank in ranks) / len(ranks) for count in probes]
    assert shares.tolist() == pytest.approx(judged)


def test_the_plan_tells_of_concepts_and_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "LIST_BYTES", 1 << 20)  # whatever a run of this module made of them
    monkeypatch.setattr(dealing, "GROUPS", 256)
    step = Index.model_validate({"clusters": "auto"})
    assert [step.concepts(n, 512) for n in (0, 1, 1_000_000, 10**13)] == [1, 1, 1000, 65_536]
    (auto, lists) = step.notes(1_000_000, lambda _: 512)
    assert auto.startswith("clusters: auto is 1,000 if all 1,000,000 samples reach it")
    assert lists == (
        "lists: 1.06 GB on disk, and as much again until `tamis clean` frees it; a search reads about 16.4 MB of "
        "them, and holds 3.1 MB"
    )
    *_, few = step.notes(100_000, lambda _: 512)
    assert few.startswith("lists: 106 MB on disk; a search reads about")
    assert list(Index(clusters=7).notes(None, lambda _: 512)) == []
