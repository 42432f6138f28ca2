"""The base model of all parts of a job: frozen, without unknown keys; and names."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]

LARGEST = 2**63 - 1
"""Of whole numbers in a job."""


class Model(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """True is no 1, and false no 0: neither alone nor in a list or map."""
        if _has_truth(value):
            kinds = _kinds_of(cls, info.field_name or "")
            plain = isinstance(value, bool) or kinds <= {int, float, str, type(None), ...}
            if plain and bool not in kinds and kinds & {int, float}:
                raise PydanticKnownError("float_type" if float in kinds else "int_type")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _within_64_bits(cls, value: Any) -> Any:
        """Whole numbers are those that a table can hold."""
        if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            name, bound = ("le", LARGEST) if value > 0 else ("ge", -LARGEST)
            kind = "less_than_equal" if value > 0 else "greater_than_equal"
            raise PydanticCustomError(kind, "a number of 64 bits", {name: bound})
        return value


def _has_truth(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_truth, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_truth, value))
    return isinstance(value, bool)


@cache
def _kinds_of(model: type[BaseModel], name: str) -> frozenset[Any]:
    """The plain types that a field takes, in lists and maps too; none where it looks at its values itself."""
    field = model.model_fields[name]
    if any(isinstance(one, BeforeValidator) for one in field.metadata):
        return frozenset()
    return frozenset(_kinds(field.annotation))


def _kinds(annotation: Any) -> set[Any]:
    if get_origin(annotation) is Literal:
        return set(map(type, get_args(annotation)))
    if get_origin(annotation) is Annotated and any(
        isinstance(one, BeforeValidator) for one in annotation.__metadata__
    ):
        return set()
    inner = get_args(annotation)
    return {kind for one in inner for kind in _kinds(one)} if inner else {annotation}
