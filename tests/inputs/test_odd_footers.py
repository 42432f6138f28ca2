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
