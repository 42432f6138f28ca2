"""What is handed out is held until it is back; chunks are many and large, and small at the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.runs.feed import Feed
from tamis.pipeline.runs.window import ROUNDS, Window, chunks
from tests.support.engine import Lazy


@given(st.integers(0, 3000), st.integers(1, 40), st.integers(1, 64))
def test_the_chunks_are_all_tasks_and_leave_something_for_every_worker(
    count: int, slots: int, most: int
) -> None:
    sizes = list(chunks(count, slots, most))
    assert sum(sizes) == count
    assert sizes == sorted(sizes, reverse=True)
    left = count
    for size in sizes:
        assert 1 <= size <= most
        assert size == 1 or size * slots * ROUNDS <= left
        left -= size


@given(st.integers(0, 60), st.data())
def test_a_window_looks_at_each_task_once_and_knows_which_are_missing(
    count: int, data: Any
) -> None:
    works = Lazy("any", count)
    window = Window(works)
    out: list[str] = []
    while window.left:
        before = len(out)
        taken = window.take(data.draw(st.integers(1, 9)))
        assert works.looked.total() == count - window.left
        out += [work.name for work in taken]
        assert len(out) > before
        for name in data.draw(st.lists(st.sampled_from(out), unique=True)) if out else []:
            assert window.path(name).endswith(".parquet")
            window.back(name)
            out.remove(name)
        if data.draw(st.booleans()):
            break
    rest = [work.name for work in Lazy("any", count)][count - window.left :]
    assert [work.name for work in window.missing()] == out + rest
    assert set(works.looked.values()) <= {1}


def test_workers_get_every_chunk_once_and_learn_when_none_is_left() -> None:
    async def all_taken() -> list[bytes | None]:
        feed = Feed(total=9, capacity=2, patience=60)
        waiting = [asyncio.create_task(feed.take()) for _ in range(12)]
        for first in range(0, 9, 3):
            await feed.add([bytes([number]) for number in range(first, first + 3)])
        return await asyncio.gather(*waiting)

    taken = Counter(asyncio.run(all_taken()))
    assert taken.pop(None) == 3
    assert taken == Counter(bytes([number]) for number in range(9))


def test_a_worker_that_waits_in_vain_is_told_so() -> None:
    async def starved() -> tuple[bytes | None, int, int]:
        feed = Feed(total=2, capacity=2, patience=0.01)
        nothing, before = await feed.take(), await feed.room(0)
        await feed.add([b"one"])
        return nothing, before, await feed.room(1)

    assert asyncio.run(starved()) == (b"", 2, 1)
