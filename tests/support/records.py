"""Records of files that were never written: what plans and indices are made of, without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xxhash

from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tables.part_files import TableFile

FOLDER = "tables/step/phase"


def digest_of(*of: object) -> str:
    """16 hex digits."""
    return xxhash.xxh3_64_hexdigest(repr(of).encode())


def record(
    name: str, rows: Sequence[int], salt: object = 0, notes: Mapping[str, Any] | None = None
) -> TableFile:
    """A file with a row group for each of ``rows``; another ``salt`` stands for other values in them."""
    groups = tuple(digest_of(name, group, count, salt) for group, count in enumerate(rows))
    fingerprint = xxhash.xxh3_128_hexdigest(f"{name} {salt}".encode())
    path = f"{FOLDER}/{name}.parquet"
    return TableFile(path, fingerprint, groups, tuple(rows), 100 + sum(rows), dict(notes or {}))


def files_of(*rows: Sequence[int], salt: object = 0) -> FileColumns:
    """The files of a phase, each with a row group for each of its ``rows``."""
    names = [f"part-{number:05d}" for number in range(len(rows))]
    files = [record(name, of, salt) for name, of in zip(names, rows, strict=True)]
    return FileColumns.of(FOLDER, names, files)
