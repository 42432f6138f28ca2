"""What it costs the driver to describe one task does not grow with the run: numbers that are touched are counted."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks import dealing
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.parts import BUNDLE, Parts
from tamis.pipeline.tasks.phase import EachPart
from tamis.pipeline.tasks.sources import SomeParts
from tamis.schemas.scope import Scope

SMALL, LARGE = 40 * BUNDLE, 400 * BUNDLE
BUCKETS = 300


class Counted(np.ndarray[Any, Any]):
    """An array that counts the numbers that go through arithmetic, comparisons and sums of it and its slices."""

    touched = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        Counted.touched += max(np.size(given) for given in inputs)
        plain = [np.asarray(i) if isinstance(i, Counted) else i for i in inputs]
        found = getattr(ufunc, method)(*plain, **options)
        return found.view(Counted) if isinstance(found, np.ndarray) else found

    def astype(self, *kind: Any, **options: Any) -> Any:
        Counted.touched += self.size
        return super().astype(*kind, **options)


def counted(records: Any) -> Any:
    """The same records, with all of their arrays counted."""
    arrays = {
        field.name: getattr(records, field.name).view(Counted)
        for field in fields(records)
        if isinstance(getattr(records, field.name), np.ndarray)
    }
    return replace(records, **arrays)


def made(names: list[str], groups: int) -> FileColumns:
    """Records of files that nobody wrote, with so many row groups each."""
    digests, rows = ("0" * 16,) * groups, (10,) * groups
    records = [TableFile(f"t/{n}.parquet", "0" * 32, digests, rows, 1000, {}) for n in names]
    files = FileColumns.of("t", names, records)
    assert files.starts.size == len(names)  # which it finds once
    found: FileColumns = counted(files)
    return found


def of_parts(parts: int) -> tuple[Parts, Done]:
    """Parts, each with a file of its own."""
    names = [f"part-{number:06d}" for number in range(parts)]
    cut = Parts.of((number, 0, 10) for number in range(parts))
    return cut, Done(Scope.PART, made(names, 1))


def in_bundles(parts: int) -> Callable[[], object]:
    """A task over a bundle of them."""
    cut, done = of_parts(parts)
    tasks: EachPart[None] = EachPart(counted(cut), {"ingest": done.by_part(cut, [])}, None)
    return lambda: pickle.dumps(tasks.build(7))


def some(parts: int) -> Callable[[], object]:
    """A shard's parts, sent to its worker."""
    cut, done = of_parts(parts)
    taken = np.arange(100, 125)
    return lambda: pickle.dumps(SomeParts(done.by_part(cut, []), taken))


def buckets(waves: int) -> Callable[[int], Callable[[], object]]:
    """One bucket of an exchange between bundles."""

    def of(parts: int) -> Callable[[], object]:
        names = [f"bundle-{number:05d}" for number in range(parts // BUNDLE)]
        fan = dealing.fan_of(BUCKETS)
        first = made(names, -(-BUCKETS // fan))
        if waves == 1:
            done = Done(Scope.BUNDLE, first)
            return lambda: pickle.dumps(done.groups(7))
        tasks = list(dealing.second_wave("dealt", first, BUCKETS).tasks)
        second = made([task.name for task in tasks], fan)
        dealt = Done(Scope.BUNDLE, first, second, BUCKETS)
        return lambda: pickle.dumps(dealt.groups(7))

    return of


@pytest.mark.parametrize(
    ("described", "bound"),
    [(in_bundles, 1.0), (some, 1.0), (buckets(2), 1.0), (buckets(1), LARGE / SMALL)],
    ids=["bundle", "shard", "two waves", "one wave"],
)
def test_a_task_costs_what_it_reads(
    described: Callable[[int], Callable[[], object]], bound: float
) -> None:
    """Of one wave a bucket reads a row group of every bundle's file: no more of them than GROUPS buckets do."""
    costs = []
    for parts in (SMALL, LARGE):
        describe = described(parts)
        Counted.touched = 0
        describe()
        costs.append(Counted.touched)
    assert 0 < costs[1] <= bound * costs[0]
