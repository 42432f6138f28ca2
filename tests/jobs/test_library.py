"""tamis as a library: a finished run answers in tables what the command line prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tamis
from tamis.jobs.library.arguments import settings
from tamis.schemas.errors import InputError, JobError, StateError, TamisError
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


def test_a_column_that_is_not_there_is_refused_with_the_nearest(run: tamis.Run) -> None:
    for columns in (["kepd"], ["uid", "kepd"], ("kepd",)):
        with pytest.raises(
            InputError, match=r"ledger/\*\.parquet has no column `kepd`; did you mean"
        ):
            run.ledger(columns)
    with pytest.raises(
        InputError, match=r"shards/\*\.parquet has no column `licens`; did you mean"
    ):
        run.subset(["licens"])
    assert run.ledger(["uid", "kept"]).column_names == ["uid", "kept"]
    assert run.ledger([]).num_columns == 0


def test_another_run_may_be_given_by_its_path(run: tamis.Run, folder: Path) -> None:
    assert run.diff(str(folder / "run")) == run.diff(folder / "run") == run.diff(run)
    with pytest.raises(StateError, match="no run is here"):
        run.diff(str(folder / "nothing"))


CALLS: dict[str, tuple[Callable[[Any], object], str]] = {
    "ledger": (lambda run: run.ledger("uid"), "columns is 'uid' .str.: give a list of names"),
    "subset": (lambda run: run.subset([5]), "a column is 5 .int.: give its name"),
    "explain": (lambda run: run.explain(5), "sample is 5 .int.: give a uid, key or URL"),
    "whatif": (lambda run: run.whatif(["a=1"]), "set is .* .list.: give a map, such as"),
    "whatif value": (lambda run: run.whatif({"a": {1}}), "set has .1. .set.: a job holds"),
    "whatif count": (lambda run: run.whatif({}, "x"), "count is 'x' .str.: give a whole"),
    "diff": (lambda run: run.diff(None), "path is None .NoneType.: give a path or a URL"),
    "diff count": (lambda run: run.diff(run, 1.5), "count is 1.5 .float.: give a whole number"),
    "budget": (lambda run: run.budget("many"), "seen is 'many' .str.: give a number of samples"),
    "sql": (lambda run: run.sql(5), "query is 5 .int.: give a query in SQL"),
    "export": (lambda run: run.export("csv", None), "output is None .NoneType.: give a path"),
    "export all": (lambda run: run.export("csv", "x", "al"), "among is 'al' .str.: is one of kept"),
    "layout": (lambda run: run.export(5, "x"), "layout is 5 .int.: give its name"),
    "embeddings": (lambda run: run.embeddings("al"), "among is 'al' .str.: is one of kept, all"),
    "materialize": (lambda run: run.materialize(None, {}), "output is None .NoneType.: give a"),
    "search_as": (lambda run: run.search_as(None, "x"), "output is None .NoneType.: give a path"),
    "open": (tamis.open, "path is Run.* .Run.: give a path or a URL"),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_is_of_another_type_is_refused_in_one_line(call: str, run: tamis.Run) -> None:
    asked, said = CALLS[call]
    with pytest.raises((TypeError, TamisError), match=said) as caught:
        asked(run)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_and_paths_are_settings() -> None:
    given = {"a": np.float32(0.5), "b": np.int64(3), "c": Path("x"), "d": np.array([1, 2])}
    assert settings(given) == ["a=0.5", "b=3", 'c="x"', "d=[1, 2]"]
