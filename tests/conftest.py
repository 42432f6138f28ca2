"""What more than one test needs: the clip-art data and the way properties are tried."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from tamis.schemas import redaction

if TYPE_CHECKING:
    from tests.support.demo_run import DemoRun

ROOT = Path(__file__).resolve().parents[1]

# The same examples on every run and on every machine; `make fuzz` looks for new ones.
settings.register_profile(
    "default",
    derandomize=True,
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "fuzz",
    max_examples=2000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


@pytest.fixture(autouse=True, scope="session")
def the_same_examples() -> Iterator[None]:
    """No constants of the modules that are imported by then: which these are depends on the tests that ran before."""
    with pytest.MonkeyPatch.context() as patch:
        if settings.get_current_profile_name() == "default":
            patch.setattr(providers, "_get_local_constants", Constants)
        yield


SLOW = 30
"""Tests that a slow one weighs as much as."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: no process is left with one of them while the others have ended."""
    weight: Counter[Path] = Counter()
    for item in items:
        weight[item.path] += SLOW if item.get_closest_marker("slow") else 1
    items.sort(key=lambda item: (-weight[item.path], item.path))


@pytest.fixture(autouse=True)
def width_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs the tests may say how wide its terminal is."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def own_secrets() -> Iterator[None]:
    """The secrets that a test shows to this process are not hidden from the next one: a password may be any word."""
    before = set(redaction._noted)
    yield
    redaction._noted.clear()
    redaction._noted.update(before)


@pytest.fixture(autouse=True, scope="session")
def interrupts_are_heard() -> None:
    """What runs the tests in the background may ignore interrupts, and their children would with it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_disks() -> Iterator[None]:
    """What is written is not forced to the disk: no test cuts the power, and small runs would wait more than work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def openclipart() -> Path:
    """The folder with all 7,396 clip-art pairs (eight tars); not part of the project."""
    default = ROOT.parent / "shared" / "data" / "openclipart"
    folder = Path(os.environ.get("TAMIS_CLIPART", default))
    if not (folder / "00000.tar").is_file():
        pytest.skip(f"no clip-art tars in {folder}: set TAMIS_CLIPART to the folder that has them")
    return folder


@pytest.fixture(scope="session")
def clipart_example() -> Path:
    """The folder with the example data that the project ships."""
    return ROOT / "jobs" / "examples" / "clipart"


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The preset `demo`, done once by the command itself on Ray with two processors: a minute or two.

    Tests read it, of several processes at once, and change nothing there.
    """
    from tests.support.demo_run import shared_demo

    base = tmp_path_factory.getbasetemp()
    return shared_demo(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)
