"""Fingerprints of what works part by part: each input of a part is in that of its bundle, and in no other's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tasks.parts import Part, Parts
from tamis.pipeline.tasks.phase import EachPart
from tamis.pipeline.tasks.sources import ByPart, Source
from tamis.pipeline.tasks.task import location
from tests.support.records import FOLDER, record

HEAD = ["Step", 1, "phase"]


@dataclass(frozen=True)
class Settings:
    """Arguments of a function."""

    path: str = location()
    number: int = 0
    optional: int | None = None


@dataclass(frozen=True)
class Planned:
    """A phase over some parts, by what each of its inputs holds."""

    rows: tuple[int, ...]  # by part
    size: int | None  # parts of a bundle
    tables: Mapping[
        str, tuple[tuple[int, ...], ...]
    ]  # role -> of each table, by part, what it holds
    shared: int = 0
    args: Settings = Settings("a")
    each: tuple[int, ...] | None = None
    buckets: int | None = None
    head: Sequence[Any] = field(default_factory=lambda: HEAD)

    def tasks(self) -> EachPart[Settings]:
        parts = Parts.of((0, number, rows) for number, rows in enumerate(self.rows))
        inputs = {
            role: [self._table(role, number, held) for number, held in enumerate(several)]
            for role, several in self.tables.items()
        }
        shared: dict[str, Sequence[Source]] = {
            "cut": [record("cut", [3], self.shared).slice()],
            "drops": [record("drops", [3]).slice(0)],
        }
        return EachPart(
            parts,
            inputs,
            self.args,
            shared=shared,
            each=self._each if self.each is not None else None,
            buckets=self.buckets,
            bundle=self.size,
        )

    def _table(self, role: str, number: int, held: Sequence[int]) -> ByPart:
        names = [f"{role}-{number}-{part:05d}" for part in range(len(held))]
        files = [
            record(name, [1], salt=(name, what)) for name, what in zip(names, held, strict=True)
        ]
        numbers = np.arange(len(held), dtype=np.int32)
        return ByPart(FileColumns.of(FOLDER, names, files), numbers, np.zeros_like(numbers))

    def _each(self, part: Part) -> Settings:
        assert self.each is not None
        return Settings(str(part.number), self.each[part.number])

    def prints(self, without: str | None = None) -> list[bytes]:
        """The fingerprint of each bundle."""
        return [one.tobytes() for one in self.tasks().fingerprints(self.head, without)]


@st.composite
def planned(draw: st.DrawFn) -> Planned:
    count = draw(st.integers(1, 9))
    values = st.tuples(*[st.integers(0, 3)] * count)
    return Planned(
        draw(st.tuples(*[st.integers(1, 50)] * count)),
        draw(st.integers(1, 4)),
        {"values": (draw(values),), "drops": (draw(values), draw(values))},
        each=draw(st.none() | values),
        buckets=draw(st.none() | st.integers(1, 3)),
    )


def other(held: tuple[int, ...], part: int) -> tuple[int, ...]:
    return (*held[:part], held[part] + 100, *held[part + 1 :])


Change = Callable[[Planned, int], Planned]

OF_A_PART: Mapping[str, Change] = {
    "rows": lambda p, part: replace(p, rows=other(p.rows, part)),
    "a table": lambda p, part: replace(
        p, tables={**p.tables, "values": (other(p.tables["values"][0], part),)}
    ),
    "the second table of a role": lambda p, part: replace(
        p, tables={**p.tables, "drops": (p.tables["drops"][0], other(p.tables["drops"][1], part))}
    ),
    "its own arguments": lambda p, part: replace(p, each=other(p.each or (0,) * len(p.rows), part)),
}

OF_ALL: Mapping[str, Callable[[Planned], Planned]] = {
    "arguments": lambda p: replace(p, args=replace(p.args, number=7)),
    "an option that was none": lambda p: replace(p, args=replace(p.args, optional=0)),
    "what is shared": lambda p: replace(p, shared=1),
    "a role's name": lambda p: replace(
        p, tables={"other": p.tables["values"], "drops": p.tables["drops"]}
    ),
    "one table more": lambda p: replace(
        p, tables={**p.tables, "drops": (*p.tables["drops"], (0,) * len(p.rows))}
    ),
    "the number of buckets": lambda p: replace(p, buckets=(p.buckets or 0) + 1),
    "the version": lambda p: replace(p, head=["Step", 2, "phase"]),
}


@pytest.mark.parametrize("what", OF_A_PART)
@given(planned(), st.data())
def test_what_a_part_depends_on_is_in_its_bundle_alone(
    what: str, one: Planned, data: st.DataObject
) -> None:
    if what == "its own arguments":
        one = replace(one, each=one.each or (0,) * len(one.rows))
    part = data.draw(st.integers(0, len(one.rows) - 1))
    before, after = one.prints(), OF_A_PART[what](one, part).prints()
    changed = [number for number in range(len(before)) if before[number] != after[number]]
    assert changed == [part // (one.size or 1)]


@pytest.mark.parametrize("what", OF_ALL)
@given(planned())
def test_what_is_for_all_is_in_every_bundle(what: str, one: Planned) -> None:
    before, after = one.prints(), OF_ALL[what](one).prints()
    assert len(before) == len(after)
    assert not set(before) & set(after)


@given(planned())
def test_bundles_of_equal_content_are_told_apart(one: Planned) -> None:
    assert len(set(one.prints())) == len(one.prints())


@given(planned())
def test_where_things_lie_and_the_order_of_roles_are_no_part_of_it(one: Planned) -> None:
    moved = replace(one, args=replace(one.args, path="elsewhere"))
    assert moved.prints() == one.prints()
    turned = replace(one, tables=dict([*one.tables.items()][::-1]))
    assert turned.prints() == one.prints()


@given(planned(), st.data())
def test_without_a_role_it_is_that_of_a_phase_without_the_role(
    one: Planned, data: st.DataObject
) -> None:
    """Of the shared inputs under its name, too."""
    part = data.draw(st.integers(0, len(one.rows) - 1))
    changed = OF_A_PART["the second table of a role"](one, part)
    assert changed.prints("drops") == one.prints("drops")
    assert changed.prints("values") != one.prints("values")
    bare = replace(one, tables={"values": one.tables["values"]})
    assert one.prints("drops") == bare.prints("drops")
    assert not set(one.prints("drops")) & set(one.prints())


@given(planned(), st.integers(1, 5))
def test_new_parts_change_no_bundle_that_was_full(one: Planned, more: int) -> None:
    def longer(held: tuple[int, ...]) -> tuple[int, ...]:
        return held + (1,) * more

    grown = replace(
        one,
        rows=longer(one.rows),
        tables={role: tuple(map(longer, several)) for role, several in one.tables.items()},
        each=None if one.each is None else longer(one.each),
    )
    size = one.size or 1
    full = len(one.rows) // size
    before, after = one.prints(), grown.prints()
    assert after[:full] == before[:full]
    assert not set(after[full:]) & set(before)
    assert len(after) == -(-len(grown.rows) // size)


@given(planned())
def test_names_rows_and_tasks_fit_each_other(one: Planned) -> None:
    tasks = one.tasks()
    built = list(tasks)
    assert [task.name for task in built] == tasks.names()
    assert [task.read_rows for task in built] == tasks.rows().tolist()
    assert len(tasks) == len(built) == len(one.prints())
    assert sum(tasks.rows()) == sum(one.rows)


def each_role(tasks: EachPart[Settings]) -> Iterator[tuple[str, list[str]]]:
    """Role -> identities of what the parts read under it, one after another."""
    for role in ("values", "drops"):
        found = []
        for task in tasks:
            members = task.members
            if members is None:
                found += [source.identity for source in task.inputs[role]]  # a part by itself
                continue
            for position in range(len(members.rows)):
                found += [s.identity for s in members.task(task, position).inputs[role]]
        yield role, found


@given(planned())
def test_a_bundle_of_parts_reads_what_its_parts_would_read(one: Planned) -> None:
    assert dict(each_role(one.tasks())) == dict(each_role(replace(one, size=1).tasks()))
