"""A bundle's task does what a task for each of its parts would do; and what gathers reads what was written."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tamis.pipeline.tables import part_files, paths, writing
from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tables.part_files import DamagedTableError, TableFile
from tamis.pipeline.tasks import sources
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.parts import Parts
from tamis.pipeline.tasks.perform import Work, perform
from tamis.pipeline.tasks.phase import EachPart
from tamis.pipeline.tasks.phase_index import PhaseFiles
from tamis.pipeline.tasks.sources import ByPart, Gathered, PartSlices, SomeParts, gathered
from tamis.pipeline.tasks.task import Function, TaskIo
from tamis.schemas.scope import Scope
from tests.support.tables import small_bundles

ROWS = (5, 1, 7, 4, 3, 6, 2)
BUCKETS = 3


@dataclass(frozen=True)
class Factor:
    """Arguments of the functions."""

    by: int


def times(io: TaskIo[Factor]) -> Iterator[pa.Table]:
    """What is left of a part, times a number."""
    rows = io.living_rows()
    values = io.read("values")["value"].to_numpy()[rows]
    shared = io.read("shared")["value"].to_pylist()[0]
    io.count(done=len(rows), parts=1)
    io.notes["numbers"] = [io.part]
    yield pa.table(
        {"row": rows, "value": values * io.args.by + shared, "part": np.full(len(rows), io.part)}
    )


def dealt(io: TaskIo[Factor]) -> Iterator[pa.Table]:
    """The same in buckets."""
    (table,) = times(io)
    bucket = table["value"].to_numpy() % BUCKETS
    for number in range(BUCKETS):
        yield table.filter(pa.array(bucket == number))


def all_at_once(io: TaskIo[Factor]) -> Iterator[pa.Table]:
    """Goes over the parts by itself, and takes the next before the last is written."""
    yield from [table for part in io.parts() for table in times(part)]


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, ByPart]:
    """The values of each part, two files of them; and of some parts a dropped row."""
    draw = np.random.default_rng(3)
    values = [pa.table({"value": draw.integers(0, 99, count)}) for count in ROWS]
    first = [
        write(tmp_path, "in", "files", f"file-{n:05d}", v)
        for n, v in enumerate([values[:4], values[4:]])
    ]
    drops = [
        pa.table({"row": pa.array([0] if number % 2 else [], pa.uint32())})
        for number in range(len(ROWS))
    ]
    second = [write(tmp_path, "rules", "verdict", "bundle-00000", drops)]
    parts = made_parts()
    return {
        "values": Done(Scope.FILE, columns(first)).by_part(parts, []),
        "drops": Done(Scope.BUNDLE, columns(second)).by_part(parts, []),
    }


def made_parts() -> Parts:
    files = [(number // 4, number % 4, rows) for number, rows in enumerate(ROWS)]
    return Parts.of(files)


def write(root: Path, step: str, phase: str, task: str, groups: Sequence[pa.Table]) -> TableFile:
    return writing.write(str(root), paths.table(step, phase, task), "0" * 32, groups, dict)


def columns(files: Sequence[TableFile]) -> FileColumns:
    folder = files[0].path.rpartition("/")[0]
    names = [Path(file.path).stem for file in files]
    return FileColumns.of(folder, names, files)


def done(
    root: Path, inputs: dict[str, ByPart], function: Function, size: int, **how: Any
) -> list[TableFile]:
    """Do a phase with so many parts a file."""
    shared = write(root, "in", "shared", "target", [pa.table({"value": [1000]})])
    tasks = EachPart(
        made_parts(), inputs, Factor(3), shared={"shared": [shared.slice()]}, bundle=size, **how
    )
    prints = tasks.fingerprints(["step", 1, "phase"])
    made = []
    for number, task in enumerate(tasks):
        path = paths.table("step", f"by-{size}-{function.__name__}", task.name)
        outcome = perform(function, str(root), Work(task, path, prints[number].tobytes().hex()))
        assert outcome.file is not None, outcome
        made.append(outcome.file)
    return made


def groups(root: Path, files: Sequence[TableFile]) -> list[pa.Table]:
    return [
        part_files.read(str(root), file.slice(group))
        for file in files
        for group in range(len(file.groups))
    ]


@pytest.mark.parametrize("function", [times, all_at_once])
@pytest.mark.parametrize("size", [2, 3, 7, 100])
def test_a_bundle_is_its_parts_one_after_another(
    size: int, function: Function, inputs: dict[str, ByPart], tmp_path: Path
) -> None:
    single = done(tmp_path, inputs, times, 1)
    bundled = done(tmp_path, inputs, function, size, together=function is all_at_once)
    assert [file.rows for file in single] == [
        (rows - number % 2,) for number, rows in enumerate(ROWS)
    ]
    assert [len(file.groups) for file in bundled] == [
        len(ROWS[at : at + size]) for at in range(0, len(ROWS), size)
    ]
    for one, other in zip(groups(tmp_path, single), groups(tmp_path, bundled), strict=True):
        assert one.equals(other)
    for number, file in enumerate(bundled):
        of_parts = single[number * size : (number + 1) * size]
        wanted = {
            name: sum(f.notes["counts"][name] for f in of_parts) for name in ("done", "parts")
        }
        assert file.notes["counts"] == wanted
        assert file.notes["numbers"] == [n for f in of_parts for n in f.notes["numbers"]]


@pytest.mark.parametrize("together", [False, True])
def test_one_that_fails_leaves_its_process_fit_for_the_next(
    together: bool, inputs: dict[str, ByPart], tmp_path: Path
) -> None:
    """Whoever holds the error holds the generators of the function, which then stay open."""

    def fails_at_the_third(io: TaskIo[Factor]) -> Iterator[pa.Table]:
        for part in io.parts() if together else [io]:
            if part.part == 2:
                raise ValueError("the third")
            yield from times(part)

    with pytest.raises(ValueError, match="the third") as held:
        done(tmp_path, inputs, fails_at_the_third, 4, together=together)
    assert groups(tmp_path, done(tmp_path, inputs, times, 4))
    assert held.value.__traceback__ is not None


@pytest.mark.parametrize("size", [2, 3, 100])
def test_a_bucket_has_the_rows_of_all_parts_of_a_bundle(
    size: int, inputs: dict[str, ByPart], tmp_path: Path
) -> None:
    single = done(tmp_path, inputs, dealt, 1)
    bundled = done(tmp_path, inputs, dealt, size, buckets=BUCKETS)
    for number, file in enumerate(bundled):
        assert len(file.groups) == BUCKETS
        of_parts = single[number * size : (number + 1) * size]
        for bucket in range(BUCKETS):
            pieces = [part_files.read(str(tmp_path), f.slice(bucket)) for f in of_parts]
            found = part_files.read(str(tmp_path), file.slice(bucket))
            assert found.equals(pa.concat_tables(pieces))


def test_what_was_bundled_is_found_by_part(
    inputs: dict[str, ByPart], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_bundles(monkeypatch, 3)
    tables = groups(tmp_path, done(tmp_path, inputs, times, 1))
    bundled = columns(done(tmp_path, inputs, times, 3))
    by = Done(Scope.BUNDLE, bundled).by_part(made_parts(), [])
    for number, table in enumerate(tables):
        assert part_files.read(str(tmp_path), by[number]).equals(table)
        assert by.rows[number] == table.num_rows
        assert by.span(number, number + 1)[0] == by[number]


def test_chosen_parts_travel_as_their_slices(inputs: dict[str, ByPart]) -> None:
    for by in inputs.values():
        for parts in (range(len(made_parts())), [0], [1, 2, 5], []):
            chosen = SomeParts(by, np.array(parts, np.int64))
            sent = pickle.loads(pickle.dumps(chosen))
            assert isinstance(sent, PartSlices)
            for one in (chosen, sent):
                assert [one[place] for place in range(len(one))] == [by[part] for part in parts]
            assert (sent.identity, sent.rows) == (chosen.identity, chosen.rows)


# What gathers


@pytest.fixture
def phase(inputs: dict[str, ByPart], tmp_path: Path) -> FileColumns:
    """A finished phase, of which this process remembers nothing."""
    files = columns(done(tmp_path, inputs, dealt, 2, buckets=BUCKETS))
    PhaseFiles(str(tmp_path), files.folder).commit(files)
    sources._indices.clear()
    return files


SPANS = [(0, None), (1, None), (1, 3), (2, 2), (0, 4)]


@pytest.mark.parametrize("group", [None, *range(BUCKETS)])
@pytest.mark.parametrize(("first", "stop"), SPANS)
def test_what_is_gathered_is_what_slices_read(
    group: int | None, first: int, stop: int | None, phase: FileColumns, tmp_path: Path
) -> None:
    source = gathered(phase, group, first, stop)
    slices = [phase.file(n).slice(group) for n in range(len(phase))[first:stop]]
    found = list(source.slices(str(tmp_path)))
    assert [(one.path, one.group, one.identity) for one in found] == [
        (one.path, one.group, one.identity) for one in slices
    ]
    assert source.rows == sum(one.rows for one in slices)
    if slices:
        read = part_files.concat(str(tmp_path), found)
        assert read.equals(part_files.concat(str(tmp_path), slices))


def test_it_is_known_by_what_it_reads_and_nothing_else(phase: FileColumns) -> None:
    def of(files: FileColumns) -> list[str]:
        return [gathered(files, group).identity for group in (*range(BUCKETS), None)]

    last = phase.file(len(phase) - 1)
    other = TableFile(last.path, "1" * 32, ("f" * 16, *last.groups[1:]), last.rows, last.bytes)
    files = [phase.file(n) for n in range(len(phase) - 1)]
    same = [a == b for a, b in zip(of(phase), of(columns([*files, other])), strict=True)]
    assert same == [False, True, True, False]
    fewer = [a == b for a, b in zip(of(phase), of(columns(files)), strict=True)]
    assert fewer == [False] * 4


@pytest.mark.parametrize("damage", ["gone", "cut", "another"])
def test_an_index_that_does_not_fit_is_damage_that_names_it(
    damage: str, phase: FileColumns, tmp_path: Path
) -> None:
    source: Gathered = gathered(phase, 0)
    path = tmp_path / phase.folder / sources.INDEX
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        PhaseFiles(str(tmp_path), phase.folder).commit(phase.take(np.arange(len(phase) - 1)))
        sources._indices.clear()
    with pytest.raises(DamagedTableError) as told:
        list(source.slices(str(tmp_path)))
    assert told.value.path == f"{phase.folder}/{sources.INDEX}"
