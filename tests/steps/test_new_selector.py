"""A selector made by the recipe is planned, run, explained, reported and decided again as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.again.thresholds import Thresholds
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.report.report import report
from tamis.schemas import registry
from tests.support import running
from tests.support.running import Sample, make_plan, materialize, picture, run_here, write_tar

STEPS = """
- signals: [words]
- rules: {words: {min: 2}}
- lottery: {keep: 5}
- write
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run over twelve samples, of which ten have two words and half of these draw the right lots."""
    monkeypatch.setitem(registry.STEPS, "lottery", "tests.support.toy_selector:Lottery")
    texts = ["one"] * 2 + ["a caption"] * 10
    samples = [Sample(f"{n}", picture(n), text, {}) for n, text in enumerate(texts)]
    pattern = write_tar(tmp_path / "in" / "0.tar", samples)
    run_here(make_plan(tmp_path / "run", pattern, STEPS))
    (tmp_path / "run" / "job.yaml").write_text(
        f"name: test\ninput: [{{path: '{pattern}'}}]\noutput: {tmp_path}/run\nsteps:{STEPS}"
    )
    return tmp_path / "run"


@pytest.fixture
def finished(root: Path) -> FinishedRun:
    """The same, to be read."""
    return open_run(str(root))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints, which must go well."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert not ended.value.code
    return capsys.readouterr().out


def test_it_keeps_its_budget(root: Path) -> None:
    rows = running.ledger(root)
    assert sum(row["kept"] for row in rows) == 5
    assert {row["reason"] for row in rows} == {None, "below_minimum", "not_chosen"}


def test_it_is_planned(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = root.parent / "job.yaml"
    job.write_text((root / "job.yaml").read_text().replace("/run\n", "/other\n"))
    assert "lottery" in told(capsys, "plan", str(job))


def test_it_is_explained(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = running.ledger(root)
    unlucky = next(row for row in rows if row["step"] == "lottery")
    said = told(capsys, "explain", str(root), unlucky["uid"])
    assert "not_chosen: the selector chose others" in said
    short = next(row for row in rows if row["step"] == "rules")
    said = " ".join(told(capsys, "explain", str(root), short["uid"]).split())
    assert "whether lottery would let it pass is unknown: it never saw it" in said


def test_it_is_reported_and_audited(
    root: Path, finished: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    page = report(finished).decode()
    assert "lottery" in page
    assert "the selector chose others" in page
    assert "not_chosen" in told(capsys, "audit", str(root))
    assert [threshold["path"] for threshold in Thresholds(finished).listed()] == ["rules.words.min"]


@pytest.mark.parametrize("setting", ["lottery.keep=7", "rules.words.min=1"])
def test_it_is_decided_again(finished: FinishedRun, tmp_path: Path, setting: str) -> None:
    change = whatif(finished, [setting])
    before = {row["uid"]: row["kept"] for row in running.ledger(Path(finished.root))}
    materialize(finished, [setting], tmp_path / "other")
    after = {row["uid"]: row["kept"] for row in running.ledger(tmp_path / "other")}
    sides = {uid: kept for uid, kept in after.items() if kept != before[uid]}
    assert {s["uid"]: s["side"] == "comes" for s in change.samples} == sides
    assert change.kept_after == sum(after.values())
