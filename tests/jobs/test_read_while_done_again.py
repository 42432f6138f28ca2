"""What reads a run that is done again meanwhile ends with an error: half of it may be old, and half new."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import tamis
from tamis.jobs.cli import finished_run
from tamis.jobs.cli.app import main
from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.server import Server
from tamis.pipeline.audit.export import export as exporting
from tamis.pipeline.audit.export.layouts import LAYOUTS
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.schemas.errors import StateError
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

STEPS = "- signals: [words]\n- rules: {words: {min: 2}}\n- exact_duplicates\n- write"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    samples = [Sample(f"k{i}", picture(i // 2 * 999), "words " * (i % 3), {}) for i in range(9)]
    write_tar(tmp_path / "in/0.tar", samples)
    run_here(make_plan(tmp_path / "run", tmp_path / "in/0.tar", STEPS))
    return tmp_path / "run"


def done_again(run: Path) -> None:
    """As a run that withdraws the manifest, and writes another."""
    data = (run / "manifest.json").read_bytes()
    (run / "manifest.json").unlink()
    (run / "manifest.json").write_bytes(data)
    os.utime(run / "manifest.json", ns=(1, 1))


COMMANDS: dict[str, Callable[[Path], Sequence[object]]] = {
    "audit": lambda run: ["audit", run],
    "audit by SQL": lambda run: ["audit", run, "--sql", "select count(*) from ledger"],
    "contains": lambda run: ["contains", run],
    "diff": lambda run: ["diff", run, run],
    "explain": lambda run: ["explain", run, "k3"],
    "export": lambda run: ["export", run, "--as", "csv", "--output", run.parent / "out"],
    "report": lambda run: ["report", run],
    "verify": lambda run: ["verify", run],
    "whatif": lambda run: ["whatif", run, "--set", "rules.words.min=1"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("again", [True, False])
def test_a_command(
    name: str,
    again: bool,
    run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opened(path: str) -> Any:
        found = open_run(path)
        if again:
            done_again(run)
        return found

    monkeypatch.setattr(finished_run, "open_run", opened)
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in COMMANDS[name](run)])
    told = capsys.readouterr().err.splitlines()
    assert (ended.value.code or 0) == (2 if again else 0), told
    assert [("done again since it was opened" in line) for line in told] == [True] * again


def test_an_export_that_is_asked_for_in_python(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = LAYOUTS["csv"]

    def write(rows: Any, folder: str) -> Any:
        yield from true.write(rows, folder)
        done_again(run)

    layouts = {**LAYOUTS, "csv": type(true)(write, true.vectors)}
    monkeypatch.setattr(exporting, "LAYOUTS", layouts)
    with pytest.raises(StateError, match="half old and half new"):
        exporting.export(open_run(str(run)), "csv", str(tmp_path / "out"), "kept", None)


def test_tables_in_python_and_answers_of_the_browser(run: Path) -> None:
    opened = tamis.open(str(run))
    server = Server(Browser(open_run(str(run)), in_words))
    try:
        assert server.answer("/api/samples", {})
        assert opened.ledger().num_rows == 9
        done_again(run)
        for read in (opened.ledger, opened.subset, opened.uids):
            with pytest.raises(StateError, match="half old and half new"):
                read()
        with pytest.raises(StateError, match="half old and half new"):
            server.answer("/api/samples", {})
    finally:
        server.end()
