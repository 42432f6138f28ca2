"""The base model of all parts of a job: frozen, without unknown keys; and names."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]

LARGEST = 2**63 - 1
"""Of whole numbers in a job."""


class Model(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False
    )

    @field_validator("*", mode="after")
    @classmethod
    def _within_64_bits(cls, value: Any) -> Any:
        """Whole numbers are those that a table can hold."""
        if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            name, bound = ("le", LARGEST) if value > 0 else ("ge", -LARGEST)
            kind = "less_than_equal" if value > 0 else "greater_than_equal"
            raise PydanticCustomError(kind, "a number of 64 bits", {name: bound})
        return value
