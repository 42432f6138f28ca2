"""Which formats an input may have, and where the code is that reads each. A new one is a file and a line here."""

from __future__ import annotations

from tamis.schemas.nearest import nearest

FORMATS: dict[str, str] = {
    "tar": "tamis.pipeline.inputs.tar.format:TAR",
    "parquet": "tamis.pipeline.inputs.parquet.format:PARQUET",
}
"""Name -> ``module:OBJECT``, imported when it is asked for. ``plan.json`` and the fingerprints hold the name."""

WORDS = {"tar": "webdataset"}
"""What a job and its plan call a format, where that is not its name."""


def word(name: str) -> str:
    """What a job calls the format ``name``."""
    return WORDS.get(name, name)


def by_word() -> dict[str, str]:
    """What a job calls each format -> its name."""
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
