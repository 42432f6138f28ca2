"""Coverage-centric selection (CCS, Zheng et al., ICLR 2023): drop the hardest, then cover every difficulty.

A score's range without the hardest is cut into strata of equal width; the budget is shared by visiting strata in
ascending size; inside a stratum the choice is uniform.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import coverage
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.by_signal import (
    Choice,
    Keying,
    check_numbers,
    cut_phase,
    keyed_phase,
    with_missing,
)
from tamis.pipeline.steps.selectors.coverage.config import Coverage as Config
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart, Source
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.job import Job

HARDEST = "hardest-"

Hard = Literal["high", "low"]
"""The end of the scores that is the hard one."""


@dataclass(frozen=True)
class Difficulty:
    """Arguments of ``limits``."""

    hard: Hard


@dataclass(frozen=True)
class Strata:
    """Arguments of ``sizes``."""

    strata: int  # how many
    hard: Hard


@dataclass(frozen=True)
class Budget:
    """Arguments of ``budgets``."""

    strata: int
    budget: int  # samples to keep in all


@dataclass(frozen=True)
class Lots(Strata):
    """Arguments of ``stratified``."""

    seed: int


@dataclass(frozen=True)
class CoverageChoice(Choice):
    """Arguments of ``decide``."""

    strata: int
    hard: Hard


class Coverage(Step):
    """``hardest-cut``; ``limits`` to ``budgets`` of the strata; ``keyed``, ``cut`` and ``verdict``."""

    version = 2

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.seed = config, config.name, job.seed
        self.steps = job.steps

    def needs(self) -> Sequence[Product]:
        """The score."""
        return [product.signal(self.config.score)]

    def check(self, inputs: Sequence[InputFile]) -> None:
        """It is made of numbers.

        Raises:
            JobError: it is text.
        """
        check_numbers(self.name, self.config.score, self.steps, inputs)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        name, config = self.name, self.config
        best: Literal["highest", "lowest"] = "highest" if config.hard == "high" else "lowest"
        # Strata need a range, so no score may be infinite.
        yield keyed_phase(context, f"{HARDEST}keyed", Keying(config.score, best, finite=True))
        scored = budget_cut.have_key(context, name, f"{HARDEST}keyed")
        hardest = coverage.hardest_count(scored, config.beta)
        budget = config.budget(context.alive, context.total, scored - hardest)
        yield from budget_cut.phases(context, name, [hardest], HARDEST)
        yield from self._strata(context, budget)
        wanted = context.done(name, "budgets")["budgets"].notes["budgets"]
        lots = Lots(config.strata, config.hard, self.seed)
        shared = {**self._hardest(context), "range": context.done(name, "range").whole()}
        tasks = EachPart(context.parts, self._scores(context), lots, shared=shared)
        yield Phase("keyed", stratified, tasks)
        yield from budget_cut.phases(context, name, wanted)
        yield self._verdict(context)

    def _verdict(self, context: Context) -> Phase[CoverageChoice]:
        name, config = self.name, self.config
        shared = {"budgets": context.done(name, "budgets").whole(), **self._hardest(context)}
        choice = CoverageChoice(config.score, config.strata, config.hard)
        return cut_phase(context, name, decide, choice, self._scores(context), shared)

    def _scores(self, context: Context) -> dict[str, ByPart]:
        return {"scores": context.at(self.name, f"{HARDEST}keyed")}

    def _hardest(self, context: Context) -> dict[str, Sequence[Source]]:
        return {"hardest": context.done(self.name, f"{HARDEST}cut").whole()}

    def _strata(self, context: Context, budget: int) -> Iterator[Phase[Any]]:
        """The range of what is left, the strata's sizes, and their budgets."""
        strata, hard = self.config.strata, self.config.hard
        scores, hardest = self._scores(context), self._hardest(context)
        ends = EachPart(context.parts, scores, Difficulty(hard), shared=hardest, buckets=1)
        yield Phase("limits", limits, ends)
        every = {"limits": context.done(self.name, "limits").whole()}
        yield listed("range", whole_range, [Task.whole("range", every)])
        ranged = {**hardest, "range": context.done(self.name, "range").whole()}
        counts = EachPart(context.parts, scores, Strata(strata, hard), shared=ranged, buckets=1)
        yield Phase("sizes", sizes, counts)
        every = {"sizes": context.done(self.name, "sizes").whole()}
        yield listed("budgets", budgets, [Task.whole("budgets", every, Budget(strata, budget))])


def _left(io: TaskIo[Any], hard: Hard) -> tuple[pa.Table, npt.NDArray[np.float64]]:
    """The samples of one part without the hardest, and their scores."""
    table = io.read("scores").combine_chunks()
    hardest = budget_cut.passes(table, budget_cut.read_cut(io, role="hardest"))
    table = table.filter(pa.array(~hardest)).combine_chunks()
    return table, scores_of(table, hard)


def scores_of(table: pa.Table, hard: Hard) -> npt.NDArray[np.float64]:
    """The scores that the keys of ``hardest-keyed`` were made of."""
    values = order.from_descending(table["key"].to_numpy())
    return values if hard == "high" else -values


def limits(io: TaskIo[Difficulty]) -> Iterator[pa.Table]:
    """(low, high) of the scores of one part that are not among the hardest; no row where there are none."""
    _, scores = _left(io, io.args.hard)
    ends = [[scores.min()], [scores.max()]] if len(scores) else [[], []]
    yield pa.table(
        {name: pa.array(end, pa.float64()) for name, end in zip(("low", "high"), ends, strict=True)}
    )


def whole_range(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(low, high) over all parts."""
    table = io.read("limits")
    low, high = table["low"].to_numpy(), table["high"].to_numpy()
    ends = ([low.min()], [high.max()]) if len(low) else ([0.0], [0.0])
    yield pa.table({"low": ends[0], "high": ends[1]})


def _strata_of(
    io: TaskIo[Any], scores: npt.NDArray[np.float64], strata: int
) -> npt.NDArray[np.int64]:
    ends = io.read("range").to_pylist()[0]
    return coverage.strata(scores, ends["low"], ends["high"], strata)


def sizes(io: TaskIo[Strata]) -> Iterator[pa.Table]:
    """(stratum, size) of one part."""
    _, scores = _left(io, io.args.hard)
    stratum, size = np.unique(_strata_of(io, scores, io.args.strata), return_counts=True)
    yield pa.table({"stratum": stratum, "size": size})


def budgets(io: TaskIo[Budget]) -> Iterator[pa.Table]:
    """(stratum, size, budget); the notes hold the budgets, for the phases that follow."""
    size = np.zeros(io.args.strata, np.int64)
    for part in io.stream("sizes"):
        np.add.at(size, part["stratum"].to_numpy(), part["size"].to_numpy())
    given = coverage.budgets(size, io.args.budget)
    io.notes["budgets"] = given.tolist()
    yield pa.table({"stratum": np.arange(len(size)), "size": size, "budget": given})


def stratified(io: TaskIo[Lots]) -> Iterator[pa.Table]:
    """Keys of the samples of one part without the hardest, by stratum and a hash."""
    table, scores = _left(io, io.args.hard)
    uid = table["uid"].combine_chunks()
    keys = order.hashed(uid_words(uid), io.args.seed, "coverage")
    stratum = _strata_of(io, scores, io.args.strata)
    yield budget_cut.keyed(table["row"].to_numpy(), keys, uid, stratum)


def decide(io: TaskIo[CoverageChoice]) -> Iterator[pa.Table]:
    """The hardest of one part, what its stratum left out by lot, and what has no score.

    The hardest are shown with the score of the easiest of them, the others with the last lot that was drawn.
    """
    scored = io.read("scores").combine_chunks()
    scores = scores_of(scored, io.args.hard)
    hardest = budget_cut.read_cut(io, role="hardest")
    hard = np.flatnonzero(budget_cut.passes(scored, hardest))
    edge = pa.table({"key": hardest.key})
    keyed = io.read("keyed").combine_chunks()
    cuts = budget_cut.read_cut(io, io.args.strata)
    out = keyed.filter(pa.array(~budget_cut.passes(keyed, cuts))).combine_chunks()
    stratum = out["group"].to_numpy()
    rules = ["hardest"] * len(hard) + [f"stratum-{number:03d}" for number in stratum]
    values = np.append(scores[hard], order.uniform(out["key"].to_numpy()))
    easiest = np.repeat(scores_of(edge, io.args.hard), len(hard))
    bounds = np.append(easiest, order.uniform(cuts.key)[stratum])
    rows = np.append(scored["row"].to_numpy()[hard], out["row"].to_numpy())
    yield with_missing(io, scored, rows, rules, values, bounds)
