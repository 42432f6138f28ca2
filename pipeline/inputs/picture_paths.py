"""The picture files that a table's rows name, beside the table or below its folder.

No other file is ever opened: a path out of the folder, and an address, are faults of their rows.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Iterable, Sequence

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import IngestOptions, Row, fault, picture_row
from tamis.pipeline.inputs.picture_formats import BASE64
from tamis.pipeline.inputs.suffixes import NAMES
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, StorageError
from tamis.schemas.ledger import Reason

LONG = 200
"""Characters from which text that begins as BASE64 is none of a path."""

NOT_THERE = "there is no such file below the table's folder"

IMPOSSIBLE = (errno.ENAMETOOLONG, errno.ELOOP)
"""Errors of a disk about a name under which there can be no file."""


class NoPictureError(ValueError):
    """A row names no picture that is read; the message says why."""


def column(file: InputFile, available: Sequence[str]) -> str | None:
    """The column with the paths of pictures: the job's, or one of NAMES that the job does not name for another."""
    named = file.reading.names("image")
    if named or file.reading.bare:
        return next((name for name in named if name in available), None)
    others = {name for _, names in file.reading.columns for name in names}
    free = [name for name in available if name not in others]
    by_lower = {name.lower(): name for name in reversed(free)} | {name: name for name in free}
    return next((by_lower[name] for name in NAMES if name in by_lower), None)


def find(file: InputFile, path: object) -> storage.File:
    """The file that a row's ``path`` names.

    Raises:
        NoPictureError: it names none, or one elsewhere.
    """
    if isinstance(path, dict):  # as Hugging Face writes pictures: {bytes, path}
        path = path.get("path") or path.get("bytes")  # in text the bytes are base64
    if isinstance(path, list):
        raise NoPictureError("a list: say which of it is meant, from 0: `columns: {image: NAME.0}`")
    if not isinstance(path, str) or not path.strip():
        raise NoPictureError("no path of a picture")
    if path.startswith("data:") or (len(path) > LONG and path.startswith(BASE64)):
        raise NoPictureError(
            f"{path[:30]}: a picture as text, which is not read: write parquet with its bytes (base64.b64decode)"
        )
    path = path.removeprefix("file://")
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
    found = found_at(whole)
    if found is None and "\\" in path:  # as Windows writes them
        return find(file, path.replace("\\", "/"))
    if found is None:
        raise NoPictureError(f"{path[:80]}: {NOT_THERE}")
    return found


def found_at(path: str) -> storage.File | None:
    """The file at ``path``; None also where no file can have such a name."""
    try:
        return storage.find(path)
    except (InputError, ValueError):  # a directory; a null byte, or half a surrogate pair
        return None
    except StorageError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in IMPOSSIBLE:
            return None
        raise


def row_of(
    file: InputFile, path: object, offset: int | None, number: int, options: IngestOptions
) -> Row:
    """The columns of the picture that a row's ``path`` names, or the fault; as ``picture_row`` has them.

    Args:
        file: the table.
        path: of the picture.
        offset: of the row in the table, where it has one.
        number: of the row among the table's samples.
        options: the limits of ingest.
    """
    try:
        found = find(file, path)
    except NoPictureError as error:
        return fault(Reason.MISSING_IMAGE, str(error), offset)
    if found.size > options.max_member_bytes:
        message = f"{found.size} bytes: the limit is {options.max_member_bytes} (max_member_bytes)"
        return fault(Reason.MEMBER_TOO_LARGE, message, offset)
    return picture_row(storage.read_bytes(found.path), offset, number, options)


def read(file: InputFile, path: object) -> bytes:
    """The bytes of the picture that a row's ``path`` names.

    Raises:
        InputError: it is gone, or the row names another: the table has changed.
    """
    try:
        return storage.read_bytes(find(file, path).path)
    except (NoPictureError, FileNotFoundError):
        raise changed(file, shown(path)) from None


def shown(path: object) -> str | None:
    """A row's ``path`` for a message; None where it is none."""
    if isinstance(path, dict):
        path = path.get("path")
    return path[:80] if isinstance(path, str) else None


def changed(file: InputFile, path: str | None = None) -> InputError:
    """The error of a table that is not as it was when it was ingested; ``path`` of the picture that a row names."""
    named = "a row names another picture, or one that is gone"
    if path is not None:
        named = f"a row names `{storage.redact(path)}`, another picture, or one that is gone"
    return InputError(
        f"`{storage.redact(file.path)}` has changed since it was ingested: {named}: run again with --accept-changed"
    )


def among(columns: Iterable[str]) -> list[str]:
    """Those of a table's columns that seem to name picture files, the preferred first."""
    found = list(columns)
    return sorted((n for n in found if n.lower() in NAMES), key=lambda n: NAMES.index(n.lower()))


def unopened(column: str) -> str:
    """A word about a column that seems to hold pictures which are not read, with the mend."""
    return (
        f"{column} seems to hold pictures or their paths, which are not read: say `columns: {{image: {column}}}`, with "
        "the pictures below the table's folder"
    )
