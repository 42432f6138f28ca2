"""Input files that are one file, by links or by two entries: their samples are not to be read twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tamis.pipeline.inputs.input_files import SHOWN, InputFile, Reading
from tamis.pipeline.store import matching
from tamis.pipeline.store.storage import redact
from tamis.schemas.errors import JobError


class _Alike(NamedTuple):
    """What files that are one have in common: the time and number of a file on a disk, else its address."""

    place: str
    reading: Reading  # by other columns its samples are others


def same_files(files: Sequence[InputFile]) -> Iterator[list[InputFile]]:
    """The files that are one file and are read alike, each group of several, in the order of ``files``."""
    alike: dict[_Alike, list[InputFile]] = {}
    for file in files:
        alike.setdefault(_Alike(file.touched or file.path, file.reading), []).append(file)
    for found in alike.values():
        groups: list[list[InputFile]] = []
        for file in found if len(found) > 1 else ():
            group = next((g for g in groups if matching.is_one_file(g[0].path, file.path)), None)
            if group is None:
                groups.append([file])
            else:
                group.append(file)
        yield from (group for group in groups if len(group) > 1)


def once(files: Sequence[InputFile]) -> tuple[list[InputFile], list[str]]:
    """The files of an entry without those that are others of it, and a note on these. A link's target stays, where it
    is a file of the entry, else the first by name.
    """
    again: dict[str, str] = {}  # the name of a file -> the path of the one that stays
    for group in same_files(files):
        stays = min(group, key=lambda file: (matching.is_linked(file.path), file.relative))
        again |= {file.source: stays.path for file in group if file is not stays}
    if not again:
        return [*files], []
    left = [file for file in files if file.source in again]
    shown = [f"{redact(file.path)} is {redact(again[file.source])}" for file in left[:SHOWN]]
    more = f" and {len(left) - SHOWN:,} more" if len(left) > SHOWN else ""
    note = (
        f"{len(left):,} of {len(files):,} files are others of them, by links, and are read once: "
        f"{', '.join(shown)}{more}"
    )
    return [file for file in files if file.source not in again], [note]


def check_entries(files: Sequence[InputFile]) -> None:
    """Refuse a file of two entries that read it alike.

    Raises:
        JobError: names both entries and the file.
    """
    for first, *others in same_files(files):
        other = next((file for file in others if file.entry != first.entry), None)
        if other is not None:
            known = "" if first.path == other.path else f", as {redact(first.path)}"
            raise JobError(
                f"inputs `{first.entry}` and `{other.entry}`: {redact(other.path)} is a file of both{known}, and its "
                "samples would be read twice: name it in one of them, or say by `columns` or `captions` what else "
                "each reads of it"
            )
