"""A footer whose pieces contradict each other ends no process: what cannot be read is rows that say so."""

from __future__ import annotations

import io
import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.schemas.errors import TamisError
from tests.support.input_files import source


def footer() -> tuple[bytes, int]:
    """A small file, and where its footer begins."""
    out = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"], "tags": [["x"], ["y", "z"]]}), out)
    data = out.getvalue()
    return data, len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def came_of(path: Path) -> str:
    """How a process ends that reads all that a run reads of a file."""
    child = os.fork()
    if child == 0:
        code = 9
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            file = source(path)
            parts = list(ingest_file(file, IngestOptions()))
            code = 0
            for part in parts:
                sound = part.filter(part["reason"].is_null())
                list(format_of(file).own(file, sound, None))
        except TamisError:
            code = 2
        finally:
            os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "read", 2: "refused"}.get(ended, f"ended with {ended}")


def test_a_changed_byte_of_a_footer_ends_no_process(tmp_path: Path) -> None:
    data, start = footer()
    path = tmp_path / "x.parquet"
    found: Counter[str] = Counter()
    for at in range(start + 10, start + 40):  # of the schema
        for bit in (1, 4):
            changed = bytearray(data)
            changed[at] ^= bit
            path.write_bytes(bytes(changed))
            found[came_of(path)] += 1
    assert set(found) == {"read", "refused"}


def numbers() -> bytes:
    """A file whose footer tells ends and nulls of whole numbers, which say what types the result has."""
    out = io.BytesIO()
    columns = {"text": ["a", "b", "c"], "n": [1, None, 2**60], "tags": [["x"], None, ["y", "z"]]}
    pq.write_table(pa.table(columns), out, row_group_size=2)
    return out.getvalue()


def test_a_column_of_two_types_ends_no_process(tmp_path: Path) -> None:
    data = numbers()
    int64, boolean = (
        b"\x15\x04\x19",
        b"\x15\x00\x19",
    )  # the field `type` of a column's part of the footer
    assert int64 in data
    path = tmp_path / "x.parquet"
    path.write_bytes(data.replace(int64, boolean))
    assert came_of(path) in {"read", "refused"}


def test_a_changed_byte_of_what_a_footer_tells_of_columns_ends_no_process(tmp_path: Path) -> None:
    data = numbers()
    path = tmp_path / "x.parquet"
    end = len(data) - 8
    start = end - int.from_bytes(data[-8:-4], "little")
    found: Counter[str] = Counter()
    for at in range(start, end, 13):
        changed = bytearray(data)
        changed[at] ^= 4
        path.write_bytes(bytes(changed))
        found[came_of(path)] += 1
    assert set(found) == {"read", "refused"}
