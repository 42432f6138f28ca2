"""`tamis init`'s file names every key that a job can have, at its default."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tamis.jobs.job_files.load import Request, load
from tamis.jobs.job_files.template import template
from tamis.pipeline.runs import plan
from tamis.pipeline.steps.rules.config import Bound
from tamis.pipeline.steps.selectors.choose.config import Worth
from tamis.schemas.job import Input, Job, Limits
from tamis.schemas.parse import parse_job
from tamis.schemas.registry import STEPS, configuration
from tamis.schemas.resources import Claim, Resources

TEMPLATE = template()
EITHER_OR: dict[type[BaseModel], set[str]] = {
    Bound: {"one_of"},
    **{model: set(model.instead) for model in map(configuration, STEPS)},
}
"""Keys that cannot stand beside others: explained in words alone."""
SWITCHED_OFF = re.compile(r"^( *)#(?=(?:- )?[a-z_]+:)", re.MULTILINE)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The template with every key switched on, also where it says nothing, and beside it the function that it names."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "my.py").write_text("def worth(text: str) -> float:\n    return len(text)\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for kind in STEPS:
            patch.setattr(configuration(kind), "idle", lambda _: {})
        return parse_job(SWITCHED_OFF.sub(r"\1", TEMPLATE), "template.yaml")


def models(value: Any) -> Iterator[BaseModel]:
    """``value`` and all models in it."""
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from models(getattr(value, name))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from models(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from models(inner)


def test_as_it_stands_it_is_a_job() -> None:
    job = parse_job(TEMPLATE, "template.yaml")
    assert [step.kind for step in job.steps] == [
        "signals",
        "rules",
        "exact_duplicates",
        "near_duplicates",
        "embed",
        "score",
        "semantic_duplicates",
        "density",
        "write",
    ]


@pytest.mark.parametrize(
    "model", [Job, Input, Limits, Resources, Claim, Bound, *map(configuration, STEPS)]
)
def test_every_key_stands_in_it(model: type[BaseModel], everything: Job) -> None:
    found = [value for value in models(everything) if type(value) is model]
    named = {name for value in found for name in value.model_fields_set}
    assert named | EITHER_OR.get(model, set()) >= set(model.model_fields)


def test_what_is_switched_off_is_the_default(everything: Job) -> None:
    shown = list(models(parse_job(TEMPLATE, "template.yaml")))
    checked = 0
    # What a function is follows from its file, and was filled in when the job was read.
    for model in {type(value) for value in models(everything)} - {Worth}:
        full = [value for value in models(everything) if type(value) is model]
        short = [value for value in shown if type(value) is model] or [model.model_construct()]
        for value, as_shown in zip(full, short, strict=True):
            for name in value.model_fields_set - as_shown.model_fields_set - {"name", "as_"}:
                default = model.model_fields[name].default
                if default not in (
                    None,
                    PydanticUndefined,
                    {},
                ):  # there the template has an example
                    assert getattr(value, name) == default, (model.__name__, name)
                    checked += 1
    assert checked > 40


def test_all_names_are_the_kinds(everything: Job) -> None:
    named = [step for step in everything.steps if step.kind != "rules"]
    assert [step.name for step in named] == [step.kind for step in named]


def test_the_example_for_evaluation_is_a_job_that_embeds_first(
    clipart_example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clipart_example.parents[2])
    made = plan.make(load(Request("jobs/examples/evaluate.yaml")))
    assert [step.kind for step in made.job.steps][:2] == ["signals", "embed"]
    assert len(made.inputs) == 4
