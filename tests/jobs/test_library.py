"""tamis as a library: a finished run answers in tables what the command line prints."""

from __future__ import annotations

from pathlib import Path

import pytest

import tamis
from tamis.jobs.library import settings
from tamis.schemas.errors import JobError, StateError
from tests.support.running import (
    Sample,
    ledger,
    make_plan,
    picture,
    run_here,
    subset_uids,
    write_tar,
)

STEPS = """
  - signals: [words]
  - rules: {words: {min: 2}}
  - write"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of six pairs, two of which have one word."""
    path = tmp_path_factory.mktemp("library")
    texts = ["one", "two words", "three words here", "x", "more words", "and more words"]
    write_tar(
        path / "in/0.tar",
        [Sample(f"k{i}", picture(i), text, {"licence": "?"}) for i, text in enumerate(texts)],
    )
    run_here(make_plan(path / "run", path / "in/*.tar", STEPS))
    return path


@pytest.fixture
def run(folder: Path) -> tamis.Run:
    """It, opened."""
    return tamis.open(folder / "run")


def test_it_counts(run: tamis.Run) -> None:
    assert (run.kept, run.total, len(run)) == (4, 6, 4)
    assert repr(run).endswith("4 of 6 kept)")
    assert run.job.steps[1].bounds["words"].least == 2


def test_the_funnel_is_a_table_and_shown_in_notebooks(run: tamis.Run) -> None:
    rules = run.funnel().to_dict("index")["rules"]
    assert rules == {"entered": 6, "dropped": 2, "kept": 4, "reasons": {"below_minimum": 2}}
    assert "<table" in run._repr_html_()


def test_the_ledger_and_the_subset_are_arrow_tables(run: tamis.Run, folder: Path) -> None:
    assert run.ledger().to_pylist() == ledger(folder / "run")
    assert run.ledger(["kept"]).column_names == ["kept"]
    subset = run.subset()
    assert subset["licence"].to_pylist() == ["?"] * 4
    assert sorted(subset["uid"].to_pylist()) == run.uids() == subset_uids(folder / "run")


def test_a_sample_is_explained(run: tamis.Run) -> None:
    story = run.explain("k0")
    assert (story["kept"], story["dropped_by"]) == (False, "rules")
    with pytest.raises(StateError, match=r"nobody: no sample of .* has this uid, key or URL"):
        run.explain("nobody")


def test_other_settings_are_tried_and_written(run: tamis.Run, tmp_path: Path) -> None:
    assert run.whatif({"rules.words.min": 3}).kept_after == 2
    with pytest.raises(JobError, match="did you mean `words`"):
        run.whatif({"rules.wrods.min": 3})


def test_queries_are_answered(run: tamis.Run) -> None:
    assert run.sql("SELECT count(*) AS n FROM ledger WHERE kept")["n"].tolist() == [4]


def test_it_is_a_webdataset(run: tamis.Run) -> None:
    assert [sample["txt"] for sample in run.to_webdataset()][:1] == [b"two words"]


def test_settings_are_written_as_on_the_command_line() -> None:
    changes = {"density.keep": 0.3, "signals.names": ["words"], "output": "runs/x"}
    assert settings(changes) == [
        "density.keep=0.3",
        'signals.names=["words"]',
        'output="runs/x"',
    ]


@pytest.mark.slow
def test_a_job_is_run_from_a_map_or_a_file(folder: Path, tmp_path: Path) -> None:
    job = {"name": "mine", "input": str(folder / "in"), "steps": [{"signals": ["words"]}, "write"]}
    made = tamis.run(job, output=str(tmp_path / "a"), progress=False)
    assert (made.kept, made.total) == (6, 6)
    assert "output" not in job
    path = tmp_path / "job.yaml"
    path.write_text(
        f"name: mine\ninput: {folder}/in\noutput: {tmp_path}/b\n"
        "steps: [signals: [words], rules: {words: {min: 2}}]\n"
    )
    made = tamis.run(path, set={"rules.words.min": 3}, progress=False)
    assert made.kept == 2
    assert made.diff(tamis.open(tmp_path / "a")).kept == (2, 6)
