"""Part files: whole or not at all, digests that follow the content, and no flipped bit that goes unnoticed."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files, writing
from tamis.pipeline.tables.part_files import DamagedTableError, TableFile
from tamis.schemas.errors import StorageError


def sample(rows: int, seed: int = 0) -> pa.Table:
    """Every kind of column that the tables have."""
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "row": pa.array(range(rows), pa.uint32()),
            "x": random.random(rows),
            "text": [f"caption {i % 7}" for i in range(rows)],
            "failed": [["a", "b"] if i % 3 else None for i in range(rows)],
            "vector": pa.array([random.bytes(8) for _ in range(rows)], pa.binary(8)),
        }
    )


def write(root: Path, groups: list[pa.Table], fingerprint: str = "f") -> TableFile:
    notes = {"counts": {"a": 1}}
    return writing.write(str(root), "t/a.parquet", fingerprint, groups, lambda: notes)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    groups = [sample(9), sample(9).slice(0, 0), sample(5, seed=1)]
    file = write(tmp_path, groups)
    assert (file.path, file.fingerprint, file.rows) == ("t/a.parquet", "f", (9, 0, 5))
    assert file.bytes == (tmp_path / "t/a.parquet").stat().st_size
    for number, group in enumerate(groups):
        assert part_files.read(str(tmp_path), file.slice(number)).equals(group)
        assert file.slice(number).rows == group.num_rows
    assert part_files.read(str(tmp_path), file.slice()).equals(pa.concat_tables(groups))
    some = part_files.read(str(tmp_path), file.slice(2), ["x", "row"])
    assert some.to_pydict() == groups[2].select(["x", "row"]).to_pydict()
    pieces = [file.slice(2), file.slice(0)]
    joined = pa.concat_tables([groups[2], groups[0]])
    assert part_files.concat(str(tmp_path), pieces).equals(joined)


@given(st.data())
def test_numbers_that_are_stored_as_differences_come_back(data: st.DataObject) -> None:
    """Whatever they are: a column of a user may have any of these names."""
    kinds = (pa.int8(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64())
    kind = data.draw(st.sampled_from(kinds))
    least, most = (0 if pa.types.is_unsigned_integer(kind) else -1), 1 << kind.bit_width
    least, most = (0, most - 1) if least == 0 else (-(most // 2), most // 2 - 1)
    values = st.lists(st.none() | st.integers(least, most), max_size=9)
    names = sorted(writing.ASCENDING)
    groups = [
        pa.table({name: pa.array(rows, kind) for name in names})
        for rows in data.draw(st.lists(values, min_size=1, max_size=3))
    ]
    with tempfile.TemporaryDirectory() as root:
        file = write(Path(root), groups)
        assert part_files.read(root, file.slice()).equals(pa.concat_tables(groups))


def test_rows_in_order_take_hardly_any_bytes(tmp_path: Path) -> None:
    rows = np.cumsum(np.random.default_rng(0).integers(1, 20, 100_000))
    table = pa.table({"sid": rows, "row": rows.astype(np.uint32), "preference": np.ones(len(rows))})
    assert write(tmp_path, [table]).bytes < 2 * len(rows)


def test_the_footer_gives_the_same_record(tmp_path: Path) -> None:
    file = write(tmp_path, [sample(9), sample(5)])
    assert part_files.inspect(str(tmp_path), file.path, file.bytes) == file
    assert TableFile.from_json(file.to_json()) == file


def test_a_footer_is_kept_for_its_own_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other content under the same name and fingerprint, read group by group."""
    monkeypatch.setattr(part_files, "MANY_GROUPS", 2)
    part_files._footers.clear()
    for seed in range(9):
        groups = [sample(9, seed), sample(5 + seed, seed)]
        file = write(tmp_path, groups)
        for _ in range(2):
            for number, group in enumerate(groups):
                assert part_files.read(str(tmp_path), file.slice(number)).equals(group)
        if seed == 3:  # four files: no more are kept from here on
            monkeypatch.setattr(part_files._footers, "most", part_files._footers._together)
    assert 1 <= len(part_files._footers) <= 5


def test_other_programs_read_the_files(tmp_path: Path) -> None:
    file = write(tmp_path, [sample(9)])
    assert pq.read_table(tmp_path / file.path).equals(sample(9))


def test_a_digest_is_of_its_own_row_group(tmp_path: Path) -> None:
    file = write(tmp_path, [sample(9, 0), sample(9, 1), sample(9, 2)])
    again = write(tmp_path, [sample(9, 0), sample(9, 1), sample(9, 2)], fingerprint="other")
    assert again.groups == file.groups
    assert again.digest == file.digest
    changed = write(tmp_path, [sample(9, 0), sample(9, 7), sample(9, 2)])
    same = [a == b for a, b in zip(file.groups, changed.groups, strict=True)]
    assert same == [True, False, True]
    assert changed.digest != file.digest
    longer = write(tmp_path, [sample(9, 0), sample(500, 7), sample(9, 2)])  # so that others move
    assert longer.groups[::2] == file.groups[::2]


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a", [sample(9), sample(5)])
    write(tmp_path / "b", [sample(9), sample(5)])
    name = "t/a.parquet"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def broken(groups: int) -> Iterator[pa.Table]:
    for number in range(groups):
        yield sample(1000, number)
    raise RuntimeError("the task failed")


@pytest.mark.parametrize("groups", [0, 1, 3])
def test_a_task_that_fails_leaves_nothing(groups: int, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the task failed"):
        writing.write(str(tmp_path), "t/a.parquet", "f", broken(groups), dict)
    assert list(tmp_path.rglob("*.*")) == []


def test_a_task_that_fails_leaves_what_stood_there(tmp_path: Path) -> None:
    file = write(tmp_path, [sample(9)])
    before = (tmp_path / file.path).read_bytes()
    with pytest.raises(RuntimeError, match="the task failed"):
        writing.write(str(tmp_path), file.path, "g", broken(2), dict)
    assert (tmp_path / file.path).read_bytes() == before
    assert os.listdir(tmp_path / "t") == ["a.parquet"]


def test_no_row_group_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"t/a.parquet: no row group: a part without rows"):
        write(tmp_path, [])
    assert list(tmp_path.rglob("*.*")) == []


def test_no_flipped_bit_changes_a_table_unnoticed(tmp_path: Path) -> None:
    """Each byte of a file in turn: what is read is damaged, or what was written; never anything else."""
    groups = [sample(30).select(["row", "text"]), sample(6).select(["row", "text"])]
    file = write(tmp_path, groups)
    path = tmp_path / file.path
    raw = path.read_bytes()
    pages_end = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    noticed = {"pages": 0, "footer": 0}
    for position in range(len(raw)):
        flipped = bytearray(raw)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        assert part_files.inspect(str(tmp_path), file.path, len(raw)) in (None, file)
        try:
            assert part_files.read(str(tmp_path), file.slice()).equals(pa.concat_tables(groups))
        except DamagedTableError:
            noticed["pages" if position < pages_end else "footer"] += 1
    assert noticed["pages"] > 0.8 * pages_end  # the rest says the same another way
    assert noticed["footer"] > 0


@pytest.mark.parametrize("size", [0, 3, 100, -1])
def test_a_file_cut_short_or_gone_is_damaged(size: int, tmp_path: Path) -> None:
    file = write(tmp_path, [sample(40)])
    path = tmp_path / file.path
    if size < 0:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DamagedTableError, match=r"t/a.parquet"):
        part_files.read(str(tmp_path), file.slice(0))
    assert part_files.inspect(str(tmp_path), file.path, max(size, 0)) is None


def test_another_programs_file_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    pq.write_table(sample(9), tmp_path / "t/a.parquet")
    assert part_files.inspect(str(tmp_path), "t/a.parquet", 1) is None


def test_no_file_is_read_by_threads_that_outlive_python() -> None:
    """``pq.read_table`` hands our file to Arrow's own threads: one that still holds it when Python ends aborts it."""
    root = Path(__file__).parents[2]
    sources = [path for room in ("jobs", "pipeline") for path in (root / room).rglob("*.py")]
    assert len(sources) > 100
    assert [path.name for path in sources if "pq.read_table(" in path.read_text()] == []


def test_a_file_that_cannot_be_closed_hinders_no_later_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a store's may: the error is told once, all others are closed, and the process goes on."""

    class Failing(io.FileIO):
        def close(self) -> None:
            was_open = not self.closed
            super().close()
            if was_open:
                raise StorageError("it does not close")

    opened: list[Failing] = []

    def open_table(path: str, *_: object) -> Failing:
        opened.append(Failing(path))
        return opened[-1]

    file = write(tmp_path, [sample(9), sample(5)])
    monkeypatch.setattr(storage, "open_table", open_table)
    for _ in range(2):
        with pytest.raises(StorageError, match="does not close"), part_files.kept_open():
            assert part_files.read(str(tmp_path), file.slice(0)).equals(sample(9))
    assert len(opened) == 2
    assert all(raw.closed for raw in opened)
