"""Records of files as columns: what goes in comes out, however they are cut, ordered, joined or stored."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.tables import file_columns, part_files, writing
from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tables.part_files import TableFile

FOLDER = "tables/step/phase"
HEX = st.text("0123456789abcdef", min_size=16, max_size=16)
NOTES = st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=3))


@st.composite
def records(draw: st.DrawFn, number: int) -> TableFile:
    """A file with any number of row groups, empty ones too, here or in another run."""
    groups = draw(st.lists(st.tuples(HEX, st.integers(0, 2**40)), max_size=5))
    folder = draw(st.sampled_from([FOLDER, FOLDER, f"/one/{FOLDER}", f"/other/{FOLDER}"]))
    return TableFile(
        f"{folder}/part-{number:05d}.parquet",
        draw(HEX) + draw(HEX),
        tuple(digest for digest, _ in groups),
        tuple(rows for _, rows in groups),
        draw(st.integers(0, 2**40)),
        draw(NOTES),
    )


@st.composite
def files(draw: st.DrawFn) -> list[TableFile]:
    """Of one phase; perhaps none."""
    return [draw(records(number)) for number in range(draw(st.integers(0, 6)))]


def columns(some: list[TableFile], first: int = 0) -> FileColumns:
    names = [f"part-{number + first:05d}" for number in range(len(some))]
    return FileColumns.of(FOLDER, names, some)


def back(made: FileColumns) -> list[TableFile]:
    return [made.file(position) for position in range(len(made))]


@given(files())
def test_each_record_is_what_it_was(some: list[TableFile]) -> None:
    made = columns(some)
    assert back(made) == some
    assert list(made.all_notes()) == [file.notes for file in some]
    for position, file in enumerate(some):
        assert made.positions[f"part-{position:05d}"] == position
        assert made.fingerprint(position) == file.fingerprint
        for group in range(len(file.groups)):
            assert made.slice(position, group) == file.slice(group)


@given(files())
def test_a_table_of_them_is_the_same_after_it_was_written(some: list[TableFile]) -> None:
    made = columns(some)
    with tempfile.TemporaryDirectory() as root:
        writing.write(root, "index.parquet", "0" * 32, [made.to_table()], dict)
        read = FileColumns.from_table(FOLDER, part_files.read_file(root, "index.parquet"))
    assert back(read) == some
    assert read.digest == made.digest
    assert read.folder == FOLDER


@given(files(), st.data())
def test_any_of_them_in_any_order_are_taken(some: list[TableFile], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.integers(0, len(some) - 1)) if some else st.just([]))
    taken = columns(some).take(np.array(wanted, np.int64))
    assert back(taken) == [some[position] for position in wanted]
    assert back(columns(some).take(np.arange(len(some)))) == some


@given(files(), st.lists(st.integers(0, 6), max_size=3))
def test_pieces_joined_are_the_whole(some: list[TableFile], cuts: list[int]) -> None:
    """Empty pieces too."""
    ends = [0, *sorted(min(cut, len(some)) for cut in cuts), len(some)]
    pieces = [columns(some[a:b], a) for a, b in pairwise(ends)]
    joined = file_columns.concat(pieces)
    assert back(joined) == some
    assert joined.digest == columns(some).digest


@given(files(), files())
def test_the_digest_tells_any_two_apart(one: list[TableFile], other: list[TableFile]) -> None:
    def plain(some: list[TableFile]) -> list[Any]:
        return [file.to_json() for file in some]

    same = columns(one).digest == columns(other).digest
    assert same == (plain(one) == plain(other))
