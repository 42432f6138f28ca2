"""What form the result has: tars where the input has pictures, else a parquet subset; whether embeddings came along
or not."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.planning.preview import preview
from tamis.schemas.errors import JobError, StateError
from tests.support.bad_inputs import members
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

STEPS = """
  - signals: [words]
  - rules: {words: {min: 2}}
  - write"""
WRITE = "  - write"
TARS = f"{STEPS}: {{format: webdataset}}"


def metadata(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    columns = {"TEXT": ["two words", "one", "more words"], "URL": ["a", "b", "c"]}
    pq.write_table(pa.table(columns), folder / "meta.parquet")
    return folder


def tar(folder: Path) -> Path:
    write_tar(folder / "0.tar", [Sample("k", picture(1), "two words", {})])
    return folder


def test_metadata_without_embeddings_becomes_a_parquet_subset(tmp_path: Path) -> None:
    run_here(make_plan(tmp_path / "run", metadata(tmp_path / "in") / "*.parquet", STEPS))
    assert sorted(p.name for p in (tmp_path / "run/shards").iterdir()) == [
        "00000.parquet",
        "00000_stats.json",
    ]
    subset = pq.read_table(tmp_path / "run/shards/00000.parquet")
    assert subset["url"].to_pylist() == ["a", "c"]
    assert len(np.load(tmp_path / "run/subset.npy")) == 2


@pytest.mark.parametrize(("pattern", "steps"), [("*", STEPS), ("*.parquet", TARS)])
def test_what_has_no_pictures_is_not_put_into_tars(
    pattern: str, steps: str, tmp_path: Path
) -> None:
    folder = tar(metadata(tmp_path / "in"))
    with pytest.raises(JobError, match=r"write: input/meta.parquet has no pictures .* parquet`"):
        make_plan(tmp_path / "run", folder / pattern, steps)


def test_a_parquet_subset_may_be_of_both(tmp_path: Path) -> None:
    folder = tar(metadata(tmp_path / "in"))
    run_here(make_plan(tmp_path / "run", folder / "*", f"{STEPS}: {{format: parquet}}"))
    assert len(np.load(tmp_path / "run/subset.npy")) == 3


def test_plan_names_a_damaged_parquet(tmp_path: Path) -> None:
    (tmp_path / "0.parquet").write_bytes(b"no parquet")
    seen = preview(make_plan(tmp_path / "run", tmp_path / "0.parquet", WRITE))
    (note,) = seen["notes"]
    assert note.startswith("input/0.parquet cannot be read (")
    assert seen["samples"] is None
    with pytest.raises(JobError, match=r"input/0.parquet cannot be read: "):
        make_plan(tmp_path / "run", tmp_path / "0.parquet", STEPS)
    with pytest.raises(
        StateError, match=r"ingest: drops all 1 samples .*, 1 for unreadable_file, such as: Parquet"
    ):
        run_here(make_plan(tmp_path / "run", tmp_path / "0.parquet", WRITE))


@pytest.mark.parametrize(
    "damaged", [b"[" * 5000 + b"]" * 5000, b'{"n": ' + b"9" * 5000 + b"}", b"\xff"]
)
def test_a_json_member_that_cannot_be_read_is_written_as_it_came(
    damaged: bytes, tmp_path: Path
) -> None:
    """Signals would be added to its fields."""
    made = members(("k.png", picture(1)), ("k.txt", b"two words"), ("k.json", damaged))
    (tmp_path / "0.tar").write_bytes(made)
    steps = f"{STEPS}: {{json: signals}}"
    run_here(make_plan(tmp_path / "run", tmp_path / "0.tar", steps))
    with tarfile.open(tmp_path / "run/shards/00000.tar") as written:
        (member,) = [one for one in written if one.name.endswith(".json")]
        file = written.extractfile(member)
        assert file is not None
        assert file.read() == damaged
