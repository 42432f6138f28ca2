"""A job's JSON schema takes what tamis takes, and refuses what an editor can see to be wrong."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tamis.jobs.cli.app import main
from tamis.jobs.job_files.template import template
from tamis.schemas import yaml12
from tamis.schemas.job import Job
from tamis.schemas.parse import dump, parse_job
from tests.conftest import ROOT

PLACES: dict[str, Any] = {"name": "a", "input": [{"path": "x.tar"}], "output": "o"}
FILES = [*ROOT.glob("jobs/presets/*.yaml"), *ROOT.glob("jobs/examples/*.yaml")]
SHORT = [
    {"signals": ["words"]},
    {"signals": {"names": ["words"]}},
    {"rules": {"name": "small", "words": {"min": 2}, "language": {"in": ["en", 3, True]}}},
    {"rules": {"bounds": {"words": {"min": 2, "missing": "keep"}}}},
    "exact_duplicates",
    {"exact_duplicates": None},
    {"embed": {"encoder": "demo", "as": "small"}},
    {"density": {"keep": 0.4, "clusters": "auto"}},
    {"density": {"keep": 250, "clusters": 8}},
]


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(Job.model_json_schema())


def problems(schema: jsonschema.Draft202012Validator, job: dict[str, Any]) -> list[str]:
    return [error.message for error in schema.iter_errors(job)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_presets_and_examples_fit(schema: jsonschema.Draft202012Validator, path: Any) -> None:
    """The command line says of a preset where its input lies and where its output goes."""
    raw = yaml12.load(path.read_text())
    raw["input"] = [{"path": "x.tar", **entry} for entry in raw["input"]]
    assert problems(schema, {**PLACES, **raw}) == []


def test_what_init_writes_and_what_a_run_keeps_fit(schema: jsonschema.Draft202012Validator) -> None:
    assert problems(schema, yaml12.load(template())) == []
    assert problems(schema, yaml12.load(dump(parse_job(template(), "template")))) == []


@pytest.mark.parametrize("step", SHORT, ids=str)
def test_a_step_may_be_written_in_short(
    schema: jsonschema.Draft202012Validator, step: object
) -> None:
    assert problems(schema, {**PLACES, "steps": [step]}) == []
    parse_job(yaml12.dump({**PLACES, "steps": [step]}), "job")


@pytest.mark.parametrize(
    "step",
    [
        "densty",
        "density",
        {"densty": {"keep": 0.4}},
        {"density": {}},
        {"density": {"kep": 0.4}},
        {"density": {"keep": 1.5}},
        {"density": {"keep": 0}},
        {"density": {"keep": 0.4, "which": "hardest"}},
        {"exact_duplicates": {"on": True}},
        {"rules": {"words": {"mni": 2}}},
        {"rules": {"words": 2}},
        {"signals": "words"},
        {"signals": [3]},
        {"write": {}, "density": {"keep": 0.4}},
    ],
    ids=str,
)
def test_a_step_that_is_wrong_does_not(
    schema: jsonschema.Draft202012Validator, step: object
) -> None:
    assert problems(schema, {**PLACES, "steps": [step]}) != []


@pytest.mark.parametrize(
    "changed",
    [{"sed": 1}, {"seed": -1}, {"input": [{"pth": "x"}]}, {"limits": {"pixels": 1}}, {"steps": []}],
    ids=str,
)
def test_a_wrong_key_or_value_elsewhere_does_not(
    schema: jsonschema.Draft202012Validator, changed: dict[str, Any]
) -> None:
    assert problems(schema, {**PLACES, "steps": ["write"]}) == []
    assert problems(schema, {**PLACES, "steps": ["write"], **changed}) != []


def test_init_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", "--schema"])
    assert not ended.value.code
    shown = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(shown)
    assert shown["properties"] == Job.model_json_schema()["properties"]
