"""One number of a job file changed in its text: comments, order and layout stay as a person wrote them."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from schemas.errors import JobError
from schemas.parse import dump, parse_job


def with_setting(text: str, source: str, step: str, key: str, value: int) -> str:
    """The text of a job file in which ``key`` of the step called ``step`` is ``value``.

    What comes out is read again, and has to be the same job but for that number.

    Raises:
        JobError: the file is written in a way that this does not reach (an alias, a tag): the message says what to
            put where.
    """
    wanted = dump(parse_job(text, source, [f"{step}.{key}={value}"]))
    for settings in _settings(yaml.compose(text, yaml.SafeLoader), step):
        changed = _changed(text, settings, key, value)
        try:
            if dump(parse_job(changed, source)) == wanted:
                return changed
        except JobError:
            continue
    raise JobError(
        f"{source}: cannot be changed in place: write {key}: {value} into its step `{step}`"
    )


def _settings(root: yaml.Node | None, step: str) -> Iterator[yaml.MappingNode]:
    """Where the settings of the step stand."""
    for name, steps in _pairs(root):
        if name.value != "steps" or not isinstance(steps, yaml.SequenceNode):
            continue
        for entry in steps.value:
            for kind, settings in _pairs(entry):
                named = {key.value: value.value for key, value in _pairs(settings)}
                if named.get("name", kind.value) == step and isinstance(settings, yaml.MappingNode):
                    yield settings


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _changed(text: str, settings: yaml.MappingNode, key: str, value: int) -> str:
    for name, held in settings.value:
        if name.value == key:
            return f"{text[: held.start_mark.index]}{value}{text[held.end_mark.index :]}"
    first, last = settings.value[0][0], settings.value[-1][1]
    if settings.flow_style:
        end = last.end_mark.index
        return f"{text[:end]}, {key}: {value}{text[end:]}"
    # Before the first key and as deep: what follows keeps its line and its comment.
    start, indent = first.start_mark.index, " " * first.start_mark.column
    return f"{text[:start]}{key}: {value}\n{indent}{text[start:]}"
