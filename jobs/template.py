"""The job file that `tamis init` writes: every key of every model, at its default, with what its model says of it."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tamis.pipeline.signals.registry import SIGNALS
from tamis.schemas import yaml12
from tamis.schemas.errors import BugError
from tamis.schemas.job import Input, Job
from tamis.schemas.registry import STEPS, configuration
from tamis.schemas.step import StepModel

HEAD = """\
# A tamis job: what goes in, what happens to it, where the result lies.
#
# Lines that begin with "#word:" are settings at their defaults (or, where the default is to have none, an example):
# remove the # to change one. Everything else after a # is explanation. Check with `tamis plan`, start with
# `tamis run`; the same command goes on where a stopped run was. One value can be changed for one call:
# `tamis run job.yaml --set density.keep=0.3`.
"""

STEPS_HEAD = (
    "In order. Each is a map of one key, its kind. Every step takes a `name`, its kind by default, which the ledger, "
    "`--set` and tables/ use; a kind that stands twice needs one."
)

USUAL = {
    "signals",
    "rules",
    "exact_duplicates",
    "near_duplicates",
    "embed",
    "semantic_duplicates",
    "density",
    "write",
}
"""The steps of the file as it stands; the others are there to be switched on."""

SIMILARITY = """
  - rules:
      name: similarity
      clip_similarity: {min: 0.28}
"""
"""What stands behind `embed`: rules may stand twice."""

WIDTH = 118

RANGES = {
    ("ge", "le"): "{ge} to {le}",
    ("gt", "le"): "Above {gt}, to {le}",
    ("ge", "lt"): "{ge} to below {lt}",
    ("gt", "lt"): "Above {gt} and below {lt}",
    ("ge",): "At least {ge}",
    ("gt",): "Above {gt}",
}
"""Limits of a field -> how they are said."""

Told = dict[tuple[type, str], str]
"""Class and field -> the step at which it was explained."""


def template() -> str:
    """The whole file."""
    return HEAD + "\n".join(_job()) + "\n"


def _job() -> Iterator[str]:
    for name, field in Job.model_fields.items():
        model = field.annotation
        yield ""
        if name == "input":
            yield from ("input:", *_item(list(_fields(Input, 4))))
        elif name == "steps":
            yield from (*_comment(STEPS_HEAD, 0), "steps:")
            yield from _steps()
        elif isinstance(model, type) and issubclass(model, BaseModel):
            yield from (*_comment(_purpose(model), 0), f"{name}:", *_fields(model, 2))
        else:
            yield from _explained(field, 0)
            yield from _setting(Job, name, 0, True)


def _item(lines: list[str]) -> Iterator[str]:
    """The lines of a map as those of a list's item: a dash before the first key, comments before it over the dash."""
    first = next(place for place, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line[2:] for line in lines[:first])
    yield f"{lines[first][:2]}- {lines[first].lstrip()}"
    yield from lines[first + 1 :]


def _steps() -> Iterator[str]:
    told: Told = {}
    for place, kind in enumerate(STEPS):
        model = configuration(kind)
        if place:
            yield ""
        more = f" Built in: {', '.join(SIGNALS)}." if kind == "signals" else ""
        yield from _comment(_purpose(model) + more, 2)
        on = kind in USUAL
        yield f"  {'' if on else '#'}- {kind}:"
        yield from _fields(model, 6, on, told)
        if kind == "embed":
            yield from SIMILARITY.rstrip("\n").split("\n")


def _fields(
    model: type[BaseModel], indent: int, on: bool = True, told: Told | None = None
) -> Iterator[str]:
    """All fields; where ``told`` has one, an earlier step has explained it, and its name stands there instead, once."""
    told = {} if told is None else told
    own = model.kind if issubclass(model, StepModel) else ""
    named = ""
    for name in _ordered(model):
        if own and name == "name":
            yield f"{' ' * indent}#name: {own}"
            continue
        field = model.model_fields[name]
        explains = told.setdefault((_declaring(model, name), name), own)
        if explains == own:
            yield from _explained(field, indent)
        elif explains != named:
            yield from _comment(f"as for {explains}", indent)
        named = explains
        yield from _setting(model, name, indent, on)


def _ordered(model: type[BaseModel]) -> list[str]:
    """The fields; of a step the name first, and what it shares with other steps that cluster last."""
    names = list(model.model_fields)
    if not issubclass(model, StepModel):
        return names
    place = names.index("name")
    own = [name for name in names if _declaring(model, name) is model]
    shared = [[name for name in part if name not in own] for part in (names[:place], names[place:])]
    return ["name", *shared[0], *own, *shared[1][1:]]


def _declaring(model: type, name: str) -> type:
    return next(base for base in model.__mro__ if name in inspect.get_annotations(base))


def _explained(field: FieldInfo, indent: int) -> Iterator[str]:
    """What the field is, and in what range; of a map of models, the same of each of their fields."""
    yield from _comment(_said(field), indent)
    for inner in get_args(_bare(field.annotation)):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            for name, part in inner.model_fields.items():
                yield from _comment(f"{part.alias or name}: {_said(part)}", indent)


def _setting(model: type[BaseModel], name: str, indent: int, on: bool) -> Iterator[str]:
    """The line of a field; of a field whose key a job leaves out, a line for each entry."""
    field = model.model_fields[name]
    start = " " * indent + ("" if on and field.is_required() else "#")
    given = field.default not in (None, "", PydanticUndefined)
    value = field.default if given else (field.examples or [None])[0]
    if value is None:
        raise BugError(f"{model.__name__}.{name}: has no default: give the field `examples=[...]`")
    entries = value if name == getattr(model, "implied", "") else {field.alias or name: value}
    yield from (f"{start}{key}: {_flow(entry)}" for key, entry in entries.items())


def _said(field: FieldInfo) -> str:
    """A field's description, and behind it what it does not say itself: choices or range."""
    said = field.description or ""
    choices = [str(choice) for choice in _choices(field.annotation)]
    if not all(re.search(rf"\b{choice}\b", said) for choice in choices):
        return f"{said}. {', '.join(choices[:-1])} or {choices[-1]}"
    limits = {
        name: f"{getattr(limit, name):,}"
        for limit in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(limit, name)
    }
    for names, words in RANGES.items():
        if set(names) == set(limits):
            return f"{said}. {words.format(**limits)}"
    return said


def _choices(annotation: Any) -> tuple[Any, ...]:
    bare = _bare(annotation)
    if bare is bool:
        return ("true", "false")
    return get_args(bare) if get_origin(bare) is Literal else ()


def _bare(annotation: Any) -> Any:
    """``X`` of ``X | None``."""
    others = [part for part in get_args(annotation) if part is not type(None)]
    return others[0] if len(others) == 1 and type(None) in get_args(annotation) else annotation


def _purpose(model: type[BaseModel]) -> str:
    return " ".join((inspect.getdoc(model) or "").split())


def _comment(said: str, indent: int) -> Iterator[str]:
    """A sentence, wrapped. Its first letter becomes large, unless that is a key, a value, or the k of k-means."""
    begins_with_word = re.match(r"[a-z]{2,}(-[a-z]+)*,? ", said)
    sentence = said[0].upper() + said[1:] if begins_with_word else said
    sentence = sentence if sentence.endswith(".") else f"{sentence}."
    start = f"{' ' * indent}# "
    yield from textwrap.wrap(
        sentence, WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False
    )


def _flow(value: Any) -> str:
    """A value as YAML of one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, str) and yaml12.load(f"a: {value}") == {"a": value}:
        return value
    return json.dumps(value)
