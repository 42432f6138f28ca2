"""Samples are taken out of a finished run: the shards that held them are written again, and nothing else is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.schemas.errors import JobError
from tamis.schemas.events import Event, TaskDone
from tests.support.running import (
    Sample,
    contents,
    ledger,
    make_plan,
    picture,
    run_here,
    subset_uids,
    write_tar,
)
from tests.support.tables import small_bundles

WRITE = "- write: {samples_per_shard: 7, format: FORMAT}"
COUNT = 60


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty pairs in four files, in parts of eight, three parts a bundle."""
    small_bundles(monkeypatch, 3)
    for number in range(4):
        samples = [
            Sample(f"k{n}", picture(n), f"caption no {n}", {"uid": f"{n + 1:032x}"})
            for n in range(number * 15, number * 15 + 15)
        ]
        write_tar(tmp_path / f"in/{number}.tar", samples)
    return tmp_path


def run(
    folder: Path, lists: Sequence[Sequence[int]], output: str, kind: str
) -> tuple[Path, list[str]]:
    """The job with an `exclude` for each list; its directory, and the shards that tasks were run for."""
    steps = ""
    for number, uids in enumerate(lists):
        (folder / f"{number}.txt").write_text("".join(f"{n:032x}\n" for n in [0xFFFF, *uids]))
        steps += (
            f"\n- exclude: {{name: out{number}, list: {folder}/{number}.txt, on: uid, gaps: true}}"
        )
    plan = make_plan(
        folder / output,
        folder / "in/*.tar",
        f"{steps}\n{WRITE.replace('FORMAT', kind)}",
        part_samples=8,
    )
    events: list[Event] = []
    run_here(plan, [events.append])
    written = [
        event.task
        for event in events
        if isinstance(event, TaskDone) and (event.step, event.phase) == ("write", "shards")
    ]
    return folder / output, written


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_only_the_shards_that_held_them_are_written_again(folder: Path, kind: str) -> None:
    root, written = run(folder, [[]], "run", kind)
    assert len(written) == 9
    before = contents(root / "shards")
    root, written = run(folder, [[3, 22, 23]], "run", kind)
    after = contents(root / "shards")
    changed = {name.split(".")[0].split("_")[0] for name in before if after[name] != before[name]}
    assert changed == {"00000", "00003"}
    assert set(after) == set(before)
    # A shard with a part of one that held them is looked at again, and is the same.
    assert len(written) < 6
    rows = {int(row["uid"], 16): row for row in ledger(root)}
    assert [n for n, row in rows.items() if not row["kept"]] == [3, 22, 23]
    assert {rows[n]["reason"] for n in (3, 22, 23)} == {"excluded"}
    assert {rows[n]["shard_key"] for n in (3, 22, 23)} == {None}
    assert rows[4]["shard_key"] == "000000003"
    assert subset_uids(root) == sorted(row["uid"] for row in rows.values() if row["kept"])
    assert list(verify(open_run(str(root)), Seen(), deep=True)) == []


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_whatever_is_taken_out_the_rest_stays_where_it_was(folder: Path, kind: str) -> None:
    """By several lists, one after another; whole shards, parts and files too. From scratch it is the same."""
    draw = random.Random(5)
    whole, _ = run(folder, [[]], "whole", kind)
    stood = {row["uid"]: row["shard_key"] for row in ledger(whole)}
    first = [*range(15, 31), *draw.sample(range(1, COUNT), 5)]
    second = draw.sample(range(1, COUNT), 9)
    for lists in ([first], [first, second], [[], second], [range(2, COUNT + 1)]):
        root, _ = run(folder, lists, "run", kind)
        gone = {f"{n:032x}" for uids in lists for n in uids}
        rows = ledger(root)
        assert {row["uid"] for row in rows if not row["kept"]} == gone
        for row in rows:
            assert row["shard_key"] == (None if row["uid"] in gone else stood[row["uid"]])
        sidecars = [pq.read_table(path) for path in sorted((root / "shards").glob("*.parquet"))]
        held = {
            uid: key
            for table in sidecars
            for uid, key in zip(*(table[name].to_pylist() for name in ("uid", "key")), strict=True)
        }
        assert held == {uid: key for uid, key in stood.items() if uid not in gone}
        assert len(np.load(root / "subset.npy")) == COUNT - len(gone)
        assert list(verify(open_run(str(root)), Seen(), deep=True)) == []
        scratch, _ = run(folder, lists, f"scratch-{len(gone)}", kind)
        for name in ("shards", "ledger", "ledger_index", "manifest"):
            assert contents(root / name) == contents(scratch / name), name


def test_gaps_are_left_by_the_last_steps_alone(folder: Path) -> None:
    (folder / "0.txt").write_text("00\n")
    steps = f"""
- signals: [words]
- exclude: {{list: {folder}/0.txt, on: uid, gaps: true}}
- rules: {{words: {{min: 1}}}}
- write"""
    with pytest.raises(JobError, match="right before `write`, and rules comes after it"):
        run_here(make_plan(folder / "run", folder / "in/*.tar", steps))
