"""Want of memory drops no row and loses no table: it is told as what it is, and the work is tried again or split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import ImageFile

from tamis.pipeline.inputs import images
from tamis.pipeline.inputs.formats import VALUE_COLUMNS, format_of
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.parquet.file import InputParquet
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.store.damage import lacks_memory
from tamis.pipeline.tables import part_files, writing
from tests.support.input_files import source
from tests.support.running import picture

WANTS: list[Callable[[], Exception]] = [
    lambda: pa.ArrowMemoryError("malloc of size 99 failed"),
    lambda: OSError("Couldn't deserialize thrift: std::bad_alloc"),
    lambda: OSError("realloc of size 1610989568 failed"),
    MemoryError,
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    table = pa.table({"image": [picture(n) for n in range(4)], "text": ["two words"] * 4})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    return tmp_path / "a.parquet"


@pytest.mark.parametrize("want", WANTS)
@pytest.mark.parametrize("call", ["of_leaves", "__init__"])
def test_no_row_is_unreadable_for_it(path: Path, want: Callable[[], Exception], call: str) -> None:
    def fail(*_: Any, **__: Any) -> Iterator[Any]:
        raise want()

    file = source(path)
    (table,) = ingest_file(file, IngestOptions())
    readers: list[Callable[[], object]] = [
        lambda: list(ingest_file(file, IngestOptions())),
        lambda: list(format_of(file).pictures(file, table)),
        lambda: format_of(file).values(file, table.select(VALUE_COLUMNS), {"text": pa.string()}),
    ]
    owner = pq.ParquetFile if call == "__init__" else InputParquet
    for read in readers:
        with patch.object(owner, call, fail), pytest.raises(MemoryError):
            assert read()


@pytest.mark.parametrize("want", WANTS)
def test_no_table_is_damaged_for_it(tmp_path: Path, want: Callable[[], Exception]) -> None:
    file = writing.write(str(tmp_path), "t.parquet", "f", [pa.table({"a": [1]})], dict)

    def fail(*_: Any, **__: Any) -> Any:
        raise want()

    asked: list[Callable[[], object]] = [
        lambda: part_files.read(str(tmp_path), file.slice()),
        lambda: part_files.inspect(str(tmp_path), "t.parquet", file.bytes),
        lambda: part_files.is_sound(str(tmp_path), file),
    ]
    for ask in asked:
        with (
            patch.object(pq, "read_metadata", fail),
            patch.object(part_files, "ParquetFile", fail),
            pytest.raises(MemoryError),
        ):
            ask()


def test_no_picture_is_undecodable_for_it() -> None:
    def fail(*_: Any) -> None:
        raise ImageFile._get_oserror(-9, encoder=False)

    data = picture(1)
    with patch.object(ImageFile.ImageFile, "load", fail), pytest.raises(MemoryError):
        images.inspect(data)


def test_other_errors_are_no_want_of_it() -> None:
    for error in (OSError("broken data stream"), ValueError("bad"), pa.ArrowInvalid("no magic")):
        assert not lacks_memory(error)
