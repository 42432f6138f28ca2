"""The pages of the documentation on every step and every signal, from their own definitions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

from pydantic_core import PydanticUndefined

from tamis.jobs.job_files.template import described, ordered
from tamis.pipeline.signals.kinds import Signal
from tamis.pipeline.signals.registry import SIGNALS
from tamis.schemas import yaml12
from tamis.schemas.ledger import Reason, meaning
from tamis.schemas.registry import STEPS, configuration
from tamis.schemas.step import StepModel

STEPS_HEAD = """\
# Every step

A job's `steps` are a list, done in order. Each is a map of one key, its kind, with these settings below it; one
without settings is its kind alone. `tamis init` writes them all into a job file. What a step drops has one of its
reasons in the ledger.
"""

SIGNALS_HEAD = """\
# Every signal

A signal is a stored column about each sample: name it under `signals`, and rules and selectors can go by it. Any
other column of the input is a signal too, by its own name. One that cannot be computed, for want of a picture say, is
taken from a column of the input, where the table names one.
"""

NEEDS = {
    "text": "the caption",
    "size": "width and height, or bytes",
    "pixels": "the picture",
    "embedding": "an embedding and a head",
}
"""``Signal.needs`` -> what a reader calls it."""


def steps_page() -> str:
    """The page on steps, in Markdown."""
    pieces = [STEPS_HEAD, _ingest(), *(_step(kind) for kind in STEPS)]
    return "\n".join(pieces)


def signals_page() -> str:
    """The page on signals, in Markdown."""
    heads = ("signal", "what it is", "unit", "type", "computed from", "extra", "column instead")
    rows = [_signal(name, signal) for name, signal in SIGNALS.items()]
    return SIGNALS_HEAD + "\n" + "\n".join(_table(heads, rows)) + "\n"


def _signal(name: str, signal: Signal) -> list[str]:
    needs, extra = NEEDS.get(signal.needs, signal.needs), signal.extra or ""
    return [
        f"`{name}`",
        signal.doc,
        signal.unit,
        str(signal.dtype),
        needs,
        extra,
        signal.column or "",
    ]


def _ingest() -> str:
    reasons = [[f"`{reason}`", meaning(str(reason), None)] for reason in Reason]
    lines = [
        "## ingest",
        "",
        "Part of every job, before its first step: each input file is walked once. It drops what cannot be used.",
        "",
        *_table(("reason", "meaning"), reasons),
    ]
    return "\n".join(lines) + "\n"


def _step(kind: str) -> str:
    model = configuration(kind)
    lines = [f"## {kind}", "", " ".join(model.purpose().split()), ""]
    settings = [_setting(model, name) for name in ordered(model) if name != "name"]
    if settings:
        lines += [*_table(("setting", "default", "what it does"), settings), ""]
    reasons = [[f"`{reason}`", text] for reason, text in model.reasons.items()]
    if reasons:
        lines += [*_table(("reason", "meaning"), reasons), ""]
    return "\n".join(lines)


def _setting(model: type[StepModel], name: str) -> list[str]:
    field = model.model_fields[name]
    default = "needed" if field.is_required() else "none"
    if field.default not in (None, "", PydanticUndefined):
        default = f"`{yaml12.flow(field.default)}`"
    elif field.examples:
        default += f", such as `{yaml12.flow(field.examples[0])}`"
    return [f"`{field.alias or name}`", default, described(field)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _row(heads)
    yield _row(["---"] * len(heads))
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    plain = (inspect.cleandoc(cell).replace("|", r"\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(plain)} |"
