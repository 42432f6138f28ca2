"""Rows of tasks at work on Ray: what workers send, what the actor holds, and what the driver asks."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

import pytest

from tamis.pipeline.host import at_work
from tamis.pipeline.runs import tally
from tamis.pipeline.runs.tally import Asked, Tally, Teller


class Remote:
    """An actor in this process: calls come at once, answers when they are let."""

    def __init__(self) -> None:
        self.actor, self.sent, self.asked = Tally(), list[int](), list[Future[int]]()
        self.tell, self.rows = _Call(self._tell), _Call(self._rows)

    def _tell(self, number: int, worker: str, rows: int) -> None:
        self.sent.append(rows)
        self.actor.tell(number, worker, rows)

    def _rows(self, number: int) -> Remote:
        self.asked.append(Future())
        self._number = number
        return self

    def future(self) -> Future[int]:
        return self.asked[-1]

    def answer(self) -> None:
        self.asked[-1].set_result(self.actor.rows(self._number))


class _Call:
    def __init__(self, function: Any) -> None:
        self.remote = function


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands until a test moves it."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_worker_sends_of_long_tasks_alone_and_rarely(clock: list[float]) -> None:
    remote = Remote()
    at_work.tell_by(Teller(remote, 1, workers=1))
    for _ in range(3):  # short tasks
        at_work.begin()
        at_work.advance(50)
        clock[0] += 0.5
    at_work.begin()
    assert remote.sent == []
    for _ in range(30):  # a long one
        clock[0] += 0.1
        at_work.advance(1)
    at_work.begin()
    at_work.begin()
    assert len(remote.sent) == 3
    assert remote.sent == [*sorted(remote.sent[:-1]), 0]
    assert remote.actor.rows(1) == 0
    at_work.tell_by(lambda _: None)


def test_the_more_workers_there_are_the_more_rarely_each_sends(clock: list[float]) -> None:
    remote = Remote()
    teller = Teller(remote, 1, workers=100 * tally.MESSAGES)
    teller(0)
    for rows in range(1, 1000):
        clock[0] += 1.0
        teller(rows)
    assert len(remote.sent) == 9


def test_a_new_pass_forgets_the_rows_of_workers_that_died() -> None:
    actor = Tally()
    actor.tell(1, "a", 10)
    actor.tell(1, "b", 20)
    actor.tell(1, "a", 15)
    assert actor.rows(1) == 35
    actor.tell(2, "c", 4)
    actor.tell(1, "b", 30)  # late
    assert (actor.rows(1), actor.rows(2)) == (0, 4)


def test_the_driver_asks_once_a_second_and_waits_half_a_one_at_most(clock: list[float]) -> None:
    remote = Remote()
    asked = Asked(remote)
    teller = asked.begin(workers=2)
    teller(0)
    clock[0] += 2.0
    teller(7)
    assert [asked.rows() for _ in range(9)] == [0] * 9  # no answer yet
    assert len(remote.asked) == 1
    remote.answer()
    assert [asked.rows() for _ in range(9)] == [7] * 9
    assert len(remote.asked) == 1
    asked.ended(5)
    assert asked.rows() == 2
    asked.ended(5)
    assert asked.rows() == 0
    clock[0] += 1.0
    asked.rows()
    assert len(remote.asked) == 2
    asked.begin(workers=2)
    assert asked.rows() == 0
    clock[0] += 1.0
    asked.rows()
    remote.asked[-1].set_exception(RuntimeError("the actor died"))
    assert asked.rows() == 0
    clock[0] += 1.0
    asked.close()
    asked.rows()
    assert len(remote.asked) == 3
