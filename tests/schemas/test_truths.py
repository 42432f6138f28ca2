"""True and false are no numbers: every setting that takes numbers alone refuses them, in lists and maps too."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet
from pydantic import ValidationError

from tamis.schemas.errors import JobError
from tamis.schemas.model import Model
from tamis.schemas.parse import parse_job
from tamis.schemas.registry import STEPS, configuration
from tamis.schemas.step import StepModel

JOB = "name: a\ninput: [{path: x.csv}]\noutput: out\nsteps: [STEP, write]"


def models() -> Iterator[type[Model]]:
    """Every model of a job, the steps' too."""
    yield from map(configuration, STEPS)
    left: list[type[Model]] = [Model]
    while left:
        more = left.pop().__subclasses__()
        left += more
        ours = (one for one in more if one.__module__.startswith("tamis."))
        yield from (one for one in ours if not issubclass(one, StepModel))


def numeric() -> Iterator[ParameterSet]:
    """Each field of a model that takes numbers and no truths."""
    for model in sorted(set(models()), key=lambda one: (one.__module__, one.__name__)):
        for name, field in model.model_fields.items():
            words = set(re.findall(r"\w+", str(field.annotation)))
            if words & {"int", "float"} and not words & {"bool", "Any", "True", "False"}:
                yield pytest.param(model, field.alias or name, id=f"{model.__name__}.{name}")


@pytest.mark.parametrize(("model", "name"), [*numeric()])
def test_no_number_is_a_truth(model: type[Model], name: str) -> None:
    for value in (True, False, [True], [0.5, True], {"a": False}):
        with pytest.raises(ValidationError) as caught:
            model.model_validate({name: value})
        assert any(error["loc"][:1] == (name,) for error in caught.value.errors())


@pytest.mark.parametrize(
    ("step", "setting", "message"),
    [
        ("{rules: {words: {min: 2}}}", "rules.words.min=true", "rules.words.min: wanted a number"),
        ("{rules: {words: {max: 2}}}", "rules.words.max=no", "rules.words.max: wanted a number"),
        ("{rules: {words: {min: 2}}}", "limits.max_pixels=true", "wanted a whole number"),
    ],
)
def test_the_message_names_setting_and_value(step: str, setting: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        parse_job(JOB.replace("STEP", step), "job.yaml", [setting])


def test_a_truth_that_a_rule_lists_is_one() -> None:
    parse_job(JOB.replace("STEP", "{rules: {flag: {in: [true]}}}"), "job.yaml")
