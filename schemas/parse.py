"""YAML text -> a checked job, and one-line messages for whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from tamis.schemas import yaml12
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.nearest import nearest
from tamis.schemas.problems import messages
from tamis.schemas.registry import STEPS, configuration
from tamis.schemas.step import StepModel

__all__ = [
    "apply_setting",
    "check",
    "dump",
    "parse_job",
    "plain",
    "read",
    "with_setting",
]


def parse_job(text: str, source: str, settings: Sequence[str] = ()) -> Job:
    """Read a job file's text; ``settings`` are ``path=value`` overrides as in ``--set``.

    Raises:
        JobError: one line that names ``source``, the path in it, the value, and the nearest known key.
    """
    raw = read(text, source)
    for setting in settings:
        apply_setting(raw, setting)
    return check(raw, source)


def read(text: str, source: str) -> dict[str, Any]:
    """A job file's text as a map, not yet checked.

    Raises:
        JobError: no YAML, or no map.
    """
    try:
        raw = yaml12.load(text)
    except yaml12.YAMLError as error:
        raise JobError(f"{source}: not YAML: {_words(error, text)}") from None
    if not isinstance(raw, dict):
        raise JobError(f"{source}: a job is a map with the keys {', '.join(Job.model_fields)}")
    return raw


def _words(error: Exception, text: str) -> str:
    """An error of YAML in one line; a tab in front of a line is named, which YAML allows nowhere."""
    mark = getattr(error, "problem_mark", None)
    number = -1 if mark is None else int(mark.line)
    lines = text.splitlines()
    if 0 <= number < len(lines) and lines[number].lstrip(" ").startswith("\t"):
        return f"line {number + 1} begins with a tab: write blanks in its place"
    return " ".join(str(error).split())


def check(raw: dict[str, Any], source: str) -> Job:
    """A map, such as ``read`` gives, as a job.

    Raises:
        JobError: the first thing that is wrong with it.
    """
    try:
        return Job.model_validate(raw)
    except ValidationError as error:
        raise JobError(f"{source}: {next(messages(error, raw))}") from None


def dump(job: Job) -> str:
    """A job as YAML that ``parse_job`` reads back to an equal job, every key written out."""
    return yaml12.dump(plain(job))


def plain(job: Job) -> dict[str, Any]:
    """A job as the map that ``dump`` writes."""
    raw = job.model_dump(mode="json", by_alias=True, exclude_none=True)
    raw["steps"] = [
        {step.kind: step.model_dump(mode="json", by_alias=True, exclude_none=True)}
        for step in job.steps
    ]
    return raw


def with_setting(text: str, source: str, step: str, key: str, value: int) -> str:
    """A job file's text in which ``key`` of the step called ``step`` is ``value``, as a person wrote it otherwise.

    What comes out is read again, and has to be the same job but for that number.

    Raises:
        JobError: the file is written in a way that this does not reach (an alias, a tag): the message says what to
            put where.
    """
    wanted = dump(parse_job(text, source, [f"{step}.{key}={value}"]))
    for changed in yaml12.with_key(text, key, value):
        try:
            if dump(parse_job(changed, source)) == wanted:
                return changed
        except JobError:
            continue
    raise JobError(
        f"{source}: cannot be changed in place: write {key}: {value} into its step `{step}`"
    )


def apply_setting(raw: dict[str, Any], setting: str) -> None:
    """Change one value of a job not yet checked: ``density.keep=0.3`` (a step by its name), ``output=runs/x``.

    ``rules.words=null`` takes a rule away.

    Raises:
        JobError: the setting has no ``=``, or its path leads nowhere.
    """
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise JobError(f"--set {setting}: write path=value, for example density.keep=0.3")
    keys = path.split(".")
    node: Any = raw
    names, of_rules = _step_settings(raw), False
    if keys[0] in names and len(keys) > 1:
        (kind, node), keys = names[keys[0]], keys[1:]
        model = configuration(kind) if kind in STEPS else StepModel
        of_rules = bool(model.implied) and keys[0] not in model.model_fields
        if of_rules and isinstance(node.get(model.implied), dict):
            node = node[model.implied]
    elif keys[0] in names:
        raise JobError(
            f"--set {setting}: `{keys[0]}` is a step: name one of its keys, {keys[0]}.KEY=VALUE"
        )
    elif keys[0] not in Job.model_fields:
        raise JobError(
            f"--set {setting}: no such step or key `{keys[0]}`{nearest(keys[0], [*names, *Job.model_fields])}"
        )
    keys = _joined(node, keys)
    for key in keys[:-1]:
        node = _descend(node, key, setting)
    value = _value(text, setting)
    if value is None and of_rules and len(keys) == 1:
        _remove(node, keys[0], setting)
        return
    _put(node, keys[-1], value, setting)


def _remove(rules: dict[str, Any], name: str, setting: str) -> None:
    if name not in rules:
        raise JobError(f"--set {setting}: there is no `{name}`{nearest(name, [*rules])}")
    del rules[name]


def _put(node: Any, key: str, value: Any, setting: str) -> None:
    if isinstance(node, list) and key.isdigit() and int(key) < len(node):
        node[int(key)] = value
    elif isinstance(node, dict):
        node[key] = value
    else:
        raise JobError(f"--set {setting}: there is nothing at `{key}`")


def _joined(node: Any, keys: list[str]) -> list[str]:
    """The keys, those that are one key of ``node`` with dots in it joined: a rule's for the column `exif.width`."""
    for count in range(len(keys), 1, -1):
        if isinstance(node, dict) and (name := ".".join(keys[:count])) in node:
            return [name, *keys[count:]]
    return keys


def _value(text: str, setting: str) -> Any:
    try:
        return yaml12.load(text)
    except yaml12.YAMLError:
        raise JobError(
            f"--set {setting}: the value is not YAML: write it in quotes of its own, '\"{text}\"'"
        ) from None


def _descend(node: Any, key: str, setting: str) -> Any:
    if isinstance(node, list) and key.isdigit() and int(key) < len(node):
        return node[int(key)]
    if isinstance(node, dict):
        return node.setdefault(key, {})
    raise JobError(f"--set {setting}: there is nothing at `{key}`")


def _step_settings(raw: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Step name -> its kind, and its settings as they stand in the YAML; a word or a list is made a map first."""
    steps = raw.get("steps")
    if not isinstance(steps, list):
        return {}
    steps[:] = [{step: {}} if isinstance(step, str) else step for step in steps]
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for step in steps:
        if not isinstance(step, dict) or len(step) != 1:
            continue
        ((kind, settings),) = step.items()
        if settings is None:
            settings = step[kind] = {}
        elif isinstance(settings, list) and kind in STEPS:
            settings = step[kind] = configuration(kind).shorthand(settings)
        if isinstance(settings, dict):
            found[str(settings.get("name", kind))] = kind, settings
    return found
