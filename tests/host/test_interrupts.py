"""Signals that come at a bad moment wait for its end."""

# ruff: noqa: PT012 - what a block does before it raises is what is tried

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tamis.jobs.cli import terminate
from tamis.pipeline.host.interrupts import PATIENCE, held
from tamis.schemas.errors import Terminated


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of the command line."""
    former = {
        number: signal.signal(number, handler)
        for number, handler in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, terminate),
        )
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def send(number: int) -> None:
    """To this process; it is handled before the next statement."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_waits_for_the_end(number: int, error: type[BaseException]) -> None:
    done = []
    with pytest.raises(error), held():
        send(number)
        done.append(number)
    assert done == [number]
    with pytest.raises(error):
        send(number)


def test_without_one_all_is_as_before() -> None:
    setter = signal.signal
    with held() as signals, signals.opened():
        pass
    assert signal.signal is setter
    assert signal.getsignal(signal.SIGTERM) is terminate


def test_a_handler_that_another_sets_meanwhile_is_not_taken() -> None:
    def other(*_: Any) -> None:
        raise SystemExit(15)

    with pytest.raises(Terminated), held():
        signal.signal(signal.SIGTERM, other)
        send(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is terminate


def test_in_the_open_it_is_raised_at_once_and_the_next_waits() -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt), held() as signals:
        try:
            with signals.opened():
                try:
                    send(signal.SIGINT)
                    seen.append("not raised")
                finally:
                    send(signal.SIGTERM)
                    seen.append("cleaned up within")
        finally:
            seen.append("cleaned up")
    assert seen == ["cleaned up within", "cleaned up"]


class Finalised:
    def __del__(self) -> None:
        send(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("looked", [True, False])
def test_what_python_lost_is_raised_where_it_is_looked_for_or_at_the_end(looked: bool) -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt), held() as signals, signals.opened():
        Finalised()
        seen.append("lost")
        if looked:
            signals.check()
            seen.append("not raised")
    assert seen == ["lost"]


def test_what_came_before_it_opens_is_raised_there() -> None:
    seen = []
    with pytest.raises(Terminated), held() as signals:
        send(signal.SIGTERM)
        seen.append("still held")
        with signals.opened():
            seen.append("open")
    assert seen == ["still held"]


def test_one_that_is_held_within_the_open_closes_it() -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt), held() as signals, signals.opened():
        try:
            with held():
                send(signal.SIGINT)
                seen.append("Ray has started")
        finally:
            send(signal.SIGINT)
            seen.append("Ray has ended")
    assert seen == ["Ray has started", "Ray has ended"]


def test_who_insists_is_heard() -> None:
    with pytest.raises(KeyboardInterrupt), held():
        for _ in range(PATIENCE):
            send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        send(signal.SIGINT)


def test_other_threads_have_nothing_to_hold() -> None:
    seen = []

    def work() -> None:
        with held() as signals, signals.opened():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [terminate]
