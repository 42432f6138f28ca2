"""A plugin of pytest: processor seconds by file, test and fixture, as the clock says little on a busy machine.

    python -m pytest -n0 -p tests.support.processor_time FILES

Counted are this process and the children that it has waited for. Ray's processes are not among them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

SHOWN = 20
"""Lines of each table."""

SECONDS: dict[str, defaultdict[str, float]] = {
    table: defaultdict(float) for table in ("files", "tests", "fixtures")
}
"""A test's seconds are its file's too; those of a fixture are also of the test that asked for it first."""


def _spent() -> float:
    return sum(os.times()[:4])


@contextmanager
def _noted(**names: str) -> Iterator[None]:
    before = _spent()
    yield
    for table, name in names.items():
        SECONDS[table][name] += _spent() - before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test with the fixtures that it makes; the examples of a parametrised one are counted together."""
    file, _, name = item.nodeid.partition("::")
    with _noted(files=file, tests=f"{file}::{name.partition('[')[0]}"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
    """One fixture, with those that it asks for."""
    with _noted(fixtures=f"{fixturedef.baseid}::{fixturedef.argname}"):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The largest of each."""
    for table, seconds in SECONDS.items():
        terminalreporter.section(f"processor seconds of {table}: {sum(seconds.values()):.0f}")
        for name, spent in sorted(seconds.items(), key=lambda one: -one[1])[:SHOWN]:
            terminalreporter.write_line(f"{spent:8.1f} {name}")
