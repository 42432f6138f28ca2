"""Rows of tasks at work, as workers of this machine tell of them."""

from __future__ import annotations

import io
import multiprocessing
import time
from collections.abc import Iterator

import pytest

from tamis.jobs.observers.pulse import Pulse
from tamis.pipeline.host import at_work
from tamis.schemas.events import PhaseStarted, TaskDone
from tamis.schemas.scope import Scope


@pytest.fixture
def board() -> Iterator[at_work.Board]:
    made = at_work.Board(3)
    at_work.show(made)
    yield made
    at_work.show(None)
    made.close()


def worker(path: str, place: int, rows: int) -> None:
    at_work.join(path, place)
    at_work.begin()
    for _ in range(rows):
        at_work.advance(1)


def at(board: at_work.Board, place: int, rows: int) -> None:
    """A worker that has done some rows of its task, and is gone."""
    started = multiprocessing.get_context("spawn").Process(
        target=worker, args=(board.path, place, rows)
    )
    started.start()
    started.join()
    assert started.exitcode == 0


def test_workers_write_each_in_its_place(board: at_work.Board) -> None:
    at(board, 0, 5)
    at(board, 2, 40)
    assert at_work.rows() == 45
    at(board, 2, 7)
    assert at_work.rows() == 12
    board.clear(0)
    assert at_work.rows() == 7


def test_without_a_board_nothing_is_told() -> None:
    assert at_work.rows() == 0
    at_work.advance(3)
    at_work.join("/proc/0/fd/0", 1)
    at_work.advance(3)
    assert at_work.rows() == 0


def test_a_line_counts_what_is_at_work(board: at_work.Board) -> None:
    at(board, 1, 30)
    stream = io.StringIO()
    with Pulse(stream, ["ingest", "embed"], interval=0.05) as pulse:
        pulse(PhaseStarted("embed", "vectors", tasks=2, found=0, rows=200))
        while "30 of 200 samples" not in stream.getvalue():
            time.sleep(0.01)
        pulse(
            TaskDone(
                "embed",
                "vectors",
                "part-0",
                Scope.PART,
                rows=150,
                written=150,
                bytes=1,
                seconds=1.0,
            )
        )
        while "180 of 200 samples" not in stream.getvalue():
            time.sleep(0.01)
        at(board, 0, 90)  # more than there are cannot be at work
        while "200 of 200 samples" not in stream.getvalue():
            time.sleep(0.01)
