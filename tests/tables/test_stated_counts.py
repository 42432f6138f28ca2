"""Records of files as columns: what they were made of comes back, however they were cut and put together."""

from __future__ import annotations

import random

import numpy as np

from tamis.pipeline.tables.file_columns import FileColumns, concat
from tamis.pipeline.tables.part_files import TableFile


def records(count: int) -> list[TableFile]:
    """Files of 0 to 3 row groups, some with counts, some with other notes."""
    rng = random.Random(count)
    made = []
    for number in range(count):
        groups = rng.randrange(4)
        notes = {"counts": {"kept": number} if number % 3 else {}, "dim": 8}
        if number % 4 == 0:
            notes["culprits"] = [number]
        made.append(
            TableFile(
                f"tables/step/phase/part-{number:05d}.parquet",
                f"{rng.getrandbits(128):032x}",
                tuple(f"{rng.getrandbits(64):016x}" for _ in range(groups)),
                tuple(rng.randrange(9) for _ in range(groups)),
                number,
                notes,
            )
        )
    return made


def columns(files: list[TableFile]) -> FileColumns:
    """The same as columns."""
    names = [file.path.rpartition("/")[2].removesuffix(".parquet") for file in files]
    return FileColumns.of("tables/step/phase", names, files)


def test_records_come_back() -> None:
    """Each record is as it was, also through the table of an index."""
    files = records(40)
    for made in (
        columns(files),
        FileColumns.from_table("tables/step/phase", columns(files).to_table()),
    ):
        assert [made.file(at) for at in range(len(made))] == files


def test_the_digest_is_of_the_records_alone() -> None:
    """Not of how the columns came about; and any record changes it."""
    files = records(40)
    whole = columns(files)
    joined = concat([columns(files[:13]), columns(files[13:])])
    taken = concat([columns(files), columns(files)]).take(np.arange(40, 80))
    read = FileColumns.from_table("tables/step/phase", whole.to_table())
    assert len({whole.digest, joined.digest, taken.digest, read.digest}) == 1
    assert len({columns(files[:at] + files[at + 1 :]).digest for at in range(40)}) == 40


def test_notes_are_found_by_name() -> None:
    """As if each file's notes were looked at."""
    files = records(40)
    made = columns(files)
    assert list(made.noted("culprits")) == [(at, [at]) for at in range(0, 40, 4)]
    assert list(made.noted("absent")) == list(columns([]).noted("culprits")) == []
    assert [notes["counts"]["kept"] for notes in made.counted_notes()] == [
        at for at in range(40) if at % 3
    ]
    assert made.noted_numbers("dim").tolist() == [8] * 40
