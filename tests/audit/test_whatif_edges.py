"""Another bound over stored edges is the decision of a run with that bound, and what `explain` says of it is true."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.algorithms.grouping import buckets
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import tell
from tamis.pipeline.runs.plan import make
from tamis.schemas.parse import parse_job
from tests.support.running import ledger, make_plan, run_here


def by_run(alike: Path, settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The ledger by uid of a run of its own, in a directory that all settings share."""
    output = alike.parent / "own"
    text = (alike / "job.yaml").read_text()
    run_here(make(parse_job(text, "test", [*settings, f"output={output}"])))
    return {row["uid"]: row for row in ledger(output)}


PICTURES = [
    ["near_pictures.hamming=0"],
    ["near_pictures.hamming=3"],
    ["near_pictures.hamming=6", "near_pictures.difference=0.3"],
    ["near_pictures.difference=0.1"],
    ["near_pictures.difference=0.2"],
    ["near_pictures.detail=0.05"],
]
CAPTIONS = [
    ["near_duplicates.jaccard=0.7"],
    ["near_duplicates.jaccard=0.8", "near_duplicates.hamming=10"],
    ["near_duplicates.jaccard=0.95"],
    ["near_duplicates.hamming=12"],
    ["near_duplicates.difference=0.3"],
    ["near_duplicates.detail=0.05"],
    ["near_duplicates.difference=0.1", "near_duplicates.jaccard=0.7"],
    ["near_duplicates.group=chain"],
    ["near_duplicates.group=chain", "near_duplicates.jaccard=0.75"],
]


def agree(alike: Path, settings: Sequence[str]) -> list[str]:
    """What `whatif` says is what a run of its own does; its notes."""
    before = {row["uid"]: row["kept"] for row in ledger(alike)}
    change = whatif(open_run(str(alike)), settings, len(before))
    moved = {sample["uid"] for sample in change.samples}
    after = by_run(alike, settings)
    assert moved == {uid for uid, row in after.items() if row["kept"] != before[uid]}
    assert change.kept_after == sum(row["kept"] for row in after.values())
    return change.notes


@pytest.mark.parametrize("settings", CAPTIONS, ids=" ".join)
def test_a_stricter_bound_is_decided_over_stored_edges(alike: Path, settings: list[str]) -> None:
    (note,) = agree(alike, settings)
    assert note.startswith("near_duplicates: decided again over its ")


@pytest.mark.parametrize("settings", PICTURES, ids=" ".join)
def test_a_step_that_compares_what_another_leaves_is_searched_again(
    alike: Path, settings: list[str]
) -> None:
    """Its edges are among the samples that reached it in the run."""
    notes = agree(alike, settings)
    assert any(note.startswith("near_duplicates: its pairs were searched for") for note in notes)


@pytest.fixture(scope="module")
def pictures(alike: Path) -> Path:
    """A finished run over the same samples, with near_pictures alone."""
    steps = "  - near_pictures: {hamming: 8, difference: 0.6, detail: 0.6}"
    folder = alike.parent / "pictures"
    run_here(make_plan(folder / "run", alike.parent / "in" / "*.tar", steps))
    return folder / "run"


@pytest.mark.parametrize(
    "settings", [*PICTURES, ["near_pictures.group=chain", "near_pictures.hamming=5"]], ids=" ".join
)
def test_pictures_are_decided_over_stored_edges(pictures: Path, settings: list[str]) -> None:
    (note,) = agree(pictures, settings)
    assert note.startswith("near_pictures: decided again over its ")


@pytest.mark.parametrize(
    "settings",
    [
        ["near_pictures.hamming=9"],
        ["near_pictures.difference=0.7"],
        ["near_pictures.detail=0.7"],
    ],
    ids=" ".join,
)
def test_a_looser_bound_is_searched_for_and_said(pictures: Path, settings: list[str]) -> None:
    searched, why = agree(pictures, settings)
    assert searched.startswith("near_pictures: its pairs were searched for again")
    assert "is looser than the run's" in why


def test_whether_details_count_is_not_decided_over_stored_edges(pictures: Path) -> None:
    searched, why = agree(pictures, ["near_pictures.detail=null"])
    assert searched.startswith("near_pictures: its pairs were searched for again")
    assert "left out the pairs that differ in them" in why


def test_whether_captions_pictures_are_opened_is_not_decided_over_stored_edges(
    alike: Path,
) -> None:
    searched, why = agree(alike, ["near_duplicates.detail=null"])
    assert searched.startswith("near_duplicates: its pairs were searched for again")
    assert "left out the pairs that differ in them" in why


def test_unsearched_pairs_are_said_and_nothing_is_claimed_of_a_sample(
    alike: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where samples keep few of their edges, a stored one may be missing under another bound."""
    monkeypatch.setattr(buckets.first_edges, "__defaults__", (1,))
    steps = "  - near_pictures: {hamming: 16, difference: 1.0, detail: 1.0}"
    run_here(make_plan(tmp_path / "run", alike.parent / "in" / "*.tar", steps))
    run = open_run(str(tmp_path / "run"))
    _, why = whatif(run, ["near_pictures.hamming=4"]).notes
    assert "samples have pairs that the run left unsearched" in why
    dropped = [row for row in ledger(tmp_path / "run") if row["step"] == "near_pictures"]
    assert dropped
    assert not [row for row in dropped if "passes_with" in told(run, row)]


def told(run: Any, row: dict[str, Any]) -> dict[str, Any]:
    """What `explain` says of the step that dropped a sample."""
    (step,) = [step for step in tell(run, row)["steps"] if step["step"] == row["step"]]
    return dict(step)


def test_the_bound_that_explain_names_saves_the_sample(pictures: Path) -> None:
    """At that bound and at every stricter one; and it is the highest edge to any preferred sample."""
    run = open_run(str(pictures))
    dropped = [row for row in ledger(pictures) if row["step"] == "near_pictures"]
    named = {row["uid"]: told(run, row).get("passes_with") for row in dropped}
    bits = {
        uid: mends[0]["value"]
        for uid, mends in named.items()
        if mends and mends[0]["setting"] == "near_pictures.hamming"
    }
    assert len(set(bits.values())) > 2
    for bound in range(8):
        after = by_run(pictures, [f"near_pictures.hamming={bound}"])
        assert not [uid for uid, most in bits.items() if bound <= most and not after[uid]["kept"]]
    differences = {
        uid: mends[0]["value"]
        for uid, mends in named.items()
        if mends and mends[0]["setting"] == "near_pictures.difference"
    }
    assert differences
    for bound in sorted(set(differences.values()))[:: max(1, len(differences) // 5)]:
        after = by_run(pictures, [f"near_pictures.difference={bound}"])
        saved = [uid for uid, most in differences.items() if bound <= most]
        assert all(after[uid]["kept"] for uid in saved)
    assert all(mends[0]["sufficient"] for mends in named.values() if mends)


def test_the_similarity_that_explain_names_saves_the_sample(alike: Path) -> None:
    run = open_run(str(alike))
    edges = [
        pq.ParquetFile(path).read().to_pylist()
        for path in sorted((alike / "tables/near_duplicates/seen").glob("bucket-*.parquet"))
    ]
    highest: dict[int, float] = {}
    for edge in (edge for table in edges for edge in table):
        highest[edge["sid_b"]] = max(highest.get(edge["sid_b"], 0.0), edge["jaccard"])
    bounds = {}
    for row in ledger(alike):
        if row["step"] == "near_duplicates":
            mends = told(run, row).get("passes_with")
            assert bool(mends) == (highest[row["sid"]] < 1)
            if mends:
                bounds[row["uid"]] = mends[0]["value"]
                assert 0 < mends[0]["value"] - highest[row["sid"]] <= 1.01e-6
    assert len(bounds) > 5
    for bound in np.quantile(list(bounds.values()), [0, 0.5, 1]):
        after = by_run(alike, [f"near_duplicates.jaccard={float(bound)}"])
        assert all(after[uid]["kept"] for uid, least in bounds.items() if least <= bound)
