"""Search without near copies, search for what is like a run, and what a search finds as a run of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.jobs.job_files.load import Request, load
from tamis.pipeline.algorithms import nearest
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.search import subset
from tamis.pipeline.audit.search.making import made
from tamis.pipeline.audit.search.query import Query, Sought
from tamis.pipeline.audit.search.search import Asked, Search
from tamis.pipeline.audit.search.stored import Embedding
from tamis.pipeline.audit.story.story import tell
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.runs import walk
from tamis.pipeline.runs.plan import make
from tamis.pipeline.steps.shared.vector_sets import vector_set
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.errors import JobError, StateError
from tests.audit.conftest import DIM
from tests.support.running import ledger, run_here, subset_uids


@pytest.fixture(scope="module")
def embedding(embedded: Any) -> Embedding:
    return Embedding(open_run(str(embedded(keep=0.9))))


def vector(seed: int) -> npt.NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal(DIM)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def stored(embedding: Embedding) -> tuple[list[str], npt.NDArray[np.float64]]:
    """The uids and pictures' vectors of all kept samples, of length 1."""
    rows = [row for row in ledger(Path(embedding.run.root)) if row["kept"]]
    found = embedding.vectors_of(np.array([row["sid"] for row in rows]), "image").astype(np.float64)
    return [row["uid"] for row in rows], found / np.linalg.norm(found, axis=1, keepdims=True)


def undoubled(rows: npt.NDArray[np.float64], order: list[int], bound: float) -> list[int]:
    """Those of ``order`` that are not within ``bound`` of any before them, one after another."""
    return [
        one
        for at, one in enumerate(order)
        if not any(rows[one] @ rows[o] > bound for o in order[:at])
    ]


@given(st.integers(0, 6), st.integers(0, 30), st.floats(-0.5, 0.99), st.integers(0, 100))
def test_copies_are_rows_near_one_before_them(m: int, n: int, bound: float, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((m + n, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows.astype(np.float32).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = nearest.copies(rows[:m].astype(np.float32), rows[m:].astype(np.float32), bound)
    for at, copied in enumerate(found.tolist()):
        largest = max((float(rows[m + at] @ rows[o]) for o in range(m + at)), default=-2.0)
        if abs(largest - bound) > 1e-6:
            assert copied == (largest > bound)


@pytest.mark.parametrize("asked", [{}, {"probes": 4}, {"above": 0.2}, {"where": "true"}])
@pytest.mark.parametrize("dedup", [0.8, 0.93])
def test_near_copies_of_better_samples_are_not_shown(
    embedding: Embedding, asked: dict[str, Any], dedup: float
) -> None:
    uids, rows = stored(embedding)
    some = 0
    for seed in range(4):
        value = rows @ vector(seed)
        order = sorted(range(len(uids)), key=lambda i: (-value[i], uids[i]))
        order = [i for i in order if value[i] >= asked.get("above", -1)]
        expected = undoubled(rows, order, dedup)
        for count in (3, 60):
            search = Search(embedding, Asked(count, dedup=dedup, **asked))
            found = search.find(Query(vector(seed), "v"))
            assert [row["uid"] for row in found.rows] == [uids[i] for i in expected[:count]]
            last = order.index(expected[:count][-1]) if len(found.rows) == count else len(order) - 1
            assert found.copies == last + 1 - len(found.rows)
            some += found.copies
            if "above" in asked:
                assert found.above == len(order)  # copies too
    assert some


@pytest.mark.parametrize("dedup", [0.0, 1.0, 94])
def test_a_bound_for_copies_is_a_cosine(embedding: Embedding, dedup: float) -> None:
    with pytest.raises(JobError, match=r"--dedup .* is a cosine between 0 and 1"):
        Search(embedding, Asked(dedup=dedup))


def written(embedding: Embedding, output: Path, sought: Sought, asked: Asked) -> FinishedRun:
    """What `tamis search --as` does, in this process."""
    query = made(embedding, sought, asked.side)
    plan = subset.planned(embedding, sought, query, asked, str(output))
    walk.run(plan, [], executor=Here(plan.root), base=embedding.run.root)
    return open_run(str(output))


def kept(run: FinishedRun) -> set[str]:
    uids = {row["uid"] for row in ledger(Path(run.root)) if row["kept"]}
    assert uids == set(subset_uids(Path(run.root)))
    return uids


def faults(run: FinishedRun) -> list[Any]:
    return list(verify(run, Seen(), deep=True))


def test_what_is_found_becomes_a_run_with_reasons(embedding: Embedding, tmp_path: Path) -> None:
    sought = Sought(vector=vector(1))
    shown = Search(embedding, Asked(1000, above=0.2)).find(Query(vector(1), "v"))
    run = written(embedding, tmp_path / "new", sought, Asked(above=0.2))
    assert kept(run) == {row["uid"] for row in shown.rows}
    assert 0 < len(shown.rows) < len(stored(embedding)[0])
    assert faults(run) == []
    assert run.manifest.job["steps"][-2]["target"]["query"] == "the vector"

    before = {row["uid"]: row for row in ledger(Path(embedding.run.root))}
    for row in ledger(tmp_path / "new"):
        was = before[row["uid"]]
        if not was["kept"]:  # decisions of the searched run stand
            assert (row["step"], row["reason"]) == (was["step"], was["reason"])
        elif not row["kept"]:
            assert (row["step"], row["reason"], row["rule"]) == ("search", "off_target", "search")
            assert row["value"] < row["bound"] == pytest.approx(0.2)
            assert row["message"] == "nearest of the target: the vector"
    dropped = next(row for row in ledger(tmp_path / "new") if row["step"] == "search")
    (step,) = (step for step in tell(run, dropped)["steps"] if step["step"] == "search")
    assert step["outcome"] == "dropped"
    assert any("search.least" in str(value) for value in step.values())

    wider = Search(embedding, Asked(above=0.0)).find(Query(vector(1), "v"))
    change = whatif(run, ["search.least=0"])
    assert change.kept_after == wider.above
    assert change.came == wider.above - len(shown.rows)


def test_its_job_runs_again_to_the_same_result(embedding: Embedding, tmp_path: Path) -> None:
    run = written(embedding, tmp_path / "new", Sought(vector=vector(2)), Asked(17))
    assert len(kept(run)) == 17
    job = load(Request(f"{run.root}/job.yaml"))
    assert run_here(make(job)).tasks_run == 0
    fresh = make(job.model_copy(update={"output": str(tmp_path / "fresh")}))
    run_here(fresh)
    assert ledger(tmp_path / "fresh") == ledger(tmp_path / "new")


@pytest.mark.parametrize("side", ["image", "text"])
def test_all_samples_with_a_vector_can_be_chosen_from(
    embedding: Embedding, tmp_path: Path, side: Any
) -> None:
    asked = Asked(25, side=side, among="all")
    shown = Search(embedding, asked).find(Query(vector(3), "v"))
    run = written(embedding, tmp_path / "new", Sought(vector=vector(3)), asked)
    assert kept(run) == {row["uid"] for row in shown.rows}
    assert not all(row["kept"] for row in shown.rows)
    assert {step.step for step in run.manifest.steps} >= {"embed", "search"}
    assert not any("density" in step for step in run.manifest.job["steps"])


def test_near_copies_fall_for_a_sample_nearer_to_the_query(
    embedding: Embedding, tmp_path: Path
) -> None:
    uids, rows = stored(embedding)
    value = rows @ vector(4)
    order = sorted(range(len(uids)), key=lambda i: (-value[i], uids[i]))[:60]
    run = written(embedding, tmp_path / "new", Sought(vector=vector(4)), Asked(60, dedup=0.93))
    expected = undoubled(rows, order, 0.93)
    assert kept(run) == {uids[i] for i in expected}
    assert len(expected) < 60
    copied = [row for row in ledger(tmp_path / "new") if row["step"] == "search_copies"]
    assert len(copied) == 60 - len(expected)
    assert {row["reason"] for row in copied} == {"semantic_duplicate"}


def test_like_a_run_is_the_nearest_of_its_vectors(embedding: Embedding, tmp_path: Path) -> None:
    few = written(embedding, tmp_path / "few", Sought(vector=vector(5)), Asked(6))
    uids, rows = stored(embedding)
    target = rows[[at for at, uid in enumerate(uids) if uid in kept(few)]]
    value = (rows @ target.T).max(axis=1)
    asked = Asked(40, of_run=True)
    query = made(embedding, Sought(like_run=few.root), "image")
    found = Search(embedding, asked).find(query)
    assert found.extent.clusters is None
    assert found.searched == found.of
    shown = {row["uid"]: row["cosine"] for row in found.rows}
    by_uid = dict(zip(uids, value.tolist(), strict=True))
    assert list(shown.values()) == pytest.approx(sorted(value.tolist())[::-1][:40], abs=1e-6)
    assert all(shown[uid] == pytest.approx(by_uid[uid], abs=1e-6) for uid in shown)
    run = written(embedding, tmp_path / "new", Sought(like_run=few.root), asked)
    assert kept(run) == set(shown)
    told = {row["uid"]: row["search"] for row in ledger(tmp_path / "new")}
    assert all(told[uid] == cosine for uid, cosine in shown.items())


def test_a_search_of_a_search_has_a_name_of_its_own(embedding: Embedding, tmp_path: Path) -> None:
    first = written(embedding, tmp_path / "one", Sought(vector=vector(6)), Asked(30))
    again = written(Embedding(first), tmp_path / "two", Sought(vector=vector(7)), Asked(5))
    assert [step.step for step in again.manifest.steps][-2:] == ["search", "search_2"]
    assert kept(again) < kept(first)


def test_only_vectors_are_of_a_query(embedding: Embedding) -> None:
    with pytest.raises(JobError, match="`query` says what a file of vectors is of"):
        vector_set("target", embedding.run.root, embedding.config, 0, "image", query="a bird")


def test_what_a_job_cannot_say_is_refused(embedding: Embedding, tmp_path: Path) -> None:
    for asked, said in (
        (Asked(among="dropped"), "say --among all"),
        (Asked(where="true"), "--where has no step"),
        (Asked(probes=2), "leave --probes out"),
    ):
        with pytest.raises(JobError, match=said):
            written(embedding, tmp_path / "none", Sought(vector=vector(1)), asked)
    assert not (tmp_path / "none").exists()
    written(embedding, tmp_path / "new", Sought(vector=vector(1)), Asked(5))
    with pytest.raises(StateError, match="a finished run is there already"):
        written(embedding, tmp_path / "new", Sought(vector=vector(1)), Asked(5))
    (tmp_path / "new/manifest.json").unlink()
    with pytest.raises(StateError, match="of another search"):
        written(embedding, tmp_path / "new", Sought(vector=vector(2)), Asked(5))
