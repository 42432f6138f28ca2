"""The picture files that a table's rows name, beside the table or below its folder.

No other file is ever opened: a path out of the folder, and an address, are faults of their rows.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError

NAMES = (
    *("file_name", "image_path", "image_file", "filepath", "file_path", "filename"),
    *("image", "img", "picture", "photo", "path", "file"),
)
"""Columns with the paths of pictures, in lower case, the preferred name first."""


class NoPictureError(ValueError):
    """A row names no picture that is read; the message says why."""


def column(file: InputFile, available: Sequence[str]) -> str | None:
    """The column with the paths of pictures: the job's, or one of NAMES that the job does not name for another."""
    named = file.reading.names("image")
    if named:
        return next((name for name in named if name in available), None)
    others = {name for _, names in file.reading.columns for name in names}
    by_lower = {name.lower(): name for name in reversed(available) if name not in others}
    return next((by_lower[name] for name in NAMES if name in by_lower), None)


def find(file: InputFile, path: object) -> storage.File:
    """The file that a row's ``path`` names.

    Raises:
        NoPictureError: it names none, or one elsewhere.
    """
    if isinstance(path, dict):  # as Hugging Face writes pictures: {bytes, path}
        path = path.get("path")
    if not isinstance(path, str) or not path.strip():
        raise NoPictureError("no path of a picture")
    if "://" in path:
        raise NoPictureError(
            f"{path[:80]}: an address, and nothing is fetched: img2dataset does it, and its result is read"
        )
    folder = storage.parent(file.path)
    whole = path if path.startswith("/") else storage.join(folder, path)
    scheme, mark, bare = whole.rpartition("://")
    whole = scheme + mark + posixpath.normpath(bare)
    if not whole.startswith(folder.rstrip("/") + "/"):
        raise NoPictureError(
            f"{path[:80]}: lies outside the table's folder: put the table above it"
        )
    try:
        found = storage.find(whole)
    except InputError:
        found = None
    if found is None:
        raise NoPictureError(f"{path[:80]}: there is no such file below the table's folder")
    return found
