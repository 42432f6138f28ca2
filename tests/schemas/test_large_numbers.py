"""Numbers in a job that no table holds: each is refused with its key and the bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.model import Model
from tamis.schemas.parse import parse_job
from tamis.schemas.registry import STEPS, configuration


def whole_numbers(model: type[Model]) -> Iterator[str]:
    """The keys of a model that take whole numbers."""
    for name, field in model.model_fields.items():
        if int in {field.annotation, *get_args(field.annotation)}:
            yield field.alias or name


FIELDS = [(kind, key) for kind in sorted(STEPS) for key in whole_numbers(configuration(kind))]


@pytest.mark.parametrize(("kind", "key"), FIELDS)
@pytest.mark.parametrize("number", [2**63, -(2**63), 10**30, -(10**400)])
def test_a_number_of_a_step(kind: str, key: str, number: int) -> None:
    with pytest.raises(ValidationError) as told:
        configuration(kind).model_validate({key: number})
    places = [error["loc"][0] for error in told.value.errors()]
    assert key in places


@pytest.mark.parametrize("key", [*whole_numbers(Job), "limits.max_pixels", "quotas.most"])
def test_a_number_of_a_job(key: str) -> None:
    text = "name: a\ninput: [{path: x.tar}]\noutput: o\nsteps: [{quotas: {by: a}}]"
    with pytest.raises(JobError) as told:
        parse_job(text, "job", [f"{key}={2**63}"])
    assert f"{key}: wanted a number of at most " in str(told.value)
    assert "\n" not in str(told.value)


def test_there_are_such_keys() -> None:
    assert ("quotas", "most") in FIELDS
    assert len(FIELDS) > 20


def test_the_largest_number_is_taken() -> None:
    made: Any = configuration("quotas").model_validate({"by": "a", "most": 2**63 - 1})
    assert made.most == 2**63 - 1
