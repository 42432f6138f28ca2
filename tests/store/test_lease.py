"""One run at a time in a directory: whatever a lock says, of whichever container, and however many come at once."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tamis.pipeline.host import processes
from tamis.pipeline.store import lease, storage
from tamis.pipeline.store.lease import FILE, TAKEOVER, Lease
from tamis.schemas.errors import StateError, StorageError
from tests.support.leases import assert_that_one_of_six_holds

HERE = {"host": socket.gethostname(), "boot": processes.boot(), "space": processes.namespace()}
DAY = 86_400.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.2)


def lock(folder: Path, text: str | None = None, **holder: Any) -> None:
    whole = {
        **HERE,
        "process": 999_999_999,
        "process_started": "1",
        "renewed": time.time(),
        **holder,
    }
    (folder / FILE).write_text(json.dumps(whole) if text is None else text)


def process(number: int) -> dict[str, Any]:
    """A living process, as a lock names it."""
    return {"process": number, "process_started": processes.start_time(number)}


TAKEN_OVER: dict[str, dict[str, Any]] = {
    "a process that has ended": {},
    "a process id that is used again": {"process": 1, "process_started": "1"},
    "a negative process": {"process": -1, "process_started": None},
    "no process": {"process": 0, "process_started": None},
    "a process beyond all": {"process": 10**30, "process_started": None},
    "another machine's, not renewed": {"host": "other", "renewed": time.time() - 91},
    "another container's, not renewed": {"space": "pid:[1]", "renewed": time.time() - 91},
    "ahead by a day, and never renewed": {"host": "other", "renewed": time.time() + DAY},
    "no number": {"host": "other", "renewed": float("nan")},
    "for ever": {"host": "other", "renewed": float("inf")},
    "never": {"host": "other", "renewed": float("-inf")},
    "an earlier version's, of a process that has ended": {"boot": HERE["boot"]},
    "this process's, which the disk let go of": process(os.getpid()),
    "empty": {"text": ""},
    "junk": {"text": "\0\x01"},
    "another shape": {"text": '{"host": ["a"], "process": 5, "renewed": 1}'},
    "deep": {"text": "[" * 9999},
}  # fmt: skip

REFUSED: dict[str, dict[str, Any]] = {
    "another machine's": {"host": "other"},
    "another boot's, with our host's name": {"boot": "other"},
    "another container's, with our host's name": {"space": "pid:[1]"},
    "another container's first process": {"space": "pid:[1]", "process": 1},
    "a living process's": process(os.getppid()),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAKEN_OVER)
def test_a_lock_of_the_dead_is_taken_over(tmp_path: Path, kind: str) -> None:
    lock(tmp_path, **TAKEN_OVER[kind])
    with Lease(str(tmp_path)):
        assert json.loads((tmp_path / FILE).read_text())["process"] == os.getpid()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", REFUSED)
def test_a_lock_of_the_living_holds(tmp_path: Path, kind: str) -> None:
    lock(tmp_path, **REFUSED[kind])
    before = (tmp_path / FILE).read_text()
    with pytest.raises(StateError) as refused, Lease(str(tmp_path)):
        pass
    said = str(refused.value)
    assert "another run is at work in it (process" in said
    assert "renewed run.lock 0 s ago" in said
    assert "`ps -p " in said
    assert (tmp_path / FILE).read_text() == before


def test_this_process_holds_what_it_has_not_let_go_of(tmp_path: Path) -> None:
    with Lease(str(tmp_path)):
        with pytest.raises(StateError, match="another run is at work"), Lease(str(tmp_path)):
            pass
        assert (tmp_path / FILE).exists()
    with Lease(str(tmp_path)):
        pass


def test_a_start_that_fails_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: str) -> None:
        raise StorageError(f"{root} cannot be cleared")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "clear_partial", fail)
        with pytest.raises(StorageError), Lease(str(tmp_path)):
            pass
    assert os.listdir(tmp_path) == []


def test_a_holder_whose_clock_is_ahead_is_seen_to_be_alive(tmp_path: Path) -> None:
    class Renewed(threading.Event):
        """While it is waited for the holder renews its lock, however busy the machine is."""

        def wait(self, timeout: float | None = None) -> bool:
            lock(tmp_path, host="other", renewed=time.time() + DAY)
            return super().wait(0)

    lock(tmp_path, host="other", renewed=time.time() + DAY)
    late = Lease(str(tmp_path))
    late._stop = Renewed()
    with pytest.raises(StateError, match="not of this machine's clock"), late:
        pass


def knows_the_dead(lease: Lease) -> None:
    lease._is_gone = lambda holder: holder["process"] == 999_999_999  # type: ignore[method-assign]


def test_of_many_that_take_over_one_dead_lock_one_does(tmp_path: Path) -> None:
    for _ in range(20):
        lock(tmp_path)
        assert_that_one_of_six_holds(tmp_path, knows_the_dead)


def test_who_was_killed_while_taking_over_hinders_nobody(tmp_path: Path) -> None:
    lock(tmp_path)
    (tmp_path / TAKEOVER).write_text((tmp_path / FILE).read_text())
    with Lease(str(tmp_path)):
        pass
    assert os.listdir(tmp_path) == []


def test_partial_files_of_two_containers_are_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for process in ("aaaaaaaa", "bbbbbbbb"):
        monkeypatch.setattr("tamis.pipeline.store.local._PROCESS", process)
        with storage.write_atomic(str(tmp_path / "x")) as file:
            file.write(b"1")
            names += [name for name in os.listdir(tmp_path) if name.endswith(".partial")]
    assert len(set(names)) == 2
    for name in (*names, ".y.host-7.partial"):
        (tmp_path / name).write_bytes(b"1")
    storage.clear_partial(str(tmp_path))
    assert os.listdir(tmp_path) == ["x"]
