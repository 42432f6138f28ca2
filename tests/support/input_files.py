"""Input files written to a folder, and what ingest makes of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.schemas.tables import INGEST

Row = dict[str, Any]

DEFAULT = IngestOptions()


def source(path: Path) -> InputFile:
    """The file as the job's entry `input` names it."""
    kind = path.suffix.removeprefix(".")
    return InputFile("input", path.name, str(path), kind, path.stat().st_size)


def ingest(path: Path, options: IngestOptions = DEFAULT) -> list[pa.Table]:
    """All parts of a file, after checking what holds for every input."""
    return ingested(source(path), options)


def bytes_of(path: Path) -> bytes:
    """A file's bytes, or those of a folder's files, by name and then by ending."""
    if path.is_dir():
        files = sorted(path.iterdir(), key=lambda file: (file.stem, file.suffix))
        return b"".join(file.read_bytes() for file in files)
    return path.read_bytes()


def ingested(of: InputFile, options: IngestOptions = DEFAULT) -> list[pa.Table]:
    """The same of an input file."""
    reading = ingest_file(of, options)
    parts = list(reading)
    totals = reading.totals
    data = bytes_of(Path(of.path))
    assert (totals.size, totals.sha256) == (len(data), hashlib.sha256(data).digest())
    for part in parts:
        assert part.schema == INGEST
        part.validate(full=True)
        assert 0 < part.num_rows <= options.part_samples
    table = pa.concat_tables([INGEST.empty_table(), *parts])
    uids = table["uid"].to_pylist()
    assert len(set(uids)) == len(uids)
    return parts


def ingest_bytes(
    folder: Path, data: bytes, options: IngestOptions = DEFAULT, name: str = "x.tar"
) -> list[Row]:
    """The rows of a file with this content."""
    path = folder / name
    path.write_bytes(data)
    return [row for part in ingest(path, options) for row in part.to_pylist()]


def reasons(rows: list[Row]) -> dict[str, str | None]:
    """Key to reason."""
    return {row["key"]: row["reason"] for row in rows}


def touched(folder: Path, *files: str) -> Path:
    """The folder, with empty files in it."""
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder
