"""Coverage-centric selection (CCS, Zheng et al., ICLR 2023): drop the hardest, then cover every difficulty.

A score's range without the hardest is cut into strata of equal width; the budget is shared by visiting strata in
ascending size; inside a stratum the choice is uniform.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import coverage
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.by_signal import (
    check_numbers,
    key,
    keyed_task,
    signal_task,
    with_missing,
)
from tamis.pipeline.steps.selectors.coverage.config import Coverage as Config
from tamis.pipeline.steps.shared.parts import part_task
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Part, Phase, Task, TaskIo
from tamis.schemas.job import Job

HARDEST = "hardest-"


class Coverage(Step):
    """``hardest-cut``; ``limits`` to ``budgets`` of the strata; ``keyed``, ``cut`` and ``verdict``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.seed = config, config.name, job.seed
        self.steps = job.steps

    def needs(self) -> Sequence[str]:
        """The score."""
        return [f"signal:{self.config.score}"]

    def check(self, inputs: Sequence[InputFile]) -> None:
        """It is made of numbers.

        Raises:
            JobError: it is text.
        """
        check_numbers(self.name, self.config.score, self.steps, inputs)

    def phases(self, context: Context) -> Iterator[Phase]:
        """See the class."""
        name, config = self.name, self.config
        tasks = [signal_task(context, part, config.score) for part in context.parts]
        best = "highest" if config.hard == "high" else "lowest"
        reading = {"signal": config.score, "best": best, "finite": True}  # strata need a range
        yield Phase(f"{HARDEST}keyed", key, tasks, reading)
        there = budget_cut.have_key(context, name, f"{HARDEST}keyed")
        hardest = coverage.hardest_count(there, config.beta)
        budget = budget_cut.budget_of(context, config, there - hardest)
        yield from budget_cut.phases(context, name, [hardest], HARDEST)
        yield from self._strata(context, budget)
        made = context.done(name, "budgets")["budgets"].notes
        yield Phase(
            "keyed", stratified, self._tasks(context, "range"), {**self._args(), "seed": self.seed}
        )
        yield from budget_cut.phases(context, name, made["budgets"])
        cut = context.done(name, "cut").whole()
        more = {"budgets": context.done(name, "budgets").whole()}
        tasks = [
            keyed_task(context, name, part, cut, **self._inputs(context, part), **more)
            for part in context.parts
        ]
        yield Phase("verdict", decide, tasks, {**self._args(), "signal": config.score})

    def _args(self) -> dict[str, Any]:
        return {"strata": self.config.strata, "hard": self.config.hard}

    def _inputs(self, context: Context, part: Part) -> dict[str, Any]:
        return {
            "scores": [context.at(self.name, f"{HARDEST}keyed", part)],
            "hardest": context.done(self.name, f"{HARDEST}cut").whole(),
        }

    def _tasks(self, context: Context, phase: str = "") -> list[Task]:
        more = {phase: context.done(self.name, phase).whole()} if phase else {}
        return [part_task(part, {**self._inputs(context, part), **more}) for part in context.parts]

    def _strata(self, context: Context, budget: int) -> Iterator[Phase]:
        """The range of what is left, the strata's sizes, and their budgets."""
        yield Phase("limits", limits, self._tasks(context), {"hard": self.config.hard})
        every = {"limits": context.done(self.name, "limits").whole()}
        yield Phase("range", whole_range, [Task("range", every)])
        yield Phase("sizes", sizes, self._tasks(context, "range"), self._args())
        every = {"sizes": context.done(self.name, "sizes").whole()}
        settings = {"budget": budget, "strata": self.config.strata}
        yield Phase("budgets", budgets, [Task("budgets", every, settings)])


def _left(io: TaskIo) -> tuple[pa.Table, npt.NDArray[np.float64]]:
    """Of one part what is not among the hardest, and its scores."""
    table = io.read("scores").combine_chunks()
    hardest = budget_cut.passes(table, budget_cut.read_cut(io, role="hardest"))
    table = table.filter(pa.array(~hardest)).combine_chunks()
    return table, scores_of(table, io.args["hard"])


def scores_of(table: pa.Table, hard: str) -> npt.NDArray[np.float64]:
    """The scores that the keys of ``hardest-keyed`` were made of."""
    values = order.undone(table["key"].to_numpy())
    return values if hard == "high" else -values


def limits(io: TaskIo) -> Iterator[pa.Table]:
    """(low, high) of the scores of one part that are not among the hardest; no row where there are none."""
    _, scores = _left(io)
    ends = [[scores.min()], [scores.max()]] if len(scores) else [[], []]
    yield pa.table(
        {name: pa.array(end, pa.float64()) for name, end in zip(("low", "high"), ends, strict=True)}
    )


def whole_range(io: TaskIo) -> Iterator[pa.Table]:
    """(low, high) over all parts."""
    table = io.read("limits")
    low, high = table["low"].to_numpy(), table["high"].to_numpy()
    ends = ([low.min()], [high.max()]) if len(low) else ([0.0], [0.0])
    yield pa.table({"low": ends[0], "high": ends[1]})


def _strata_of(io: TaskIo, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    ends = io.read("range").to_pylist()[0]
    return coverage.strata(scores, ends["low"], ends["high"], io.args["strata"])


def sizes(io: TaskIo) -> Iterator[pa.Table]:
    """(stratum, size) of one part."""
    _, scores = _left(io)
    stratum, size = np.unique(_strata_of(io, scores), return_counts=True)
    yield pa.table({"stratum": stratum, "size": size})


def budgets(io: TaskIo) -> Iterator[pa.Table]:
    """(stratum, size, budget); the notes hold the budgets, for the phases that follow."""
    size = np.zeros(io.args["strata"], np.int64)
    for part in io.stream("sizes"):
        size[part["stratum"].to_numpy()] += part["size"].to_numpy()
    given = coverage.budgets(size, io.args["budget"])
    io.notes["budgets"] = given.tolist()
    yield pa.table({"stratum": np.arange(len(size)), "size": size, "budget": given})


def stratified(io: TaskIo) -> Iterator[pa.Table]:
    """What is not among the hardest of one part, by stratum and a hash."""
    table, scores = _left(io)
    uid = table["uid"].combine_chunks()
    keys = order.hashed(uid_words(uid), io.args["seed"], "coverage")
    yield budget_cut.keyed(table["row"].to_numpy(), keys, uid, _strata_of(io, scores))


def decide(io: TaskIo) -> Iterator[pa.Table]:
    """The hardest of one part, against the easiest of them; what its stratum left out, by lot; what has no score."""
    scored = io.read("scores").combine_chunks()
    scores = scores_of(scored, io.args["hard"])
    found = budget_cut.read_cut(io, role="hardest")
    hard = np.flatnonzero(budget_cut.passes(scored, found))
    edge = pa.table({"key": found.key})
    keyed = io.read("keyed").combine_chunks()
    cuts = budget_cut.read_cut(io, io.args["strata"])
    out = keyed.filter(pa.array(~budget_cut.passes(keyed, cuts))).combine_chunks()
    stratum = out["group"].to_numpy()
    rules = ["hardest"] * len(hard) + [f"stratum-{number:03d}" for number in stratum]
    values = np.append(scores[hard], order.uniform(out["key"].to_numpy()))
    easiest = np.repeat(scores_of(edge, io.args["hard"]), len(hard))
    bounds = np.append(easiest, order.uniform(cuts.key)[stratum])
    rows = np.append(scored["row"].to_numpy()[hard], out["row"].to_numpy())
    yield with_missing(io, scored, rows, rules, values, bounds)
