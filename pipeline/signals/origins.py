"""Origins of a step's signals in each entry of the input, and their types.

They follow from names, installed packages and each entry's first readable file, before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from tamis.pipeline.inputs import columns
from tamis.pipeline.inputs.formats import Outline, format_of, outline
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.signals import text_classifier
from tamis.pipeline.signals.registry import SIGNALS, Origin, resolve
from tamis.schemas.errors import JobError
from tamis.schemas.ledger import TAKEN
from tamis.schemas.step import StepModel

TRIES = 8
"""Files of an entry among which one has to be readable, and to have a value of each column."""

HEAD_TYPE = pa.float32()
COUNT_TYPE = pa.int32()


class LackingError(JobError):
    """Signals of a step have no origin in one ``entry`` of the input, of which ``first`` has the columns ``known``."""

    def __init__(
        self,
        message: str,
        entry: str,
        names: tuple[str, ...],
        first: InputFile,
        known: columns.Columns,
    ) -> None:
        super().__init__(message)
        self.entry, self.names, self.first, self.known = entry, names, first, known


@dataclass(frozen=True)
class Origins:
    """Origins by entry and signal, and types by signal, each the same for all entries."""

    by_entry: Mapping[str, Mapping[str, Origin]]
    types: Mapping[str, pa.DataType]


def find(step: StepModel, inputs: Sequence[InputFile]) -> Origins:
    """The origins of all signals of a step.

    Raises:
        JobError: a signal has no origin (LackingError), or cannot be a column of the ledger.
    """
    _check_names(step)
    by_entry: dict[str, dict[str, Origin]] = {}
    types: dict[str, dict[str, pa.DataType]] = {name: {} for name in step.computes}
    for entry, files in _by_entry(inputs).items():
        first, known = _columns(files, step.computes)
        available = _available(outline(first))
        if first.reading.captions == "none":
            available -= {"text"}
        by_entry[entry] = {}
        faults: dict[str, JobError] = {}
        for name in step.computes:
            try:
                origin = resolve(
                    name,
                    available=available,
                    columns=list(known),
                    heads=step.head_files,
                    lists=step.word_lists,
                    plugged=step.plugged,
                    classifiers=step.classifier_files,
                )
            except JobError as error:
                faults[name] = error
                continue
            by_entry[entry][name] = origin
            types[name][entry] = _type(step, entry, origin, known)
        if faults:
            raise _lacking(step, entry, faults, first, known)
    return Origins(by_entry, {name: _common(step, name, kinds) for name, kinds in types.items()})


def _lacking(
    step: StepModel,
    entry: str,
    faults: Mapping[str, JobError],
    first: InputFile,
    known: columns.Columns,
) -> LackingError:
    """The error of the first signal without origin; the others are named."""
    name, *others = faults
    damage = outline(first).damage
    why = str(faults[name]) if damage is None else f"{first.source} cannot be read: {damage}"
    also = f"; nor is there {', '.join(others)}" if others and damage is None else ""
    return LackingError(
        f"{step.name}: input `{entry}`: {why}{also}", entry, tuple(faults), first, known
    )


def lacking(files: Sequence[InputFile], column: str | None, kind: pa.DataType) -> list[InputFile]:
    """The files whose schema says that they have no such column of that type; a tar has no schema."""
    if column is None:
        return []
    return [
        file
        for file in files
        if not format_of(file).values_in_table
        and (known := _file_columns(file))
        and not columns.fits(known.get(column), kind)
    ]


def text_signals(steps: Sequence[StepModel], inputs: Sequence[InputFile]) -> set[str]:
    """The signals of a job's steps whose values are text, which has no order of size."""
    kinds = [find(step, inputs).types for step in steps if step.computes]
    made = {name for step in steps for name in step.texts}
    return made | {name for types in kinds for name, kind in types.items() if kind == pa.string()}


def _check_names(step: StepModel) -> None:
    """Refuse names of the ledger's columns, repeated names (some readers ignore case) and heads without a signal."""
    taken = {name.lower(): f"`{name}` is a column of every ledger, or table" for name in TAKEN}
    for name in step.computes:
        if name.lower() in taken:
            raise JobError(f"{step.name}: {name}: {taken[name.lower()]}: leave it out")
        taken[name.lower()] = f"`{name}` is in the list already"
    by_key: dict[str, Mapping[str, object]] = {
        "heads": step.head_files,
        "lists": step.word_lists,
        "classifiers": step.classifier_files,
        "plugins": step.plugged,
    }
    for key, named in by_key.items():
        for name in named:
            if name not in step.computes:
                raise JobError(
                    f"{step.name}: {key}: `{name}` is none of the step's signals: add it"
                )
    files = [name for named in by_key.values() for name in named]
    for name in files:
        if files.count(name) > 1:
            raise JobError(
                f"{step.name}: `{name}` stands twice among heads, lists, classifiers and plugins: take one of them"
            )
    for name in step.plugged:
        if name in SIGNALS:
            raise JobError(
                f"{step.name}: plugins: `{name}` is a built-in signal: give the function another name"
            )


def _by_entry(inputs: Sequence[InputFile]) -> dict[str, list[InputFile]]:
    entries: dict[str, list[InputFile]] = {}
    for file in inputs:
        entries.setdefault(file.entry, []).append(file)
    return {entry: _spread(files) for entry, files in entries.items()}


def _spread(files: Sequence[InputFile]) -> list[InputFile]:
    """TRIES of the files: the first ones, and as many more from all over the others."""
    first, others = list(files[: TRIES // 2]), files[TRIES // 2 :]
    more = min(len(others), TRIES - len(first))
    return first + [others[(number + 1) * len(others) // more - 1] for number in range(more)]


def _columns(
    files: Sequence[InputFile], wanted: Sequence[str]
) -> tuple[InputFile, columns.Columns]:
    """The first file with columns, and their types; the first of all files if none has columns.

    Of a column that this file lacks, or has no value of, the next file that has one tells the type.
    """
    rest = iter(files)
    first = next((file for file in rest if _file_columns(file)), None)
    if first is None:
        return files[0], {}
    known = dict(_file_columns(first))
    names = {name.lower() for name in wanted if name not in SIGNALS}
    for file in rest:
        own = [name for name in known if name.lower() in names]
        if len(own) >= len(names) and all(known[name] != pa.null() for name in own):
            break
        for name, kind in _file_columns(file).items():
            if known.get(name, pa.null()) == pa.null():
                known[name] = kind
    return first, known


@lru_cache(maxsize=64)
def _file_columns(file: InputFile) -> columns.Columns:
    return format_of(file).columns(file)


def _available(known: Outline) -> set[str]:
    """The columns that ingest fills for such a file, and "pixels" with pictures."""
    if known.pictures or "image" in known.taken:
        return {"text", "width", "height", "image_size", "pixels"}
    return {"text", "width", "height"} & set(known.taken)


def _type(step: StepModel, entry: str, origin: Origin, known: columns.Columns) -> pa.DataType:
    if origin.signal is not None:
        return origin.signal.dtype
    if origin.words is not None:
        return COUNT_TYPE
    if origin.plugin is not None:
        return pa.type_for_alias(step.plugged[origin.name].type or "null")
    if origin.classifier is not None:
        return text_classifier.type_of(step.sought_labels.get(origin.name))
    if origin.column is None:
        return pa.string() if origin.name in step.named_prompts else HEAD_TYPE
    kind = known[origin.column]
    if kind is None:
        raise JobError(
            f"{step.name}: input `{entry}`: column {origin.column} has neither numbers, text nor true/false"
        )
    if kind == pa.null():
        raise JobError(
            f"{step.name}: input `{entry}`: column {origin.column} has no value in the first samples, and "
            "so no known type: leave it out"
        )
    return kind


def _common(step: StepModel, name: str, types: Mapping[str, pa.DataType]) -> pa.DataType:
    """One type for all entries: numbers of two kinds become float64."""
    kinds = list(dict.fromkeys(types.values()))
    if len(kinds) == 1:
        return kinds[0]
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        return columns.NUMBER
    conflict = ", ".join(f"{kind} in input `{entry}`" for entry, kind in types.items())
    raise JobError(f"{step.name}: {name} is {conflict}: a signal has one type: leave it out")
