"""A table that is gone, or that a disk does not list yet, is never left out of an answer in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.reading.sql import connect
from tamis.pipeline.store import storage
from tests.support.embedded import blobs, kept, run_steps, write_input
from tests.support.running import Sample, make_plan, picture, run_here, write_tar
from tests.support.tables import small_bundles

STEPS = "- signals: [words, n]\n- rules: {words: {min: 2}}\n- exact_duplicates\n- write"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run in parts of four, each with tables of its own."""
    small_bundles(monkeypatch, 1)
    samples = [
        Sample(f"k{i}", picture(i // 2 * 99), "word " * (i % 4), {"n": i}) for i in range(16)
    ]
    write_tar(tmp_path / "0.tar", samples)
    run_here(make_plan(tmp_path / "run", tmp_path / "0.tar", STEPS, part_samples=4))
    return tmp_path / "run"


def counted(run: Path, view: str) -> int:
    connection = connect(open_run(str(run)))
    (count,) = connection.execute(f"SELECT count(*) FROM {view}").fetchall()[0]
    return int(count)


VIEWS = {
    "signals.values": "signals/values",
    "exact_duplicates.verdict": "exact_duplicates/verdict",
    "rules.verdict": "rules/verdict",
}


def hiding(monkeypatch: pytest.MonkeyPatch, hidden: Callable[[str], bool]) -> None:
    """A disk that does not list some files, which are there."""
    listing = storage.listing
    monkeypatch.setattr(
        storage,
        "listing",
        lambda path: {name: size for name, size in listing(path).items() if not hidden(name)},
    )


@pytest.mark.parametrize("view", VIEWS)
def test_a_table_that_is_not_listed_yet_counts(
    view: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = counted(run, view)
    hiding(monkeypatch, lambda name: name.endswith("00002.parquet"))
    assert counted(run, view) == due


@pytest.mark.parametrize("view", ["signals.values", "rules.verdict"])
def test_a_table_that_is_gone_is_named(
    view: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (gone,) = (run / "tables" / VIEWS[view]).glob("*-00000.parquet")
    gone.unlink()
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(run), "--sql", f"SELECT count(*) FROM {view}"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert gone.name in line


def test_a_target_is_all_that_a_run_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_bundles(monkeypatch, 1)
    pool, theirs = blobs((20, 20), (0.3, 0.3), dim=8, seed=3), blobs((12,), (0.2,), dim=8, seed=9)
    entry = write_input(tmp_path / "in", pool, 2)
    other = write_input(tmp_path / "other", theirs, 1)
    steps = "- embed: {encoder: precomputed}\n- write"
    run_here(make_plan(tmp_path / "target", "", steps, input=[other], part_samples=4))
    step = f"- target: {{path: {tmp_path}/target, keep: 0.4}}"
    run_steps(tmp_path / "due", [entry], step)
    hiding(monkeypatch, lambda name: name.endswith("00001.parquet") and "bundle" in name)
    run_steps(tmp_path / "late", [entry], step)
    assert kept(tmp_path / "late") == kept(tmp_path / "due")
