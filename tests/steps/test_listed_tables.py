"""Lists and tables that steps compare with, of every odd kind: read as they stand, or refused in one line."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.inputs.parquet.file import InputParquet
from tamis.pipeline.steps.exclude.entries import Listing, check_first, text_key
from tamis.pipeline.steps.exclude.entries import read as read_list
from tamis.pipeline.steps.selectors.quotas import groups
from tamis.pipeline.steps.shared import cell_tables
from tamis.pipeline.steps.shared.caption_files import captions
from tamis.schemas.errors import InputError, StorageError, TamisError
from tests.support.excluding import left_out, run

UUID = "0000000a-0000-0000-0000-00000000000b"


def bad_utf8(kind: pa.DataType = pa.string()) -> pa.Array:  # noqa: B008 - a constant
    lengths = pa.array([0, 3, 5], pa.int64() if kind == pa.large_string() else pa.int32())
    return pa.Array.from_buffers(
        kind, 2, [None, lengths.buffers()[1], pa.py_buffer(b"fin\xff\xfe")]
    )


TABLES: dict[str, pa.Table] = {
    "text that is not UTF-8": pa.table({"NAME": bad_utf8()}),
    "large text that is not UTF-8": pa.table({"NAME": bad_utf8(pa.large_string())}),
    "bytes": pa.table({"NAME": pa.array([b"\xff"], pa.binary())}),
    "numbers": pa.table({"NAME": [1.5]}),
    "dates": pa.table({"NAME": pa.array([0], pa.date32())}),
    "lists": pa.table({"NAME": [["a"]]}),
    "structs": pa.table({"NAME": [{"a": 1}]}),
    "twice": pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["NAME", "NAME"]),
    "another name": pa.table({"\x1b[31mother\u202e": ["a"]}),
    "no column": pa.table({}),
}
DAMAGED = {"nothing": b"", "no table": b"PAR1junkPAR1", "HTML": b"<html>" * 99}


def write(path: Path, kind: str, name: str) -> Path:
    if kind in DAMAGED:
        path.write_bytes(DAMAGED[kind])
    else:
        table = TABLES[kind]
        named = [name if column == "NAME" else column for column in table.column_names]
        pq.write_table(table.rename_columns(named), path)
    return path


def exclude(path: Path, on: Any) -> None:
    check_first(
        Listing(sha256="", on=on, column=None, reveal=True, shown="the list", path=str(path))
    )


def exclude_all(path: Path, on: Any) -> None:
    for _ in cell_tables.cells(str(path), "the list", lambda names: names[:1]):
        pass
    exclude(path, on)


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a list of captions": ("caption", lambda path: exclude_all(path, "caption")),
    "a list of addresses": ("url", lambda path: exclude_all(path, "url")),
    "a list of uids": ("uid", lambda path: exclude_all(path, "uid")),
    "a target of captions": ("text", lambda path: list(captions(str(path), None))),
    "weights": (
        "weight",
        lambda path: groups.file_weights(str(path), pa.table({"level_0": ["a"]}), ["weight"]),
    ),
}


@pytest.mark.parametrize("kind", [*TABLES, *DAMAGED])
@pytest.mark.parametrize("reader", READERS)
def test_odd_parquet(reader: str, kind: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    with pytest.raises(InputError) as told:
        read(write(tmp_path / "list.parquet", kind, name))
    assert "\n" not in str(told.value)
    assert "object has no attribute" not in str(told.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["memory", "arrow's memory", "disk", "access"])
def test_what_the_machine_lacks_is_no_damage_of_a_list(
    reader: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: dict[str, Exception] = {
        "memory": MemoryError("no memory"),
        "arrow's memory": pa.ArrowMemoryError("realloc of size 99 failed"),
        "disk": OSError(errno.EIO, "Input/output error"),
        "access": PermissionError(errno.EACCES, "Permission denied"),
    }

    def fail(*_: object, **__: object) -> None:
        raise raised[kind]

    name, read = READERS[reader]
    pq.write_table(pa.table({name: ["a"]}), tmp_path / "list.parquet")
    monkeypatch.setattr(InputParquet, "iter_batches", fail)
    with pytest.raises((MemoryError, StorageError)):
        read(tmp_path / "list.parquet")


def test_a_list_that_unfolds_to_much_is_read_a_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = "x" * 1_000_000
    folded = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int32()), pa.array([value]))
    pq.write_table(pa.table({"caption": folded}), tmp_path / "list.parquet")
    assert (tmp_path / "list.parquet").stat().st_size < 100_000
    sizes = [
        len(batch)
        for (batch,) in cell_tables.cells(f"{tmp_path}/list.parquet", "it", lambda names: names)
    ]
    assert sum(sizes) == 400
    assert max(sizes) <= 40


def test_a_uid_with_dashes_is_a_uid(tmp_path: Path) -> None:
    for path in (tmp_path / "l.txt", tmp_path / "l.parquet"):
        if path.suffix == ".txt":
            path.write_text(f"{UUID}\n{UUID.replace('-', '').upper()}\n")
        else:
            pq.write_table(pa.table({"uid": [UUID]}), path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        listing = Listing(
            sha256=sha256, on="uid", column=None, reveal=True, shown="it", path=str(path)
        )
        (key,) = read_list(listing)["key"].to_pylist()
        assert key.hex() == UUID.replace("-", "")


def test_entries_of_odd_kinds_are_left_out_where_they_fit(tmp_path: Path) -> None:
    texts = pa.array(["caption no 2", None, "", "caption no 5"], pa.string_view())
    pq.write_table(pa.table({"caption": texts}), tmp_path / "my.parquet")
    assert left_out(run(tmp_path, f"{{list: {tmp_path}/my.parquet, on: caption}}")) == [2, 5]
    assert len(text_key("\ud800")) == 16


CSVS = {
    "UTF-16": "a,weight\nx,1".encode("utf-16"),
    "a cell without bound": b"a,weight\n" + b"x" * 200_000 + b",1\n",
    "an open quote": b'a,weight\n"x,1\n',
    "a column twice": b"a,a,weight\nx,y,1\n",
    "a row that is longer": b"a,weight\nx,1,2\n",
    "a row that is shorter": b"a,weight\nx\n",
    "semicolons": b"a;weight\nx;1\n",
    "a name that commands a terminal": b"\x1b[31ma,weight\nx,1\n",
    "no number": b"a,weight\nx,nan\n",
    "a negative number": b"a,weight\nx,-1\n",
    "no end": b"a,weight\nx,inf\n",
    "a group twice": b"a,weight\nx,1\nx,1\n",
    "no group": b"a,weight\ny,1\n",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", CSVS)
def test_odd_weights(kind: str, tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_bytes(CSVS[kind])
    with pytest.raises(TamisError) as told:
        groups.file_weights(f"{tmp_path}/w.csv", pa.table({"level_0": ["x"]}), ["a"])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("begins", ["", "\ufeff"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_weights_and_captions_of_any_editor(begins: str, ends: str, tmp_path: Path) -> None:
    text = begins + ends.join(["a,weight", "x,1.5", '"y, or z",0', ""])
    (tmp_path / "w.csv").write_bytes(text.encode())
    wanted = pa.table({"level_0": ["x", "y, or z"]})
    assert groups.file_weights(f"{tmp_path}/w.csv", wanted, ["a"]).tolist() == [1.5, 0]
    lines = begins + ends.join(["one", " ", "two "])
    (tmp_path / "t.txt").write_bytes(lines.encode())
    assert list(captions(f"{tmp_path}/t.txt", None)) == [["one", "two"]]
