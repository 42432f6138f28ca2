"""The registry of input formats: a new one is a file and a line here."""

from __future__ import annotations

from tamis.schemas.nearest import nearest

FORMATS: dict[str, str] = {
    "tar": "tamis.pipeline.inputs.tar.format:TAR",
    "parquet": "tamis.pipeline.inputs.parquet.format:PARQUET",
    "jsonl": "tamis.pipeline.inputs.table.format:JSONL",
    "csv": "tamis.pipeline.inputs.table.format:CSV",
    "folder": "tamis.pipeline.inputs.folder.format:FOLDER",
}
"""Name -> ``module:OBJECT``, imported when a file has the format. ``plan.json`` and fingerprints hold the name."""

LEVELS = {"jsonl": 1, "csv": 1, "folder": 2}
"""Name -> when a directory is taken for files of the format: of the formats that it has files of those of the lowest
level count, 0 unless it stands here. Lists of pictures lie beside the pictures, and archives beside both.
"""

WORDS = {"tar": "webdataset"}
"""Name -> the word for it in jobs and plans, if that is another."""


def word(name: str) -> str:
    """The word for the format ``name`` in jobs."""
    return WORDS.get(name, name)


def by_word() -> dict[str, str]:
    """The word for each format in jobs -> its name."""
    return {word(name): name for name in FORMATS}


def check_word(value: str) -> str:
    """A job's ``format:``, as it is.

    Raises:
        ValueError: there is no such format.
    """
    known = ["auto", *by_word()]
    if value not in known:
        raise ValueError(f"no format `{value}`{nearest(value, known)}")
    return value
