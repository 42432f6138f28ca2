"""Repetition of samples: soft cap sampling, rounded such that the times add up to the total exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import soft_cap
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.by_signal import check_numbers
from tamis.pipeline.steps.selectors.config import NOT_CHOSEN
from tamis.pipeline.steps.selectors.repeat.config import Repeat as Config
from tamis.pipeline.steps.shared.config import NO_VALUE, nothing_reaches
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tables.columns import scatter, uid_words
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job

BIN_BITS = 20
"""Leading bits of a score by which samples are counted: sign, exponent, and eight binary digits."""


@dataclass(frozen=True)
class Scored:
    """Arguments of ``count``: the signal, and by what its values are divided."""

    signal: str
    temperature: float


@dataclass(frozen=True)
class Capped(Scored):
    """Arguments of ``key``, ``values`` and ``decide``."""

    seed: int
    penalty: float
    most: int
    name: str  # of the signal that is made


@dataclass(frozen=True)
class Total:
    """Arguments of ``bound``."""

    total: int
    penalty: float
    most: int


class Repeat(Step):
    """``counted`` and ``ceiling`` bound the copies that can matter, ``keyed`` has them; after ``cut`` ``values``."""

    passing = ("counted", "keyed")

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job

    def needs(self) -> Sequence[Product]:
        """The signal."""
        return [product.signal(self.config.signal)]

    def makes(self) -> Mapping[Product, str]:
        """The times, under the step's name."""
        return {product.signal(self.name): "values"}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """The signal is made of numbers.

        Raises:
            JobError: it is text.
        """
        check_numbers(self.name, self.config.signal, self.job.steps, inputs)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class.

        Raises:
            JobError: fewer samples have a value than the total needs.
        """
        config, name = self.config, self.name
        if not context.alive:
            raise nothing_reaches(name)
        signal = context.signal(config.signal)
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "signal": signal,
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        scored = Scored(config.signal, config.temperature)
        yield Phase("counted", count, EachPart(context.parts, inputs, scored, buckets=1))
        valued = context.done(name, "counted").total("valued")
        if config.total > config.most * valued:
            raise JobError(
                f"{name}: total {config.total:,}: {valued:,} samples with a value of {config.signal}, each at most "
                f"{config.most:,} times, are {config.most * valued:,}: lower `total`, or raise `most`"
            )
        counted = {"counted": context.done(name, "counted").whole()}
        total = Total(config.total, config.penalty, config.most)
        yield listed("ceiling", bound, [Task.whole("ceiling", counted, total)])
        capped = Capped(
            config.signal,
            config.temperature,
            self.job.seed,
            config.penalty,
            config.most,
            name,
        )
        ceiling = {"ceiling": context.done(name, "ceiling").whole()}
        yield Phase("keyed", key, EachPart(context.parts, inputs, capped, shared=ceiling))
        yield from budget_cut.phases(context, name, [config.total])
        inputs["keyed"] = context.at(name, "keyed")
        cut = {"cut": context.done(name, "cut").whole()}
        yield Phase("values", values, EachPart(context.parts, inputs, capped, shared=cut))
        inputs["values"] = context.at(name, "values")
        yield Phase(VERDICT, decide, EachPart(context.parts, inputs, capped, shared=cut))


def _scores(
    io: TaskIo[Scored] | TaskIo[Capped],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The living rows of one part that have a value, and their scores."""
    rows, name = io.living_rows(), io.args.signal
    column = scatter(io.read("signal", ["row", name]), io.rows)[name].take(pa.array(rows))
    value = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    has = ~np.isnan(value)
    return rows[has], value[has] / io.args.temperature


def count(io: TaskIo[Scored]) -> Iterator[pa.Table]:
    """(bin, samples) of one part: the leading bits of its scores' keys."""
    _, score = _scores(io)
    io.count(valued=len(score))
    bins = order.descending_unchecked(score) >> np.uint64(64 - BIN_BITS)
    found, samples = np.unique(bins.astype(np.uint32), return_counts=True)
    yield pa.table({"bin": found, "samples": samples})


def bound(io: TaskIo[Total]) -> Iterator[pa.Table]:
    """(ceiling): no key above it is among those that are taken."""
    table = io.read("counted").group_by("bin", use_threads=False).aggregate([("samples", "sum")])
    ends = table["bin"].to_numpy().astype(np.uint64) + np.uint64(1)
    least = order.from_descending((ends << np.uint64(64 - BIN_BITS)) - np.uint64(1))
    # Behind the bits of minus infinity come those of NaN.
    least = np.where(np.isnan(least), -np.inf, least)
    arranged = np.argsort(least, kind="stable")
    args = io.args
    samples = table["samples_sum"].to_numpy()[arranged]
    found = soft_cap.ceiling(least[arranged], samples, args.total, args.most, args.penalty)
    yield pa.table({"ceiling": [found]})


def _offsets(uid: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float64]:
    return order.uniform(order.hashed(uid, seed, "repeat"))


def key(io: TaskIo[Capped]) -> Iterator[pa.Table]:
    """The copies of one part's samples that may be taken, in the order of rows, and the first of every sample.

    Copies have uids of their own, so that a sample of the keys is one of copies.
    """
    args = io.args
    rows, score = _scores(io)
    column = io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(rows))
    uid = uid_words(column)
    keys = soft_cap.keys(score, _offsets(uid, args.seed), args.most, args.penalty)
    ceiling = io.read("ceiling")["ceiling"][0].as_py()
    may = keys <= ceiling
    may[:, 0] = True
    at, copy = np.nonzero(may)
    own = uid[at]
    own[:, 1] ^= copy.astype(np.uint64) << np.uint64(32)
    raw = np.ascontiguousarray(own.astype(">u8")).tobytes()
    named = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(at), [None, pa.py_buffer(raw)])
    yield budget_cut.keyed(rows[at], order.descending_unchecked(-keys[at, copy]), named)


def values(io: TaskIo[Capped]) -> Iterator[pa.Table]:
    """(row, times) of one part's samples that have a value."""
    table = io.read("keyed").combine_chunks()
    taken = budget_cut.passes(table, budget_cut.read_cut(io))
    rows, at = np.unique(table["row"].to_numpy(), return_inverse=True)
    times = np.bincount(at, weights=taken, minlength=len(rows)).astype(np.int32)
    io.count(times=int(times.sum()))
    yield pa.table({"row": rows.astype(np.uint32), io.args.name: times})


def decide(io: TaskIo[Capped]) -> Iterator[pa.Table]:
    """The samples of one part that are never seen, with the value at which each would be; and those without a value."""
    args = io.args
    table = io.read("values").combine_chunks()
    rows, score = _scores(io)
    never = table[args.name].to_numpy() == 0
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(rows[never]))
    first = 1 - _offsets(uid_words(uid), args.seed)
    level = -order.from_descending(budget_cut.read_cut(io).key)[0]
    needed = soft_cap.reached(first, args.penalty) - level
    missing = budget_cut.without_key(io, table)
    nothing = np.full(len(missing), np.nan)
    yield drops(
        io,
        np.append(rows[never], missing),
        np.array([NOT_CHOSEN] * int(never.sum()) + [NO_VALUE] * len(missing), object),
        rule=[args.signal] * (int(never.sum()) + len(missing)),
        value=pa.array(np.append(score[never] * args.temperature, nothing), from_pandas=True),
        bound=pa.array(np.append(needed * args.temperature, nothing), from_pandas=True),
    )
