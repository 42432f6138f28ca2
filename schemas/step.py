"""What all steps of a job share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, le=1)]
StepName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]


class StepModel(BaseModel):
    """What all steps share: a unique name, which the ledger and ``tables/`` use."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        allow_inf_nan=False,
        defer_build=True,  # most commands validate few of them
    )
    kind: ClassVar[str]
    name: StepName = ""

    @model_validator(mode="before")
    @classmethod
    def _named_after_kind(cls, values: Any) -> Any:
        if isinstance(values, dict) and "name" not in values:
            return {**values, "name": cls.kind}
        return values
