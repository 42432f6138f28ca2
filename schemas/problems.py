"""Pydantic's errors about a job as lines in a job's words, the most helpful first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ValidationError

from tamis.schemas.job import Job
from tamis.schemas.nearest import nearest
from tamis.schemas.registry import STEPS, configuration
from tamis.schemas.step import StepModel

WANTED = {
    "tuple_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "a name of small letters, digits, `-` and `_`, such as `my-job`",
    "string_too_short": "a text that is not empty",
    "string_too_long": "at most {max_length} characters",
    "too_short": "a list of {min_length} or more",
}
"""What pydantic's types of problem say that a job should have had there."""

Problem = Mapping[str, Any]


def messages(error: ValidationError, raw: Mapping[str, Any]) -> Iterator[str]:
    """One line for each error: ``path: message``, with the nearest known key."""
    # A typo is often two problems, an unknown key and a missing one: the unknown one shows the mend.
    problems: list[Problem] = sorted(
        _likeliest(error.errors(), raw), key=lambda problem: problem["type"] != "extra_forbidden"
    )
    for problem in problems:
        model, name, path = _located(problem["loc"], raw)
        branch = _branch(problem["loc"], raw)
        keys = [key for key in path if not _implied(key, model) and key != branch]
        shown = [*([name] if name else []), *keys]
        if problem["type"] in {"extra_forbidden", "missing"}:
            above = ".".join(shown[:-1]) or "job"
            known = _keys_at(model, path[:-1])
            yield (
                f"{above}: unknown key `{path[-1]}`{nearest(path[-1], known)}"
                if problem["type"] == "extra_forbidden"
                else f"{above}: `{path[-1]}` is missing"
            )
        else:
            yield f"{'.'.join(shown) or 'job'}: {said(problem, problems)}"


def _located(
    loc: tuple[int | str, ...], raw: Mapping[str, Any]
) -> tuple[type[BaseModel], str, list[str]]:
    """The model that a problem lies in, the step's name ("" for none), and the path below it."""
    path = [str(key) for key in loc]
    if _is_choice(path[-1:]):
        path.pop()
    if len(loc) > 1 and loc[0] == "steps" and isinstance(loc[1], int):
        step = raw["steps"][loc[1]]
        kind, settings = (
            next(iter(step.items())) if isinstance(step, dict) and step else (step, None)
        )
        if isinstance(kind, str) and kind in STEPS:
            named = settings.get("name") if isinstance(settings, dict) else None
            return configuration(kind), named if isinstance(named, str) else kind, path[2:]
    return Job, "", path


def _is_choice(key: Sequence[str]) -> bool:
    """Tell whether the end of a path is pydantic's name for a branch of a union, and no key."""
    plain = {"int", "float", "str", "bool"}
    return bool(key) and (
        key[0].removeprefix("constrained-") in plain or key[0].startswith("literal[")
    )


def _branch(loc: tuple[int | str, ...], raw: Mapping[str, Any]) -> str | None:
    """The name of the model in a path that is a branch of a union, and no key; None where there is none."""
    model, _, path = _located(loc, raw)
    for key, below in pairwise(path):
        field = model.model_fields.get(key)
        models = _inner_models(field.annotation) if field else []
        if below in {found.__name__ for found in models}:
            return below
        model = models[0] if models else model
    return None


def _likeliest(problems: Sequence[Problem], raw: Mapping[str, Any]) -> list[Problem]:
    """The problems without those of a form that the value has not.

    Of a map those are of a model beside which another knows more of its keys, and of what is no map.
    """
    unknown: dict[tuple[Any, ...], Counter[str]] = {}
    places = []
    for problem in problems:
        branch, loc = _branch(problem["loc"], raw), problem["loc"]
        above = None if branch is None else loc[: loc.index(branch)]
        places.append((above, branch))
        if above is not None and branch is not None:
            unknown.setdefault(above, Counter())[branch] += problem["type"] == "extra_forbidden"

    def is_likely(problem: Problem, above: tuple[Any, ...] | None, branch: str | None) -> bool:
        if above is None or branch is None:
            beside = problem["loc"][:-1]
            return beside not in unknown or not isinstance(problem["input"], Mapping)
        return unknown[above][branch] == min(unknown[above].values())

    return [one for one, place in zip(problems, places, strict=True) if is_likely(one, *place)]


def _implied(key: str, model: type[BaseModel]) -> bool:
    """Tell whether jobs leave the key out."""
    return issubclass(model, StepModel) and key == model.implied


def said(problem: Problem, problems: Sequence[Problem]) -> str:
    """What was wanted, and what stands there; ``problems`` are all that were found in the same text."""
    if problem["type"] == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    if not _is_choice([str(key) for key in problem["loc"][-1:]]):
        alike = [problem]
    else:
        alike = [other for other in problems if other["loc"][:-1] == problem["loc"][:-1]]
    wanted = " or ".join(dict.fromkeys(_wanted(other) for other in alike))
    got = problem["input"]
    hint = ""
    if problem["type"] == "literal_error" and isinstance(got, str):
        choices = problem["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        near = nearest(got, choices)
        hint = near if "did you mean" in near else ""
    return f"wanted {wanted}, got {_shown(got)}{hint}"


def _wanted(problem: Problem) -> str:
    template = WANTED.get(problem["type"])
    if template is None:
        return str(problem["msg"])
    limits = {
        key: f"{value:g}" if isinstance(value, float) else value
        for key, value in problem.get("ctx", {}).items()
    }
    return template.format(**limits).replace("'", "`")


def _shown(got: object) -> str:
    if got is None:
        return "nothing"
    if isinstance(got, (dict, list, tuple)) and not got:
        return "none"
    text = repr(got)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys that are known at ``path`` below ``model``."""
    models: list[type[BaseModel]] = []
    for key in path:
        field = model.model_fields.get(key)
        named = [found for found in models if found.__name__ == key]
        models = _inner_models(field.annotation) if field else []
        model = next(iter([*named, *models]), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _inner_models(annotation: Any) -> list[type[BaseModel]]:
    """The models inside ``X``, ``X | Y``, ``tuple[X, ...]`` or ``dict[str, X]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inside = (_inner_models(argument) for argument in getattr(annotation, "__args__", ()))
    return [found for some in inside for found in some]
