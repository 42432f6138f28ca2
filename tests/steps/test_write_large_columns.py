"""Columns of an input may be of any size: `write` holds some of their values at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.steps.write import columns, sidecar
from tests.conftest import ROOT
from tests.support.input_files import ingest, source
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

ROWS, ESSAY = 1500, 1 << 19
ALLOWED = 1100 << 20
"""Bytes that a run may take beyond what its process has at first: 70 to 880 MB were seen, as the allocator gives memory
back or not, and 1,600 and 1,800 of one that held the columns.
"""

STEPS = "\n- signals: [words]\n- rules: {words: {min: 1}}\n- write: {format: FORMAT}"

PROGRAM = """
import sys
from tests.support.running import make_plan, run_here
def most():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
before = most()
run_here(make_plan(sys.argv[1], sys.argv[2], sys.argv[3]))
print(most() - before)
"""


def essay(number: int) -> str:
    """A long text that takes little on a disk, and is another for each sample."""
    return f"{number} " * (ESSAY // 8)


def write_essays(path: Path, rows: int, *, with_pictures: bool) -> None:
    """Rows in one row group, each with a long text in a column of its own."""
    table: dict[str, list[Any]] = {
        "text": [f"caption {n}" for n in range(rows)],
        "essay": [essay(n) for n in range(rows)],
    }
    if with_pictures:
        table["image"] = [picture(n) for n in range(rows)]
    pq.write_table(
        pa.table(table), path, compression="zstd", use_dictionary=False, write_batch_size=8
    )


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "webdataset"])
def test_a_part_of_large_texts_takes_little_memory(form: str, tmp_path: Path) -> None:
    write_essays(tmp_path / "x.parquet", ROWS, with_pictures=form == "webdataset")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "run"), str(tmp_path / "x.parquet"),
         STEPS.replace("FORMAT", form)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]
    assert int(done.stdout) < ALLOWED
    with pq.ParquetFile(tmp_path / "run/shards/00000.parquet") as file:
        assert file.metadata.num_rows == ROWS
        (first,) = file.read_row_group(0, ["essay"])["essay"].slice(0, 1).to_pylist()
        assert first == essay(0)
        last = file.read_row_group(file.num_row_groups - 1, ["essay"])["essay"]
        assert last[-1].as_py() == essay(ROWS - 1)


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
@pytest.mark.parametrize("own_bytes", [1, 2000, 1 << 30])
def test_pieces_lose_no_sample(
    form: str, own_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large a piece is: the samples, their pictures and their columns are those of the input, in order."""
    monkeypatch.setattr(columns, "PIECE_BYTES", own_bytes)
    monkeypatch.setattr(sidecar, "TABLE_BYTES", own_bytes)
    for number in range(2):
        rows = range(number * 50, number * 50 + 37)
        table = pa.table(
            {
                "image": [picture(n) for n in rows],
                "text": [f"caption {n}" for n in rows],
                "essay": [f"{n} " * n for n in rows],
            }
        )
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=5)
    steps = f"\n- signals: [words]\n- rules: {{words: {{min: 1}}}}\n- write: {{format: {form}, samples_per_shard: 30}}"
    run_here(make_plan(tmp_path / "run", tmp_path / "*.parquet", steps, part_samples=11))
    numbers = [*range(37), *range(50, 87)]
    found = pa.concat_tables(
        pq.read_table(path) for path in sorted((tmp_path / "run/shards").glob("*.parquet"))
    )
    assert found["essay"].to_pylist() == [f"{n} " * n for n in numbers]
    assert found["caption"].to_pylist() == [f"caption {n}" for n in numbers]
    if form == "parquet":
        assert found["image"].to_pylist() == [picture(n) for n in numbers]
        return
    members: dict[str, dict[str, bytes]] = {}
    for path in sorted((tmp_path / "run/shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                key, _, suffix = info.name.partition(".")
                file = tar.extractfile(info)
                assert file is not None
                members.setdefault(key, {})[suffix] = file.read()
    assert list(members) == found["key"].to_pylist()
    assert [one["png"] for one in members.values()] == [picture(n) for n in numbers]
    essays = [json.loads(one["json"])["essay"] for one in members.values()]
    assert essays == [f"{n} " * n for n in numbers]


def test_long_texts_that_stand_together_are_read_in_small_batches(tmp_path: Path) -> None:
    """Among a great many short ones, whose mean says nothing of them."""
    texts = ["x" * (1 << 18) if n < 300 else "short" for n in range(20_000)]
    table = pa.table({"text": ["a caption"] * len(texts), "essay": texts})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd", use_dictionary=False)
    file = source(tmp_path / "x.parquet")
    (rows, *_) = ingest(tmp_path / "x.parquet")
    sizes = [(one.num_rows, one.nbytes) for one in format_of(file).own(file, rows, ["essay"])]
    assert sum(count for count, _ in sizes) == rows.num_rows
    assert max(size for _, size in sizes) <= 65 << 20


def test_inputs_without_a_column_that_is_asked_for_keep_their_samples(tmp_path: Path) -> None:
    samples = [Sample(f"k{n}", picture(n), f"caption {n}", {"other": n}) for n in range(7)]
    write_tar(tmp_path / "0.tar", samples)
    table = pa.table({"image": [picture(99)], "text": ["the last"], "essay": [5], "other": [1]})
    pq.write_table(table, tmp_path / "1.parquet")
    steps = "\n- signals: [words]\n- rules: {words: {min: 1}}\n- write: {columns: essay}"
    run_here(make_plan(tmp_path / "run", tmp_path / "*", steps, part_samples=3))
    found = pq.read_table(tmp_path / "run/shards/00000.parquet")
    assert found["essay"].to_pylist() == [None] * 7 + [5]
    assert found["caption"].to_pylist() == [*(f"caption {n}" for n in range(7)), "the last"]
    with tarfile.open(tmp_path / "run/shards/00000.tar") as tar:
        assert len({name.partition(".")[0] for name in tar.getnames()}) == 8


def test_what_many_tables_hold_is_added_up_with_one_look_at_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A shard may take the rows of a thousand parts, and each look walks all buffers of a table."""
    looks: list[int] = []

    class Table:
        """Of ten bytes, and more by a million at every seventh."""

        @property
        def nbytes(self) -> int:
            looks.append(0)
            return 10 if len(looks) % 7 else 1_000_000

    monkeypatch.setattr(columns, "_joined", list)
    made: list[Any] = [*columns.gathered(iter([Table() for _ in range(1000)]), 1_000_000)]
    assert [len(tables) for tables in made] == [*[7] * 142, 6]
    assert len(looks) == 1000
