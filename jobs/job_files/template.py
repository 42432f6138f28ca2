"""The job file that `tamis init` writes: every key of every model at its default, with its description."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tamis.jobs.job_files import load
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

PRESET = "dbp"
"""Steps of this preset are switched on in the file; the others are comments."""

WIDTH = 118

RANGES = {
    ("ge", "le"): "{ge} to {le}",
    ("gt", "le"): "Above {gt}, to {le}",
    ("ge", "lt"): "{ge} to below {lt}",
    ("gt", "lt"): "Above {gt} and below {lt}",
    ("ge",): "At least {ge}",
    ("gt",): "Above {gt}",
}
"""Names of a field's limits -> their text."""

Explained = dict[tuple[type, str], str]
"""Class and field -> the step at which it was explained."""


def template() -> str:
    """The text of the whole file."""
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
            yield from (
                *_comment(_one_line(inspect.getdoc(model) or ""), 0),
                f"{name}:",
                *_fields(model, 2),
            )
        else:
            yield from _field_comment(field, 0)
            yield from _setting(Job, name, 0, True)


def _item(lines: list[str]) -> Iterator[str]:
    """The lines of a map as a list's item, with a dash before the first key; comments stay above it."""
    first = next(number for number, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line[2:] for line in lines[:first])
    yield f"{lines[first][:2]}- {lines[first].lstrip()}"
    yield from lines[first + 1 :]


def _steps() -> Iterator[str]:
    explained: Explained = {}
    used = _used()
    for position, kind in enumerate(STEPS):
        model = configuration(kind)
        if position:
            yield ""
        yield from _comment(_one_line(model.purpose()), 2)
        yield f"  {'' if kind in used else '#'}- {kind}:"
        yield from _fields(model, 6, kind in used, explained)
        for again, settings in used.get(kind, []):
            yield from ("", f"  - {again}:")
            yield from (f"      {key}: {yaml12.flow(value)}" for key, value in settings.items())


def _used() -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Each kind of ``PRESET`` -> the steps behind it whose kinds come a second time, with their settings."""
    path, _ = load.locate(PRESET)
    used: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    kind = ""
    for step in yaml12.load(load.read_text(path))["steps"]:
        ((name, settings),) = step.items() if isinstance(step, dict) else [(step, {})]
        if name in used:
            used[kind].append((name, settings))
        else:
            used[name], kind = [], name
    return used


def _fields(
    model: type[BaseModel], indent: int, on: bool = True, explained: Explained | None = None
) -> Iterator[str]:
    """The lines of all fields; one that is in ``explained`` refers to the earlier step instead."""
    explained = {} if explained is None else explained
    own = model.kind if issubclass(model, StepModel) else ""
    previous = ""
    for name in ordered(model):
        if own and name == "name":
            yield f"{' ' * indent}#name: {own}"
            continue
        field = model.model_fields[name]
        step = explained.setdefault((_declaring(model, name), name), own)
        if step == own:
            yield from _field_comment(field, indent)
        elif step != previous:
            yield from _comment(f"as for {step}", indent)
        previous = step
        if name in getattr(model, "instead", ()):
            yield f"{' ' * indent}# {name}: {yaml12.flow((field.examples or [None])[0])}"
        else:
            yield from _setting(model, name, indent, on)


def ordered(model: type[BaseModel]) -> list[str]:
    """The names of the fields in order: a step's `name` first, fields that it shares with other steps last."""
    names = list(model.model_fields)
    if not issubclass(model, StepModel):
        return names
    position = names.index("name")
    own = [name for name in names if _declaring(model, name) is model]
    shared = [
        [name for name in part if name not in own] for part in (names[:position], names[position:])
    ]
    return ["name", *shared[0], *own, *shared[1][1:]]


def _declaring(model: type, name: str) -> type:
    return next(base for base in model.__mro__ if name in inspect.get_annotations(base))


def _field_comment(field: FieldInfo, indent: int) -> Iterator[str]:
    """A field's description and range; of a map of models, also those of each of their fields."""
    yield from _comment(described(field), indent)
    for inner in get_args(_without_none(field.annotation)):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            for name, part in inner.model_fields.items():
                yield from _comment(f"{part.alias or name}: {described(part)}", indent)


def _setting(model: type[BaseModel], name: str, indent: int, on: bool) -> Iterator[str]:
    """The line of a field; a line for each entry of a map whose key a job leaves out."""
    field = model.model_fields[name]
    needed = field.is_required() or name in getattr(model, "instead", {}).values()
    start = " " * indent + ("" if on and needed else "#")
    has_default = field.default not in (None, "", PydanticUndefined)
    value = field.default if has_default else (field.examples or [None])[0]
    if value is None:
        raise BugError(f"{model.__name__}.{name}: has no default: give the field `examples=[...]`")
    entries = value if name == getattr(model, "implied", "") else {field.alias or name: value}
    yield from (f"{start}{key}: {yaml12.flow(entry)}" for key, entry in entries.items())


def described(field: FieldInfo) -> str:
    """A field's description, with its choices or range unless it names them itself."""
    description = field.description or ""
    choices = [str(choice) for choice in _choices(field.annotation)]
    if not all(re.search(rf"\b{choice}\b", description) for choice in choices):
        return f"{description}. {', '.join(choices[:-1])} or {choices[-1]}"
    limits = {
        name: f"{getattr(limit, name):,}"
        for limit in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(limit, name)
    }
    for names, words in RANGES.items():
        if set(names) == set(limits):
            return f"{description}. {words.format(**limits)}"
    return description


def _choices(annotation: Any) -> tuple[Any, ...]:
    bare = _without_none(annotation)
    if bare is bool:
        return ("true", "false")
    return get_args(bare) if get_origin(bare) is Literal else ()


def _without_none(annotation: Any) -> Any:
    """``X`` of ``X | None``; any other annotation as it is."""
    others = [part for part in get_args(annotation) if part is not type(None)]
    return others[0] if len(others) == 1 and type(None) in get_args(annotation) else annotation


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _comment(text: str, indent: int) -> Iterator[str]:
    """A sentence, wrapped. Its first letter becomes a capital, except in a key, a value, or k-means."""
    begins_with_word = re.match(r"[a-z]{2,}(-[a-z]+)*,? ", text)
    sentence = text[0].upper() + text[1:] if begins_with_word else text
    sentence = sentence if sentence.endswith(".") else f"{sentence}."
    start = f"{' ' * indent}# "
    yield from textwrap.wrap(
        sentence, WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False
    )
