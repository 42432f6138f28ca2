"""The registry of input formats: a new one is a file and a line here."""

from __future__ import annotations

from tamis.schemas.nearest import nearest

FORMATS: dict[str, str] = {
    "tar": "tamis.pipeline.inputs.tar.format:TAR",
    "parquet": "tamis.pipeline.inputs.parquet.format:PARQUET",
}
"""Name -> ``module:OBJECT``, imported when a file has the format. ``plan.json`` and fingerprints hold the name."""

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
