"""Every query of the page about SQL has an answer, and `show tables` lists what a person joins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tamis
from tamis.jobs.cli.app import main
from tests.conftest import ROOT
from tests.support.running import make_plan, run_here
from tests.test_docs_site import DOCS, commands

STEPS = """
  - signals: [words, min_side]
  - rules: {words: {min: 3}, min_side: {min: 64}}
  - near_duplicates: {jaccard: 0.7, agree: none}
  - embed: {encoder: demo}
  - semantic_duplicates: {clusters: 4, epsilon: 0.07}
  - density: {clusters: 4, neighbours: 3, keep: 0.5}
  - write"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run in `runs/demo`."""
    path = tmp_path_factory.mktemp("sql")
    run_here(make_plan(path / "runs/demo", ROOT / "jobs/examples/clipart/00000.tar", STEPS))
    return path


@pytest.mark.parametrize("arguments", commands(DOCS / "sql.md"), ids=lambda words: words[-1][:60])
def test_every_query_has_an_answer(
    arguments: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--json"])
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out)["rows"]


def test_tables_are_listed_as_a_query_names_them(folder: Path) -> None:
    run = tamis.open(folder / "runs/demo")
    tables = run.sql("SHOW tables;")
    assert tables.equals(run.sql("show all tables"))
    names = tables["name"].tolist()
    assert names[0] == "ledger"
    assert (
        names.index("signals.values") < names.index("embed.vectors") < names.index("density.quotas")
    )
    assert not [
        name for name in names if "_starts_" in name or name.endswith((".bands", ".members"))
    ]
    for name, columns in zip(names, tables["columns"], strict=True):
        assert run.sql(f"SELECT * FROM {name} LIMIT 1").columns.tolist() == columns.split(", ")


def test_reasons_are_split_by_rule_wherever_they_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the text, as JSON, by source, and in SQL, with the same counts."""
    monkeypatch.chdir(folder)
    rows = tamis.open("runs/demo").sql(
        "SELECT rule, count(*) AS n FROM ledger WHERE step = 'rules' GROUP BY rule"
    )
    counted = dict(zip(rows["rule"], rows["n"], strict=True))
    assert set(counted) == {"words", "min_side"}
    told = {}
    for more in ([], ["--json"], ["--by", "source", "--json"]):
        with pytest.raises(SystemExit):
            main(["audit", "runs/demo", *more])
        told[tuple(more)] = capsys.readouterr().out
    reasons = json.loads(told["--json",])["reasons"]
    assert {r["rule"]: r["samples"] for r in reasons if r["step"] == "rules"} == counted
    (source,) = json.loads(told["--by", "source", "--json"])["rows"]
    assert (source["words < 3"], source["min_side < 64"]) == (counted["words"], counted["min_side"])
    assert "words < 3" in told[()]


def test_no_complexity_is_below_nothing(folder: Path) -> None:
    complexity = tamis.open(folder / "runs/demo").sql("SELECT complexity FROM density.quotas")
    assert (complexity["complexity"] >= 0).all()
