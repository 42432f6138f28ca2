"""A job's JSON schema, by which an editor completes and checks what is being written."""

from __future__ import annotations

from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tamis.schemas.registry import STEPS, configuration
from tamis.schemas.step import StepModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class AnyStep:
    """Annotates a job's step: its schema is one of those in the registry."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A map of one key, its kind; or the kind alone, where no setting has to be given."""
        del core_schema
        forms: list[dict[str, Any]] = []
        alone: list[str] = []
        for kind in STEPS:
            model = configuration(kind)
            model.model_rebuild()
            settings = _forms(model, handler(model.__pydantic_core_schema__))
            forms.append(
                {
                    "type": "object",
                    "properties": {
                        kind: settings[0] if len(settings) == 1 else {"anyOf": settings}
                    },
                    "required": [kind],
                    "additionalProperties": False,
                }
            )
            if {"type": "null"} in settings:
                alone.append(kind)
        return {"oneOf": [{"enum": alone}, *forms]}


def _forms(model: type[StepModel], full: dict[str, Any]) -> list[dict[str, Any]]:
    """Schemas of a step's settings: in full, and in short (``StepModel.shorthand``)."""
    forms = [full]
    fields = full["properties"]
    if model.listed:
        forms.append(fields[model.listed])
    if model.implied:
        others = {name: field for name, field in fields.items() if name != model.implied}
        inner = fields[model.implied]["additionalProperties"]
        forms.append({"type": "object", "properties": others, "additionalProperties": inner})
    if not full.get("required"):
        forms.append({"type": "null"})
    return forms
