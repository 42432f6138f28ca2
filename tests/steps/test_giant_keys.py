"""One uid or one caption under more samples than a task holds is read in passes; the bounds are so small here that tens
are many.
"""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.grouping.buckets import Limits
from tamis.pipeline.steps import ingest
from tamis.pipeline.steps.duplicates import grouping
from tamis.pipeline.steps.duplicates.near_captions import giants
from tamis.pipeline.steps.ingest import Starts, unique
from tamis.pipeline.tables import part_files, paths, writing
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.scope import Scope
from tamis.schemas.tables import UID
from tests.support import duplicates
from tests.support.pictures import encode, noise
from tests.support.running import Sample, contents, ledger, make_plan, run_here, write_tar
from tests.support.tables import files, small_bundles, table

HELD = 20
"""Samples of a bucket that are held at once."""


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=5),
    st.sets(st.integers(1, 60), max_size=4),
    st.integers(1, 30),
)
def test_uids_in_passes_are_the_uids_at_once(
    drawn: list[tuple[int, bool]], cuts: list[int], starts: set[int], held: int
) -> None:
    """However the rows are cut into pieces, ranges and batches. One uid may have them all."""
    rows = pa.table(
        {
            "uid": pa.array([bytes([uid]) * 16 for uid, _ in drawn], UID),
            "sid": np.arange(len(drawn)),
            "usable": [usable for _, usable in drawn],
        }
    )
    edges = sorted({0, *cuts, len(drawn)} & set(range(len(drawn) + 1)))
    with TemporaryDirectory() as root:
        pieces = [rows.slice(a, b - a) for a, b in pairwise(edges)]
        path = paths.table("ingest", "uids", "bundle-00000")
        file = writing.write(root, path, "0" * 32, pieces, dict)
        slices = [file.slice(group) for group in range(len(pieces))]
        task = Task(Scope.BUCKET, 0, {"uids": slices}, Starts([0, *sorted(starts)]))
        ios = [TaskIo(root, task, "none") for _ in range(2)]
        at_once = list(unique(ios[0]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ingest, "HELD_ROWS", held)
            in_passes = list(unique(ios[1]))
    assert ios[0].counts == ios[1].counts
    assert len(at_once) == len(in_passes) == 1 + len(starts)
    for one, other in zip(at_once, in_passes, strict=True):
        assert one.sort_by("sid").equals(other.sort_by("sid").combine_chunks())


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Bundles of three parts, and edges that no task holds together, so that partitions decide."""
    small_bundles(monkeypatch, 3)
    monkeypatch.setattr(grouping, "EDGES", 10)
    monkeypatch.setattr(grouping, "PARTITION", 40)
    return monkeypatch


def in_passes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(giants, "HELD_ROWS", HELD)
    patch.setattr(giants, "HELD_VECTORS", HELD)


def captions(draw: random.Random) -> list[str]:
    """One caption under half of all samples, one under a quarter, like the first; and others, some alike."""
    first = "a wooden boat on a quiet lake in the early morning light"
    others = [
        f"a very different drawing of the thing number {draw.randrange(25)}" for _ in range(40)
    ]
    made = [first] * 80 + [f"{first}s"] * 40 + others
    draw.shuffle(made)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("group", ["leader", "chain"])
def test_a_caption_under_most_samples_is_decided_as_in_one_memory(
    group: str, tmp_path: Path, passes: pytest.MonkeyPatch
) -> None:
    draw = random.Random(3)
    made = captions(draw)
    uids = [f"{draw.getrandbits(128):032x}" for _ in made]
    pq.write_table(pa.table({"uid": uids, "text": made}), tmp_path / "a.parquet")
    steps = f"  - near_duplicates: {{agree: none, group: {group}}}"

    def verdict(name: str) -> dict[str, bytes]:
        plan = make_plan(tmp_path / name, tmp_path / "a.parquet", steps, part_samples=9)
        run_here(plan)
        return contents(tmp_path / name / "ledger")

    whole = verdict("whole")
    in_passes(passes)
    assert verdict("passes") == whole
    groups = [
        pq.ParquetFile(path).num_row_groups
        for path in (tmp_path / "passes/tables/near_duplicates/equal").glob("bucket-*.parquet")
    ]
    assert max(groups) > 2  # a giant's shares
    assert (tmp_path / "passes/tables/near_duplicates/round-00").is_dir() == (group == "leader")


def pairs(folder: Path) -> list[Path]:
    """Two tars whose samples have one of two captions, and one of 12 pictures or a copy of it."""
    draw = random.Random(5)
    seen = [encode(noise(seed=seed)) for seed in range(12)]
    made = captions(draw)[:120]
    samples = [
        Sample(f"{i:04d}", draw.choice(seen), text, {"uid": f"{draw.getrandbits(128):032x}"})
        for i, text in enumerate(made)
    ]
    return [
        write_tar(folder / f"{number}.tar", samples[60 * number : 60 * number + 60])
        for number in range(2)
    ]


def run_pairs(folder: Path, name: str) -> list[dict[str, Any]]:
    steps = "  - near_duplicates: {agree: phash}"
    run_here(make_plan(folder / name, folder / "*.tar", steps, part_samples=9))
    return ledger(folder / name)


@pytest.mark.slow
def test_where_pictures_must_agree_too_and_all_of_a_caption_lead(
    tmp_path: Path, passes: pytest.MonkeyPatch
) -> None:
    pairs(tmp_path)
    whole = run_pairs(tmp_path, "whole")
    in_passes(passes)
    assert run_pairs(tmp_path, "passes") == whole
    assert sum(not row["kept"] for row in whole) > 60


@pytest.mark.slow
def test_pictures_that_do_not_lead_are_compared_with_the_leaders_and_their_equals(
    tmp_path: Path, passes: pytest.MonkeyPatch
) -> None:
    """Whoever falls is alike to its survivor; of equal pairs one stays; what may be missed is counted."""
    pairs(tmp_path)
    whole = run_pairs(tmp_path, "whole")
    in_passes(passes)

    class Few(Limits):
        first = 2

    passes.setattr(giants, "Limits", Few)
    rows = run_pairs(tmp_path, "passes")
    a, b = duplicates.alike_captions([row["text"] for row in rows], 0.8)
    alike = {frozenset((rows[i]["uid"], rows[j]["uid"])) for i, j in zip(a, b, strict=True)}
    kept = {row["uid"] for row in rows if row["kept"]}
    for row in rows:
        if not row["kept"]:
            assert frozenset((row["uid"], row["survivor_uid"])) in alike
            assert row["survivor_uid"] in kept
    pictures = {row["uid"]: row["sha256"] for row in ingested(tmp_path / "passes")}
    same = [(row["text"], pictures[row["uid"]]) for row in rows if row["kept"]]
    assert len(set(same)) == len(same)
    assert len(kept) >= sum(row["kept"] for row in whole)
    assert counted(tmp_path / "passes") > counted(tmp_path / "whole") == 0


def ingested(run: Path) -> list[dict[str, Any]]:
    found = table(run, "ingest", "files").select(["uid", "sha256"]).to_pylist()
    return [{"uid": row["uid"].hex(), "sha256": row["sha256"]} for row in found]


def counted(run: Path) -> int:
    """Samples that the edges' files say may have pairs that were not compared."""
    found = 0
    for path in files(run, "near_duplicates", "equal"):
        record = part_files.inspect(str(run), str(path.relative_to(run)), path.stat().st_size)
        assert record is not None
        found += record.notes["counts"].get("unsearched", 0)
    return found
