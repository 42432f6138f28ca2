"""The step `repeat`, and uids that stand more than once in the subset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import soft_cap
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.results import delta
from tamis.schemas.errors import JobError
from tests.support.embedded import numbered, run_one
from tests.support.running import ledger, subset_uids

COUNT, SEED = 40, 42
SCORES = [None if n == 7 else float((n * 13) % 23) / 4 for n in range(COUNT)]
REPEAT = "- signals: [score]\n- repeat: {signal: score, total: TOTAL, penalty: 0.5, most: 5}"
STEPS = f"{REPEAT}\n- write: {{samples_per_shard: 9, times: repeat}}"


def run(folder: Path, total: int = 60, steps: str = STEPS) -> Path:
    run_one(folder, numbered(COUNT, score=SCORES), steps.replace("TOTAL", str(total)))
    return folder / "run"


def by_hand(total: int) -> dict[int, int]:
    """How often each sample is among the smallest keys of all, sorted at once."""
    valued = [n for n in range(COUNT) if SCORES[n] is not None]
    uid = np.array([[0, n] for n in valued], np.uint64)
    offset = order.uniform(order.hashed(uid, SEED, "repeat"))
    score = np.array([SCORES[n] for n in valued], np.float64)
    found = soft_cap.keys(score, offset, 5, 0.5)
    at = np.argsort(found, axis=None, kind="stable")[:total] // 5
    times = np.bincount(at, minlength=len(valued)).tolist()
    return {n: count for n, count in zip(valued, times, strict=True) if count}


def faults(path: Path) -> list[str]:
    return [
        f"{fault.path}: {fault.what}" for fault in verify(open_run(str(path)), Seen(), deep=True)
    ]


@pytest.mark.parametrize("total", [1, 25, 60, 195])
def test_it_is_the_sort_of_all_copies(tmp_path: Path, total: int) -> None:
    path = run(tmp_path, total)
    rows = ledger(path)
    times = {int(row["uid"], 16): row["repeat"] for row in rows if row["kept"]}
    assert times == by_hand(total)
    assert sum(times.values()) == total
    assert [row["reason"] for row in rows if row["score"] is None] == ["no_value"]


def test_the_subset_repeats_uids_as_the_reader_of_datacomp_counts_them(tmp_path: Path) -> None:
    path = run(tmp_path)
    subset = np.load(path / "subset.npy", mmap_mode="r")
    assert subset.dtype == np.dtype("u8,u8")
    assert len(subset) == 60
    for row in ledger(path):
        key = np.array([divmod(int(row["uid"], 16), 2**64)], subset.dtype)[0]
        times = np.searchsorted(subset, key, "right") - np.searchsorted(subset, key, "left")
        assert times == (row["repeat"] if row["kept"] else 0)


def test_a_repeated_sample_counts_once_everywhere_else(tmp_path: Path) -> None:
    path = run(tmp_path)
    shards = [
        row for p in (path / "shards").glob("*.parquet") for row in pq.read_table(p).to_pylist()
    ]
    assert sorted(row["uid"] for row in shards) == sorted(set(subset_uids(path)))
    assert sum(row["repeat"] for row in shards) == 60
    manifest = json.loads((path / "manifest.json").read_bytes())
    assert manifest["kept"] == len(shards)
    (counts,) = [step for step in manifest["steps"] if step["step"] == "repeat"]
    assert counts["entered"] == counts["kept"] + sum(counts["dropped"].values()) == COUNT
    assert faults(path) == []


def test_a_dropped_sample_is_told_at_what_value_it_would_be_seen(tmp_path: Path) -> None:
    dropped = [row for row in ledger(run(tmp_path, 25)) if row["reason"] == "not_chosen"]
    assert dropped
    for row in dropped:
        assert row["rule"] == "score"
        assert row["value"] == row["score"]
        assert row["bound"] > row["value"]
    worst = max(dropped, key=lambda row: row["bound"] - row["value"])
    changed = list(SCORES)
    changed[int(worst["uid"], 16)] = worst["bound"] + 1e-6
    run_one(tmp_path / "b", numbered(COUNT, score=changed), STEPS.replace("TOTAL", "25"))
    assert next(row for row in ledger(tmp_path / "b/run") if row["uid"] == worst["uid"])["kept"]


def test_explain_says_how_often(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run(tmp_path)
    row = max(ledger(path), key=lambda row: row["repeat"] or 0)
    with pytest.raises(SystemExit):
        main(["explain", str(path), row["uid"]])
    assert f"repeat {row['repeat']}" in capsys.readouterr().out


def test_other_totals_are_asked_of_what_is_stored(tmp_path: Path) -> None:
    change = whatif(open_run(str(run(tmp_path))), ["repeat.total=25"])
    assert (change.kept_before, change.kept_after) == (len(by_hand(60)), len(by_hand(25)))


def test_what_changes_in_the_subset_is_told_once(tmp_path: Path) -> None:
    path = run(tmp_path, 25)
    run(tmp_path, 195)
    added = set(by_hand(195)) - set(by_hand(25))
    assert delta.counts(str(path)) == {"added": len(added), "moved_out": 0}
    assert faults(path) == []
    run(tmp_path, 25)
    assert delta.counts(str(path)) == {"added": 0, "moved_out": len(added)}


def test_verify_sees_a_repetition_too_few(tmp_path: Path) -> None:
    path = run(tmp_path)
    np.save(path / "subset.npy", np.load(path / "subset.npy")[1:])
    assert any("holds 59 uids, the ledger keeps 60" in fault for fault in faults(path)) or any(
        "holds other uids" in fault for fault in faults(path)
    )


def test_more_than_there_can_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"total 196: 39 samples .* each at most 5 times, are 195"):
        run(tmp_path, 196)


def test_a_column_of_the_input_may_say_how_often(tmp_path: Path) -> None:
    steps = "- signals: [seen]\n- write: {times: seen}"
    run_one(tmp_path, numbered(6, seen=[1, 2, 1, 3, 1, 1]), steps)
    assert [int(uid, 16) for uid in subset_uids(tmp_path / "run")] == [0, 1, 1, 2, 3, 3, 3, 4, 5]
    assert faults(tmp_path / "run") == []


@pytest.mark.parametrize("seen", [[1, 0, 2], [1, None, 1], [1.5, 1.0, 1.0], ["a", "b", "c"]])
def test_a_kept_sample_that_is_never_seen_is_refused(tmp_path: Path, seen: list[object]) -> None:
    steps = "- signals: [seen]\n- write: {times: seen}"
    with pytest.raises(JobError, match=r"times: seen of the kept sample .* whole number"):
        run_one(tmp_path, numbered(3, seen=seen), steps)
