"""Where the signals of one step come from in this job, entry by entry of the input, and what type each has.

All is decided before anything runs, from the names, the installed packages, and a look at each entry's first file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from tamis.pipeline.inputs import columns
from tamis.pipeline.inputs.formats import Outline, format_of, outline
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.signals.registry import Origin, resolve
from tamis.schemas.errors import JobError
from tamis.schemas.ledger import LEDGER
from tamis.schemas.step import StepModel

TRIES = 8
"""Files of an entry that are looked at for one that can be read."""

HEAD_TYPE = pa.float32()


@dataclass(frozen=True)
class Sources:
    """``of[entry][signal]`` is its source there; ``types[signal]`` holds for all entries."""

    of: Mapping[str, Mapping[str, Origin]]
    types: Mapping[str, pa.DataType]


def find(step: StepModel, inputs: Sequence[InputFile]) -> Sources:
    """The sources of all signals that a step names.

    Raises:
        JobError: a signal that cannot be had, or cannot be a column of the ledger.
    """
    _check_names(step)
    of: dict[str, dict[str, Origin]] = {}
    types: dict[str, dict[str, pa.DataType]] = {name: {} for name in step.computes}
    for entry, files in _by_entry(inputs).items():
        first, there = _columns(files)
        given = _given(outline(first))
        of[entry] = {}
        for name in step.computes:
            try:
                source = resolve(name, given=given, columns=list(there), heads=step.linear_heads)
            except JobError as error:
                bare = f"{first.source} is damaged, or has no columns: "
                why = bare if outline(first).damage is not None else ""
                raise JobError(f"{step.name}: input `{entry}`: {why}{error}") from None
            of[entry][name] = source
            types[name][entry] = _type(step, entry, source, there)
    return Sources(of, {name: _common(step, name, found) for name, found in types.items()})


def texts(steps: Sequence[StepModel], inputs: Sequence[InputFile]) -> set[str]:
    """The signals of a job's steps that are text: nothing in them is large or small."""
    kinds = [find(step, inputs).types for step in steps if step.computes]
    return {name for types in kinds for name, kind in types.items() if kind == pa.string()}


def _check_names(step: StepModel) -> None:
    """Names become columns beside the ledger's own, and some readers do not tell upper from lower case."""
    taken = {
        name.lower(): f"`{name}` is a column of every ledger" for name in ("row", *LEDGER.names)
    }
    for name in step.computes:
        if name.lower() in taken:
            raise JobError(f"{step.name}: {name}: {taken[name.lower()]}: leave it out")
        taken[name.lower()] = f"`{name}` stands in the list already"
    for name in step.linear_heads:
        if name not in step.computes:
            raise JobError(f"{step.name}: heads: `{name}` is none of the step's signals: add it")


def _by_entry(inputs: Sequence[InputFile]) -> dict[str, list[InputFile]]:
    entries: dict[str, list[InputFile]] = {}
    for file in inputs:
        first = entries.setdefault(file.entry, [])
        if len(first) < TRIES:
            first.append(file)
    return entries


def _columns(files: Sequence[InputFile]) -> tuple[InputFile, columns.Columns]:
    """The first file that has columns, and what they hold; the first of all where none has any."""
    for file in files:
        found = _look(file)
        if found:
            return file, found
    return files[0], {}


@lru_cache(maxsize=64)
def _look(file: InputFile) -> columns.Columns:
    return format_of(file).columns(file)


def _given(known: Outline) -> set[str]:
    """What ingest fills for such an entry."""
    if known.pictures or "image" in known.taken:
        return {"text", "width", "height", "image_size", "pixels"}
    return {"text", "width", "height"} & set(known.taken)


def _type(step: StepModel, entry: str, source: Origin, there: columns.Columns) -> pa.DataType:
    if source.signal is not None:
        return source.signal.dtype
    if source.column is None:
        return HEAD_TYPE
    kind = there[source.column]
    if kind is None:
        raise JobError(
            f"{step.name}: input `{entry}`: column {source.column} holds neither numbers, text nor true/false"
        )
    if kind == pa.null():
        raise JobError(
            f"{step.name}: input `{entry}`: column {source.column} has no value in the first samples: "
            "its type cannot be told"
        )
    return kind


def _common(step: StepModel, name: str, found: Mapping[str, pa.DataType]) -> pa.DataType:
    """One type for all entries: numbers of two kinds become float64."""
    kinds = list(dict.fromkeys(found.values()))
    if len(kinds) == 1:
        return kinds[0]
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        return columns.NUMBER
    said = ", ".join(f"{kind} in input `{entry}`" for entry, kind in found.items())
    raise JobError(f"{step.name}: {name} is {said}: a signal has one type")
