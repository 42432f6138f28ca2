from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs import part_builder
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.parquet import file, rows
from tamis.pipeline.inputs.parquet.batches import unseen
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.tables import writing
from tests.support import rowwise
from tests.support.input_files import source

LIMIT = 40
"""Bytes of a caption."""

WORDS = [
    *(b"", b"a", b"two words", b" \t\r\n", b"\x00", b"\x1c\x1f", b"\x7f", b"x" * LIMIT, b"x" * (LIMIT + 1)),
    *(b"\xff\xfe", b"ends early \xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"x" * (1 << 18)),
    *(text.encode() for text in ("\u3000", "\x85\xa0\u2028", "\u3000漢字", "\u200b", "\U0001f600")),
    *("é".encode() * (LIMIT // 2), "é".encode() * (LIMIT // 2 + 1)),
]  # fmt: skip
UIDS = [b"0123456789abcdef" * 2, b"0123456789ABCDEF" * 2, b"a" * 31, b"g" * 32, b"0" * 32 + b"\n",
        b"12345678-1234-1234-1234-123456789abc", "\uff11".encode() * 32]  # fmt: skip
HASHES = [b"ab" * 32, b"AB" * 32, b"a" * 63, b"zz" * 32, b"ab" * 32 + b"\n"]
TEXT = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")


def _texts(values: Sequence[bytes | None], kind: str, encoded: bool) -> pa.Array:
    """Bytes as a column of ``kind``, whether or not they are UTF-8."""
    if kind == "null":
        return pa.nulls(len(values))
    if kind == "fixed":
        return pa.array(
            [None if value is None else value[:4].ljust(4) for value in values], pa.binary(4)
        )
    whole = pa.array(values, pa.binary())
    if encoded:
        packed = whole.dictionary_encode()
        dictionary = packed.dictionary
        return pa.DictionaryArray.from_arrays(
            packed.indices, dictionary.view(pa.string()) if "string" in kind else dictionary
        )
    kinds = {
        "string": pa.binary(),
        "large_string": pa.large_binary(),
        "string_view": pa.binary_view(),
    }
    return (
        whole.cast(kinds[kind]).view(getattr(pa, kind)())
        if kind in kinds
        else whole.cast(getattr(pa, kind)())
    )


@st.composite
def _text_columns(draw: st.DrawFn, size: int, more: Sequence[bytes]) -> pa.Array:
    """Mostly sound, for one cell that is no UTF-8 sends its whole batch the long way."""
    clean = st.sampled_from([b"plain", "größer".encode(), *more])
    cell = draw(st.sampled_from([clean, clean | st.none(), st.sampled_from([*WORDS, *more, None])]))
    values = draw(st.lists(cell, min_size=size, max_size=size))
    kind = draw(st.sampled_from([*TEXT, *TEXT, "null", "fixed"]))
    return _texts(values, kind, kind in ("string", "binary") and draw(st.booleans()))


@st.composite
def _number_columns(draw: st.DrawFn, size: int) -> pa.Array:
    whole = st.sampled_from([None, 0, 1, -1, 640, 2**31 - 1])
    wide = whole | st.sampled_from([2**31, 2**53 + 1, 2**63 - 1])
    real = wide | st.sampled_from(
        [0.5, -0.0, 7.5, 12.0, 2**31 - 0.5, 1e300, float("nan"), float("inf")]
    )
    cell, kind = draw(
        st.sampled_from(
            [
                *((whole, kind) for kind in (pa.int32(), pa.decimal128(12, 2), pa.timestamp("ns"), pa.null())),
                *((wide, pa.int64()), (real, pa.float64()), (st.none() | st.booleans(), pa.bool_())),
            ]
        )
    )  # fmt: skip
    values: list[Any] = draw(st.lists(cell, min_size=size, max_size=size))
    if pa.types.is_decimal(kind):
        values = [None if value is None else Decimal(value) for value in values]
    if pa.types.is_floating(kind):
        values = [None if value is None else float(value) for value in values]
    return pa.nulls(size) if kind == pa.null() else pa.array(values, kind)


@st.composite
def _tables(draw: st.DrawFn) -> pa.Table:
    size = draw(st.integers(0, 40))
    columns = {"text": draw(_text_columns(size, []))}
    names = {
        "url": _text_columns(size, [b"http://x"]) | _number_columns(size),
        "uid": _text_columns(size, UIDS) | _number_columns(size),
        "key": _text_columns(size, []) | _number_columns(size),
        "width": _number_columns(size) | _text_columns(size, [b"5"]),
        "height": _number_columns(size),
        "sha256": _text_columns(size, HASHES) | _number_columns(size),
    }
    for name in draw(st.sets(st.sampled_from(sorted(names)))):
        columns[name] = draw(names[name])
    return pa.table(columns)


@st.composite
def _files(draw: st.DrawFn) -> bytes:
    """A parquet file; of some, a few bytes of a column's pages are not what was written."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        draw(_tables()),
        sink,
        row_group_size=draw(st.integers(1, 20)),
        data_page_size=draw(st.sampled_from([1, 100, 1 << 20])),
        write_batch_size=draw(st.sampled_from([1, 4, 1024])),
        use_dictionary=draw(st.booleans()),
        compression=draw(st.sampled_from(["none", "zstd"])),
        write_page_checksum=draw(st.booleans()),
    )
    data = bytearray(sink.getvalue().to_pybytes())
    pages = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    if pages > 4 and draw(st.integers(0, 2)) == 0:
        for place in draw(st.lists(st.integers(4, pages - 1), max_size=3)):
            data[place] ^= 0x55
    return bytes(data)


@given(
    data=_files(),
    part_samples=st.integers(1, 30),
    batch_rows=st.integers(1, 16),
    part_bytes=st.sampled_from([1, 5, 25, 200, 64 << 20]),
)
def test_columns_come_to_what_rows_come_to(
    tmp_path_factory: pytest.TempPathFactory,
    data: bytes,
    part_samples: int,
    batch_rows: int,
    part_bytes: int,
) -> None:
    folder = tmp_path_factory.mktemp("columns")
    path = folder / "x.parquet"
    path.write_bytes(data)
    options = IngestOptions(part_samples, max_caption_bytes=LIMIT)
    with pytest.MonkeyPatch.context() as patch:
        for module in (rows, file):
            patch.setattr(module, "BATCH_ROWS", batch_rows)
        patch.setattr(part_builder, "MAX_PART_BYTES", part_bytes)
        found = list(ingest_file(replace(source(path), own_uids=False), options))
        due = rowwise.tables(source(path), options)
    assert [part.num_rows for part in found] == [part.num_rows for part in due]
    for part, other in zip(found, due, strict=True):
        part.validate(full=True)
        assert part.schema == other.schema
        assert part.to_pylist() == other.to_pylist()
    if due:
        assert _written(folder, "found", found) == _written(folder, "due", due)


def _written(folder: Path, name: str, parts: list[pa.Table]) -> tuple[str, ...]:
    """The digests of the parts' bytes in a part file."""
    return writing.write(str(folder), name, "", parts, dict).groups


def test_white_space_is_what_python_takes_for_it() -> None:
    assert set(unseen()) >= {c for c in map(chr, range(sys.maxunicode + 1)) if not c.strip()}
    assert "\u200b" in unseen()


def test_a_part_of_several_batches_has_the_bytes_of_one_table(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    text = [f"{number} " + "word " * (number % 60) for number in range(20_000)]
    pq.write_table(pa.table({"text": text, "url": text}), path)
    found = list(ingest_file(source(path), IngestOptions()))
    due = rowwise.tables(source(path), IngestOptions())
    assert _written(tmp_path, "found", found) == _written(tmp_path, "due", due)


def test_of_a_caption_and_a_picture_that_are_both_bad_the_caption_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["  ", "fine"], "image": [b"no picture", b"none"]}), path)
    (part,) = ingest_file(source(path), IngestOptions())
    assert part["reason"].to_pylist() == ["empty_caption", "undecodable_image"]
    assert part["text"].to_pylist() == ["  ", "fine"]
    assert part["image_size"].to_pylist() == [10, 4]


def test_a_part_ends_with_the_caption_that_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_builder, "MAX_PART_BYTES", 1000)
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["x" * 250] * 9}), path)
    assert [len(part) for part in ingest_file(source(path), IngestOptions())] == [4, 4, 1]
