"""A step made by the recipe, a config.py, a step.py and a line of the registry, is a step as any other."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from tamis.jobs.job_files.template import template
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import tell
from tamis.pipeline.planning import preview, trial
from tamis.pipeline.planning.forecast import growth_of
from tamis.pipeline.planning.predict import predict
from tamis.pipeline.tasks.perform import Here
from tamis.schemas import registry
from tamis.schemas.cluster import parse_cluster
from tamis.schemas.errors import StateError
from tamis.schemas.job import Job
from tests.support import running
from tests.support.running import Sample, make_plan, picture, run_here, write_tar


@pytest.fixture
def pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven samples, and the step registered."""
    monkeypatch.setitem(registry.STEPS, "every_nth", "tests.support.toy_step:EveryNth")
    samples = [Sample(f"{n}", picture(n), f"sample {n}", {}) for n in range(7)]
    return write_tar(tmp_path / "in" / "0.tar", samples)


def test_it_runs_and_is_explained(pattern: Path, tmp_path: Path) -> None:
    run_here(make_plan(tmp_path / "run", pattern, "- every_nth: {n: 3}\n- write"))
    rows = running.ledger(tmp_path / "run")
    assert [row["key"] for row in rows if not row["kept"]] == ["0", "3", "6"]
    assert {row["reason"] for row in rows} == {None, "every_nth"}
    told = tell(open_run(str(tmp_path / "run")), rows[3])
    assert registry.configuration("every_nth").reasons["every_nth"] in str(told)


def test_it_is_planned_and_forecast(pattern: Path, tmp_path: Path) -> None:
    samples = [Sample(f"{n}", picture(n), "", {}) for n in range(2)]
    write_tar(pattern.parent / "1.tar", samples)  # are dropped before it, as it has to read
    files = pattern.parent / "*.tar"
    plan = make_plan(tmp_path / "run", files, "- every_nth: {n: 3}\n- write")
    assert preview.preview(plan)["steps"][1]["kind"] == "every_nth"
    tried = trial.measure(plan, 1.0, None, Here)
    costs = predict(plan.job, tried, parse_cluster("2x(4cpu,16GB)"), "c", 1e10, 1).steps
    assert costs["every_nth"].read_bytes > 0
    growth = growth_of("every_nth", tried.sample, tried.dim)
    assert (growth.groups("verdict"), growth.buckets("verdict", 7)) == (None, 1)


def test_a_reason_that_it_does_not_declare_is_refused(pattern: Path, tmp_path: Path) -> None:
    made = make_plan(tmp_path / "run", pattern, "- every_nth: {because: spite}\n- write")
    with pytest.raises(StateError, match="every_nth: dropped 4 samples for the reason `spite`, wh"):
        run_here(made)
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_it_stands_in_the_job_file_of_init_and_in_the_schema(pattern: Path) -> None:
    assert (
        "  #- every_nth:\n      #name: every_nth\n      # Which of them. 1 to 100.\n" in template()
    )
    job = {"name": "a", "input": [{"path": "x.tar"}], "output": "o"}
    schema = Job.model_json_schema()
    jsonschema.validate({**job, "steps": ["every_nth", {"every_nth": {"n": 3}}]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**job, "steps": [{"every_nth": {"n": 101}}]}, schema)
