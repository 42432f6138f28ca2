"""Ratios over time: what is kept, what fell, and the page."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks import history
from tests.benchmarks._table import ALL, Row
from tests.benchmarks.history import Entry, Ratio


def named(number: int, ratios: dict[str, Ratio], machine: str = "one") -> Entry:
    return Entry(f"c{number}", f"2026-01-{number:02d}T00:00:00", machine, ratios)


def entry(number: int, machine: str = "one", **ratios: Ratio) -> Entry:
    return named(number, ratios, machine)


def test_a_ratio_that_fell_is_compared_with_the_last_entry_that_has_it() -> None:
    kept = [
        entry(1, a=Ratio(1.0), b=Ratio(1.0), memory=Ratio(0.5, goal="< 1")),
        entry(2, a=Ratio(2.0)),
        entry(3, machine="another", a=Ratio(9.0), b=Ratio(9.0)),
        entry(4, a=Ratio(1.7), b=Ratio(0.91), memory=Ratio(0.56, goal="< 1"), new=Ratio(0.1)),
    ]
    found = {fall.name: fall.since for fall in history.fell(kept)}
    assert found == {"a": "c2", "memory": "c1"}
    assert {name for name, *_ in history.compared(kept)} == {"a", "b", "memory"}
    assert history.fell(kept[:1]) == history.fell([]) == []


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.booleans())
def test_more_than_a_tenth_worse_is_told_in_either_direction(
    before: float, now: float, less: bool
) -> None:
    goal = "<= 1.2" if less else ">= .7"
    kept = [entry(1, a=Ratio(before, goal=goal)), entry(2, a=Ratio(now, goal=goal))]
    share = (now - before) / before if less else (before - now) / before
    if abs(share - history.WORSE) > 1e-9:
        assert bool(history.fell(kept)) == (share > history.WORSE)


def test_what_may_be_noise_is_said_to_be() -> None:
    kept = [entry(1, a=Ratio(1.0, 0.8, 1.2)), entry(2, a=Ratio(0.85, 0.7, 0.9))]
    (fall,) = history.fell(kept)
    assert fall.told() == "a: 1 -> 0.85, 15% worse since c1; their rounds overlap"
    (clear,) = history.fell([kept[0], entry(2, a=Ratio(0.7, 0.6, 0.75))])
    assert clear.told() == "a: 1 -> 0.7, 30% worse since c1"


def test_packages_that_changed_meanwhile_are_named() -> None:
    before = Entry("c1", "2026-01-01T00:00:00", "one", {}, {"a": "1", "b": "2"})
    now = Entry("c2", "2026-01-02T00:00:00", "one", {}, {"a": "1", "b": "3", "c": "4"})
    assert history.changed_versions([before, now], "c1") == ["b 2 -> 3", "c absent -> 4"]
    assert history.changed_versions([before], "c1") == []


def test_entries_come_back_and_a_second_part_is_added_to_its_commit(tmp_path: Path) -> None:
    first = entry(1, a=Ratio(1.0, 0.9, 1.1, ">= 1"), b=Ratio(2.0))
    path = history.keep(first, tmp_path)
    assert history.entries(tmp_path) == [first]
    assert history.keep(entry(1, b=Ratio(3.0)), tmp_path) == path
    assert history.entries(tmp_path) == [entry(1, a=first.ratios["a"], b=Ratio(3.0))]
    history.keep(entry(1, machine="another", b=Ratio(4.0)), tmp_path)
    assert history.entries(tmp_path) == [entry(1, machine="another", b=Ratio(4.0))]


def test_the_tables_of_a_bench_become_an_entry_of_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True
        )

    monkeypatch.setattr(history, "FOLDER", tmp_path / "history")
    rows = [
        Row("x", "y", 2.0, 1.0, "/s", 2.00049, 1.9, 2.1, ">= 1"),
        Row("z", "", 1.0, None, "s", None),
    ]
    told = {
        "machine": {"processor": "P", "cores": 2, "numpy": "2"},
        "tables": [{"title": "first", "rows": [asdict(row) for row in rows]}],
    }
    (tmp_path / ALL).write_text(json.dumps(told))
    with pytest.raises(SystemExit, match="no commit can be named"):
        history.measured(tmp_path)
    git("init", "-q")
    git("add", ALL)
    git("commit", "-q", "-m", "one")
    found = history.measured(tmp_path)
    assert found.machine == "P, 2 cores"
    assert found.versions == {"numpy": "2"}
    assert found.ratios == {"First: x / y [/s]": Ratio(2.0, 1.9, 2.1, ">= 1")}
    assert not found.commit.endswith("+")
    (tmp_path / ALL).write_text(json.dumps(told, indent=1))
    assert history.measured(tmp_path).commit == found.commit + "+"


def test_the_page_draws_each_ratio_and_marks_what_fell() -> None:
    kept = [
        named(1, {"T: a / b [/s]": Ratio(1.0, 0.9, 1.1, ">= 1"), "T: <c> [/s]": Ratio(2.0)}),
        named(2, {"T: a / b [/s]": Ratio(0.5)}),
    ]
    drawn = history.page(kept).decode()
    assert drawn.count("<svg") == 2
    assert drawn.count("<circle") == 3
    assert "&lt;c&gt;" in drawn
    assert "<b>0.5 ↓</b>" in drawn
    assert "http" not in drawn.replace("http-equiv", "")
    assert "No entry yet" in history.page([]).decode()


def test_the_kept_entries_can_be_read() -> None:
    kept = history.entries()
    assert kept
    assert all(path.stat().st_size < 100_000 for path in history.FOLDER.glob("*.json"))
    assert b"<svg" in history.page(kept)
