"""Rows whose facts stand in the ingest table as the text of a JSON object: their columns."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs import own_columns
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import storage


def parsed(text: str) -> dict[str, Any]:
    """The fields of a JSON object; none where the text is no such object."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def own(rows: pa.Table, names: Collection[str] | None = None) -> pa.Table:
    """A column for each key of the objects, or for those named, of the type that holds its values."""
    objects = [None if text is None else json.loads(text) for text in rows["meta"].to_pylist()]
    return own_columns.of_objects(objects, names)


def refused(file: InputFile) -> str | None:
    """The reason why a job cannot name some columns, where samples are files: they have these by themselves."""
    for name in ("key", "width", "height", "sha256"):
        if file.reading.names(name):
            return (
                f"`{storage.redact(file.path)}`: `columns: {{{name}: ...}}`: its samples have it by themselves: "
                "leave it out"
            )
    return None
