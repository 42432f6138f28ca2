"""Parts of selectors that choose by a signal: values, keys, and a verdict that also drops samples without a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.signals import origins
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.config import NOT_CHOSEN
from tamis.pipeline.steps.shared.config import NO_VALUE
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tables.columns import scatter
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase
from tamis.pipeline.tasks.sources import ByPart, Source
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Args, TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.step import StepModel


@dataclass(frozen=True)
class Keying:
    """Arguments of ``key``."""

    signal: str
    best: Literal["highest", "lowest"]
    finite: bool  # only samples of a finite value have a key


@dataclass(frozen=True)
class Choice:
    """Arguments of a verdict by a signal."""

    signal: str


AnyChoice = TypeVar("AnyChoice", bound=Choice)


def check_numbers(
    step: str, signal: str, steps: Sequence[StepModel], inputs: Sequence[InputFile]
) -> None:
    """Check that a step chooses by a numeric signal.

    Raises:
        JobError: the signal is text.
    """
    if signal in origins.text_signals(steps, inputs):
        raise JobError(
            f"{step}: {signal} is text, and a choice by score needs numbers: name another signal, or list what "
            "may pass in a `rules` step with `in`"
        )


def keyed_phase(
    context: Context, name: str, keying: Keying, everyone: bool = False
) -> Phase[Keying]:
    """The phase ``name``: keys of every part's living samples, by their values of a signal.

    With ``everyone`` also of those that earlier steps have dropped.
    """
    signal = context.signal(keying.signal)
    inputs: dict[str, ByPart | Sequence[ByPart]] = {
        "signal": signal,
        "ingest": context.ingest(),
        "drops": () if everyone else context.drops(),
    }
    return Phase(name, key, EachPart(context.parts, inputs, keying))


def cut_phase(
    context: Context,
    step: str,
    function: Callable[[TaskIo[Args]], Iterable[pa.Table]],
    args: Args,
    inputs: Mapping[str, ByPart] | None = None,
    shared: Mapping[str, Sequence[Source]] | None = None,
) -> Phase[Args]:
    """The verdict of a step that compares each part's living samples with its cut; it may read more ``inputs``."""
    read: dict[str, ByPart | Sequence[ByPart]] = {
        "keyed": context.at(step, "keyed"),
        "drops": context.drops(),
        **(inputs or {}),
    }
    cut = {"cut": context.done(step, "cut").whole(), **(shared or {})}
    return Phase(VERDICT, function, EachPart(context.parts, read, args, shared=cut))


def living_values(
    io: TaskIo[Keying],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The living rows of one part and their values of the signal, NaN for none."""
    count = io.rows
    rows = io.living_rows()
    name = io.args.signal
    column = scatter(io.read("signal", ["row", name]), count)[name].take(pa.array(rows))
    values = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    return rows, values


def key(io: TaskIo[Keying]) -> Iterator[pa.Table]:
    """Keys of the living samples of one part that have a value (with ``finite`` a finite one), the best first."""
    rows, values = living_values(io)
    valued = np.isfinite(values) if io.args.finite else ~np.isnan(values)
    rows, values = rows[valued], values[valued]
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(rows))
    keys = order.descending_unchecked(values if io.args.best == "highest" else -values)
    yield budget_cut.keyed(rows, keys, uid)


def with_missing(
    io: TaskIo[AnyChoice],
    table: pa.Table,
    rows: npt.NDArray[np.integer],
    rules: Sequence[str],
    values: npt.NDArray[np.float64],
    bounds: npt.NDArray[np.float64],
) -> pa.Table:
    """The verdict: ``rows`` were not chosen; the living that ``table`` (``keyed``) lacks had no value of the signal."""
    missing = budget_cut.without_key(io, table)
    count = len(missing)
    nothing = np.full(count, np.nan)
    reasons = [NOT_CHOSEN] * len(rows) + [NO_VALUE] * count
    return drops(
        io,
        np.append(rows, missing),
        np.array(reasons, object),
        rule=[*rules, *[io.args.signal] * count],
        value=pa.array(np.append(values, nothing), from_pandas=True),
        bound=pa.array(np.append(bounds, nothing), from_pandas=True),
    )
