"""Signals that come at a bad moment wait for its end."""

# ruff: noqa: PT012 - what a block does before it raises is what is tried

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tamis.jobs.cli.start import terminate
from tamis.pipeline.host.interrupts import PATIENCE, defer
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
    with pytest.raises(error), defer():
        send(number)
        done.append(number)
    assert done == [number]
    with pytest.raises(error):
        send(number)


def test_handlers_are_restored() -> None:
    setter = signal.signal
    with defer() as signals, signals.deliver():
        pass
    assert signal.signal is setter
    assert signal.getsignal(signal.SIGTERM) is terminate


def test_a_handler_set_during_the_deferral_is_refused() -> None:
    def other(*_: Any) -> None:
        raise SystemExit(15)

    with pytest.raises(Terminated), defer():
        signal.signal(signal.SIGTERM, other)
        send(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is terminate


def test_a_delivered_signal_is_raised_at_once_and_the_next_waits() -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt), defer() as signals:
        try:
            with signals.deliver():
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
def test_a_lost_signal_is_raised_by_check_or_at_the_end(looked: bool) -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt), defer() as signals, signals.deliver():
        Finalised()
        seen.append("lost")
        if looked:
            signals.check()
            seen.append("not raised")
    assert seen == ["lost"]


def test_a_signal_that_waits_is_raised_where_delivery_begins() -> None:
    seen = []
    with pytest.raises(Terminated), defer() as signals:
        send(signal.SIGTERM)
        seen.append("deferred")
        with signals.deliver():
            seen.append("delivered")
    assert seen == ["deferred"]


def test_a_deferral_inside_delivery_ends_the_delivery() -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt), defer() as signals, signals.deliver():
        try:
            with defer():
                send(signal.SIGINT)
                seen.append("Ray has started")
        finally:
            send(signal.SIGINT)
            seen.append("Ray has ended")
    assert seen == ["Ray has started", "Ray has ended"]


def test_more_signals_than_wait_are_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), defer():
        for _ in range(PATIENCE):
            send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        send(signal.SIGINT)


def test_other_threads_defer_nothing() -> None:
    seen = []

    def work() -> None:
        with defer() as signals, signals.deliver():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [terminate]
