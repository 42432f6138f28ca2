"""Ray that does not start in time is started again before a person is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

from tamis.pipeline.runs import ray_connection
from tamis.schemas.errors import StateError
from tamis.schemas.resources import Resources


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The errors of the next starts, the last first; without one Ray starts."""
    errors: list[str] = []

    def start(**_: Any) -> None:
        if errors:
            raise RuntimeError(errors.pop())

    monkeypatch.setattr(ray, "init", start)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray_connection, "START_WAIT", 0.0)
    return errors


def test_twice_too_late_and_then_in_time(starts: list[str]) -> None:
    starts += ["too late"] * (ray_connection.STARTS - 1)
    ray_connection._begin(Resources(), {})
    assert starts == []


def test_never_in_time(starts: list[str]) -> None:
    starts += ["too late"] * 9
    with pytest.raises(StateError, match=r"3 times over \(too late\): is it very busy"):
        ray_connection._begin(Resources(), {})
    assert len(starts) == 9 - ray_connection.STARTS


def test_a_long_path_is_told_at_once(starts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    starts += ["AF_UNIX path length cannot exceed 107 bytes"] * 9
    with pytest.raises(StateError, match=r"/tmp is too long a path .* set a shorter TMPDIR"):
        ray_connection._begin(Resources(), {})
    assert len(starts) == 8


def test_a_full_disk_is_told(
    starts: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(ray_connection, "LEAST_ROOM", 1 << 62)
    starts += ["timed out"] * 9
    with pytest.raises(StateError, match="keeps its session, is full: make room"):
        ray_connection._begin(Resources(), {})
