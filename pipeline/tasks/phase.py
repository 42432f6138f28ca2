"""Phases, which are waves of independent tasks, and the fingerprints of their tasks.

A step's ``phases`` is a generator: it yields a phase, the runner makes its files (or finds them), and the next
phase may read them.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from typing import Any, Generic, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.tables import paths
from tamis.pipeline.tables.file_columns import FINGERPRINT_BYTES
from tamis.pipeline.tasks import parts as run_parts
from tamis.pipeline.tasks.parts import Part, Parts
from tamis.pipeline.tasks.sources import ByPart, Source
from tamis.pipeline.tasks.task import Args, Members, Task, TaskIo
from tamis.schemas.resources import Claimed
from tamis.schemas.scope import Scope

VERDICT = "verdict"
"""The phase of a step's decision, whose files are DROPS tables."""

Fingerprints = npt.NDArray[np.uint8]
"""(tasks, 16)."""


class Tasks(Sequence[Task[Args]]):
    """The tasks of a phase; each is built when it is asked for."""

    scope: Scope
    buckets: int | None = (
        None  # of an exchange: the tables that the function gives, of each task the same number
    )

    @abstractmethod
    def names(self) -> list[str]:
        """The name of each, without building any."""

    @abstractmethod
    def rows(self) -> npt.NDArray[np.int64]:
        """The number of rows that each reads, likewise."""

    @abstractmethod
    def build(self, number: int) -> Task[Args]:
        """The task at a position."""

    def fingerprints(self, head: Sequence[Any], without: str | None = None) -> Fingerprints:
        """128 bits of all that determines each task's file, except for its inputs under the role ``without``.

        ``head`` says which step and phase it is.
        """
        digests = (_digest(head, task, without) for task in self)
        return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, FINGERPRINT_BYTES)

    @overload
    def __getitem__(self, number: int) -> Task[Args]: ...
    @overload
    def __getitem__(self, number: slice) -> list[Task[Args]]: ...
    def __getitem__(self, number: int | slice) -> Task[Args] | list[Task[Args]]:
        if isinstance(number, slice):
            return [self.build(i) for i in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(f"task {number} of {len(self)}")
        return self.build(number)


class Listed(Tasks[Args]):
    """A few tasks, in a list."""

    def __init__(self, tasks: Sequence[Task[Args]], buckets: int | None = None) -> None:
        self._tasks, self.buckets = tasks, buckets
        self.scope = tasks[0].scope if tasks else Scope.WHOLE

    def __len__(self) -> int:
        return len(self._tasks)

    def names(self) -> list[str]:
        """The name of each."""
        return [task.name for task in self._tasks]

    def rows(self) -> npt.NDArray[np.int64]:
        """The number of rows that each reads."""
        return np.array([task.read_rows for task in self._tasks], np.int64)

    def build(self, number: int) -> Task[Args]:
        """The task at a position."""
        return self._tasks[number]


class Numbered(Tasks[Args]):
    """Tasks of one scope, made by a function of their number: 0, 1 and so on, unless ``numbers`` says others."""

    def __init__(
        self,
        scope: Scope,
        rows: Sequence[int],
        make: Callable[[int], Task[Args]],
        numbers: Sequence[int] | None = None,
    ) -> None:
        self.scope, self._rows, self._make = scope, np.asarray(rows, np.int64), make
        self._numbers = range(len(rows)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._rows)

    def names(self) -> list[str]:
        """The name of each."""
        return [paths.task_name(self.scope, number) for number in self._numbers]

    def rows(self) -> npt.NDArray[np.int64]:
        """The number of rows that each reads."""
        return self._rows

    def build(self, number: int) -> Task[Args]:
        """The task at a position."""
        return self._make(self._numbers[number])


class EachPart(Tasks[Args]):
    """The same work for every part of the run: a file a bundle, with a row group a part.

    What a part's table depends on is what ``inputs`` has of the part, what ``shared`` has for all, ``args``, and the
    part's number and rows. Where ``args`` differ from part to part, ``each`` makes them.
    """

    def __init__(
        self,
        parts: Parts,
        inputs: Mapping[str, ByPart | Sequence[ByPart]],
        args: Args = None,  # type: ignore[assignment]  # of a function that takes none
        *,
        shared: Mapping[str, Sequence[Source]] | None = None,
        each: Callable[[Part], Args] | None = None,
        buckets: int | None = None,
        bundle: int | None = None,
        together: bool = False,
    ) -> None:
        """``buckets``: of an exchange, whose files have a row group a bucket, over all parts of a bundle.

        ``bundle``: the parts a file, None for as many as usual. 1: a file a part, of work so dear that a kill must
        lose no more.
        ``together``: the phase's function goes over the parts of a bundle by itself.
        """
        self.scope = Scope.PART if bundle == 1 else Scope.BUNDLE
        self.buckets = buckets
        self._parts, self._args, self._each = parts, args, each
        self._inputs: dict[str, Sequence[ByPart]] = {
            role: [by] if isinstance(by, ByPart) else by for role, by in inputs.items()
        }
        self._shared = dict(shared or {})
        self._size, self._together = bundle or run_parts.BUNDLE, together

    def __len__(self) -> int:
        return (len(self._parts) + self._size - 1) // self._size

    def names(self) -> list[str]:
        """The name of each."""
        return [paths.task_name(self.scope, number) for number in range(len(self))]

    def rows(self) -> npt.NDArray[np.int64]:
        """The number of rows in the parts of each."""
        if not len(self):
            return np.zeros(0, np.int64)
        return np.add.reduceat(self._parts.rows, np.arange(0, len(self._parts), self._size))

    def build(self, number: int) -> Task[Args]:
        """The task at a position."""
        if self.scope is Scope.PART:
            own = {role: [by[number] for by in several] for role, several in self._inputs.items()}
            part = self._parts[number]
            args = self._args if self._each is None else self._each(part)
            return Task(Scope.PART, number, {**self._shared, **own}, args, rows=part.rows)
        first = number * self._size
        stop = min(first + self._size, len(self._parts))
        members = members_of(self._parts, self._inputs, first, stop, self._each)
        members = replace(members, buckets=self.buckets, together=self._together)
        rows = sum(members.rows)
        return Task(Scope.BUNDLE, number, self._shared, self._args, rows=rows, members=members)

    def fingerprints(self, head: Sequence[Any], without: str | None = None) -> Fingerprints:
        """See ``Tasks``. Costs microseconds a task: a run with nothing to do asks for all of them."""
        roles = sorted(role for role in self._inputs if role != without)
        common = {
            "step": list(head),
            "args": identity(self._args),
            "roles": [[role, len(self._inputs[role])] for role in roles],
            "shared": _identities(self._shared, without),
            "buckets": self.buckets,
        }
        base = hashlib.blake2b(_dumped(common), digest_size=FINGERPRINT_BYTES)
        columns = [by.digests for role in roles for by in self._inputs[role]]
        digests = np.stack([self._parts.rows.astype(np.uint64), *columns], axis=1)
        made = []
        # Arguments of neighbouring parts are mostly the same, and cost more to write than to compare.
        last, text = dict[str, Any](), _dumped({})
        for number in range(len(self)):
            first = number * self._size
            stop = min(first + self._size, len(self._parts))
            state = base.copy()
            state.update(first.to_bytes(8, "little"))
            state.update(digests[first:stop].tobytes())
            if self._each is not None:
                for part in self._parts[first:stop]:
                    each = identity(self._each(part))
                    if each != last:
                        last, text = each, _dumped(each)
                    state.update(text)
            made.append(state.digest())
        return np.frombuffer(b"".join(made), np.uint8).reshape(-1, FINGERPRINT_BYTES)


def members_of(
    parts: Parts,
    inputs: Mapping[str, Sequence[ByPart]],
    first: int,
    stop: int,
    each: Callable[[Part], Args] | None = None,
) -> Members[Args]:
    """The parts from ``first`` to before ``stop``, and what a task reads of each."""
    # One table under several roles travels once.
    spans = {id(by): by.span(first, stop) for several in inputs.values() for by in several}
    return Members(
        first,
        tuple(parts.rows[first:stop].tolist()),
        {role: [spans[id(by)] for by in several] for role, several in inputs.items()},
        None if each is None else [each(part) for part in parts[first:stop]],
    )


@dataclass(frozen=True)
class Phase(Generic[Args]):
    """A wave of tasks."""

    name: str
    function: Callable[[TaskIo[Args]], Iterable[pa.Table]]
    tasks: Tasks[Args]
    resources: Claimed = field(default_factory=Claimed)
    per_row: bool = False  # values depend on their row alone: tamis.pipeline.tasks.row_reuse
    rows_from: str = "drops"  # the role that says which rows these are
    cheap: bool = False  # missing rows are computed for a question about a finished run too
    by_sample: bool = (
        False  # opens samples singly and can leave some out: tamis.pipeline.runs.isolate
    )
    by_section: bool = False  # reads the sections of a file one by one, and can leave some unread
    carries_bytes: bool = False  # of the input: a pipeline of tamis.pipeline.runs.ray_engine
    reads_embedding_files: bool = False  # of the input, known by their sizes and times alone


def listed(
    name: str,
    function: Callable[[TaskIo[Args]], Iterable[pa.Table]],
    tasks: Iterable[Task[Args]],
    resources: Claimed | None = None,
    buckets: int | None = None,
) -> Phase[Args]:
    """A phase of few tasks; ``buckets``: the tables that each gives, where these are for others to gather."""
    return Phase(name, function, Listed(list(tasks), buckets), resources or Claimed())


def identity(args: Any) -> dict[str, Any]:
    """A task's arguments as JSON values, without locations and without options that are None."""
    if args is None:
        return {}
    kind: Any = type(args)
    found = {}
    for shown, name in _known_by(kind):
        value = getattr(args, name)
        if value is not None:
            found[shown] = value if type(value) in PLAIN else _plain(value)
    return found


PLAIN = frozenset({str, int, float, bool, list, dict})
"""Types of JSON: there is one look at a value for each part of the run."""


@cache
def _known_by(kind: Any) -> tuple[tuple[str, str], ...]:
    """The fields of a class of arguments that identify a task: the name in JSON, and its own."""
    return tuple((f.name.rstrip("_"), f.name) for f in fields(kind) if "location" not in f.metadata)


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(type(value), "__dataclass_fields__") else value


_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False)
"""Made once: to make an encoder takes as long as to write a task's arguments."""


def _dumped(value: Any) -> bytes:
    return _JSON.encode(value).encode()


def _identities(inputs: Mapping[str, Sequence[Source]], without: str | None) -> dict[str, Any]:
    return {
        role: [source.identity for source in sources]
        for role, sources in inputs.items()
        if role != without
    }


def _digest(head: Sequence[Any], task: Task[Any], without: str | None) -> bytes:
    """One task's fingerprint; see ``Tasks.fingerprints``."""
    whole: dict[str, Any] = {
        "step": list(head),
        "args": identity(task.args),
        "inputs": _identities(task.inputs, without),
    }
    members = task.members
    if members is not None:
        whole["parts"] = [members.first, list(members.rows)]
        whole["members"] = {
            role: [by.identity for by in several]
            for role, several in members.inputs.items()
            if role != without
        }
        whole["each"] = [identity(args) for args in members.each or ()]
    return hashlib.blake2b(_dumped(whole), digest_size=FINGERPRINT_BYTES).digest()
