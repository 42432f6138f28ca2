"""Quotas over groups: a budget shared out by weight, and exact in sum; inside a group the best, or those drawn by lot.

Ranks in a group depend on neither budget nor weights: with another ``keep``, other weights or caps, the quotas are
solved again and compared with stored ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import group_quotas
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import hash_file
from tamis.pipeline.steps.concepts import ranking
from tamis.pipeline.steps.selectors.by_signal import check_numbers
from tamis.pipeline.steps.selectors.quotas import groups
from tamis.pipeline.steps.selectors.quotas.config import CLUSTER, GROUP_FULL, LOW_MEAN
from tamis.pipeline.steps.selectors.quotas.config import Quotas as Config
from tamis.pipeline.steps.shared.config import NO_VALUE, nothing_reaches
from tamis.pipeline.steps.shared.other_runs import check_sha256, unchanged
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import scatter, uid_words
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo, location
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job

Ints = npt.NDArray[np.int64]

QUOTA = "quota"
"""The rule in the ledger of a sample beyond its group's quota."""

MEAN = "mean"
"""The column of a group's mean, where a least one is asked for."""


@dataclass(frozen=True)
class Grouping:
    """Arguments of ``counted`` and ``assign``."""

    by: Sequence[str]
    score: str | None
    best: Literal["highest", "lowest"]
    mean: str | None = None  # the signal that weighs groups
    least: float | None = None  # the least mean of it, for the verdict alone
    seed: int | None = None  # of the order by lot


@dataclass(frozen=True)
class Concepts:
    """Arguments of ``concepts``."""

    signal: str  # its name


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Arguments of ``solve``."""

    by: Sequence[str]
    budget: int | None  # samples to keep in all; None: as many as the groups allow
    weights: Literal["equal", "size", "file", "mean"]
    power: float
    cap: float
    most: int | None
    mean: str | None = None
    least: float | None = None
    sha256: str | None = None  # of the file of weights
    path: str | None = location()


class Quotas(Step):
    """``counted`` and ``sizes``, the groups; ``assign`` to ``places``, ranks in them; ``quotas`` and ``verdict``."""

    version = 2
    passing = ("counted", *ranking.PASSING)

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.steps, self.seed = config, config.name, job.steps, job.seed
        names = [step.name for step in job.steps]
        before = job.steps[: names.index(config.name)]
        # An index is for searches: the ledger has no clusters of it, and what decides again leaves it out.
        clustering = [step.name for step in before if step.training and not step.for_searches]
        self.clustering = clustering[-1] if clustering else None

    def needs(self) -> Sequence[Product]:
        """All signals."""
        return [product.signal(name) for name in self.config.signals]

    def makes(self) -> Mapping[Product, str]:
        """The concepts that it chooses in, as a signal: the ledger's `cluster` is of steps that rank in concepts."""
        made = self.config.chosen_in
        return {} if made is None else {product.signal(made): "concepts"}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """There are concepts if they are asked for, scores are numbers, and the weights are there.

        Raises:
            JobError: no step before this one makes concepts, or the score is text.
            InputError: no file of weights.
        """
        config = self.config
        if CLUSTER in config.by and self.clustering is None:
            raise JobError(
                f"{self.name}: by: {CLUSTER} is the concept of a step that clusters and chooses, as `index` does not: "
                "put one before this, such as `semantic_duplicates`"
            )
        for signal in filter(None, (config.score, config.mean)):
            check_numbers(self.name, signal, self.steps, inputs)
        if config.weights_path is not None:
            storage.stat(config.weights_path)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        config, name = self.config, self.name
        if not context.alive:
            raise nothing_reaches(name)
        if config.chosen_in is not None:
            assert self.clustering is not None
            assigned = {"assigned": context.at(self.clustering, "assign")}
            named = Concepts(config.chosen_in)
            yield Phase("concepts", concepts, EachPart(context.parts, assigned, named))
        grouping = Grouping(config.by, config.score, config.best, config.mean)
        inputs = self._inputs(context)
        yield Phase("counted", count, EachPart(context.parts, inputs, grouping, together=True))
        every = {"counted": context.done(name, "counted").whole()}
        yield listed("sizes", sizes, [Task.whole("clusters", every, grouping)])
        known = {"sizes": context.done(name, "sizes").whole()}
        lots = replace(grouping, mean=None, seed=self.seed)
        yield Phase("assign", assign, EachPart(context.parts, inputs, lots, shared=known))
        yield from ranking.phases(context, name, "random")
        yield listed("quotas", solve, [Task.whole("clusters", known, self._shares(context))])
        placed = {"places": context.at(name, "places"), **inputs}
        solution = {"quotas": context.done(name, "quotas").whole()}
        verdict = replace(grouping, least=config.least)
        yield Phase(VERDICT, decide, EachPart(context.parts, placed, verdict, shared=solution))

    def _inputs(self, context: Context) -> dict[str, ByPart | Sequence[ByPart]]:
        """The tables that hold a part's groups and scores."""
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        for signal in self.config.signals:
            made = context.signal(signal)
            inputs[product.signal(signal).role] = made
        if CLUSTER in self.config.by:
            assert self.clustering is not None
            inputs[product.signal(CLUSTER).role] = context.at(self.clustering, "assign")
        return inputs

    def _shares(self, context: Context) -> Shares:
        config, mean = self.config, self.config.mean
        budget = None
        if config.keep is not None:
            chosen = context.done(self.name, "assign").rows
            budget = config.budget(context.alive, context.total, chosen)
        kind = config.weights if isinstance(config.weights, str) else "mean" if mean else "file"
        path = None if config.weights_path is None else storage.absolute(config.weights_path)
        sha256 = None if path is None else hash_file(path)[1].hex()
        return Shares(
            by=config.by,
            budget=budget,
            weights=kind,
            power=config.power,
            cap=config.cap,
            most=config.most,
            mean=mean,
            least=config.least,
            sha256=sha256,
            path=path,
        )


def _values(io: TaskIo[Any], name: str, rows: Ints) -> pa.Array:
    """The values of a signal, or the clusters, of some rows of one part."""
    stored = io.read(product.signal(name).role, ["row", name])
    return scatter(stored, io.rows)[name].take(pa.array(rows)).combine_chunks()


def _numbers(io: TaskIo[Any], name: str, rows: Ints) -> npt.NDArray[np.float64]:
    """The same as numbers, NaN for none."""
    column = _values(io, name, rows).cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _grouped(io: TaskIo[Grouping]) -> tuple[Ints, pa.Table]:
    """The living rows of one part that have a group and, if it decides, a score; and their groups' names."""
    rows = io.living_rows()
    levels = groups.level_names(len(io.args.by))
    columns = [groups.names(_values(io, name, rows), io.step, name) for name in io.args.by]
    known = np.ones(len(rows), bool)
    for column in columns:
        known &= np.asarray(column.is_valid())
    if io.args.score is not None:
        known &= ~np.isnan(_numbers(io, io.args.score, rows))
    return rows[known], pa.table(dict(zip(levels, columns, strict=True))).filter(pa.array(known))


def concepts(io: TaskIo[Concepts]) -> Iterator[pa.Table]:
    """(row, concept) of each sample of a part that is in one, under the signal's name."""
    yield io.read("assigned", ["row", CLUSTER]).rename_columns(["row", io.args.signal])


def count(io: TaskIo[Grouping]) -> Iterator[pa.Table]:
    """The groups of a bundle, with the sums of ``groups.COUNTED``."""
    levels = groups.level_names(len(io.args.by))
    parts = (groups.grouped([_sums(part)], levels) for part in io.parts())
    yield groups.summed(parts, levels)


def _sums(io: TaskIo[Grouping]) -> pa.Table:
    """A row a sample: its group, and what is summed of it.

    Raises:
        JobError: a value that is too large to be summed.
    """
    rows, table = _grouped(io)
    value = np.full(len(rows), np.nan)
    if io.args.mean is not None:
        value = _numbers(io, io.args.mean, rows)
    finite = np.isfinite(value)
    value = np.where(finite, value, 0.0)
    if (np.abs(value) >= groups.LARGEST).any():
        raise JobError(
            f"{io.step}: weights: {io.args.mean} has the value {value[np.abs(value).argmax()]:g}, and means are of "
            f"values below {groups.LARGEST:,.0f}: weigh by another signal"
        )
    whole = np.floor(value)
    columns = {
        "size": np.ones(len(rows), np.int64),
        "valued": finite.astype(np.int64),
        "whole": whole.astype(np.int64),
        "fraction": np.rint((value - whole) * groups.FRACTION).astype(np.int64),
    }
    for name in groups.COUNTED:
        table = table.append_column(name, pa.array(columns[name]))
    return table


def sizes(io: TaskIo[Grouping]) -> Iterator[pa.Table]:
    """All groups in the order of their names, a row each, with the sums of ``groups.COUNTED``."""
    yield groups.summed(io.stream("counted"), groups.level_names(len(io.args.by)))


def assign(io: TaskIo[Grouping]) -> Iterator[pa.Table]:
    """(row, cluster, key) of one part's samples: the group's number, and what its samples are ranked by."""
    args = io.args
    rows, table = _grouped(io)
    number = groups.numbers(io.read("sizes"), table, groups.level_names(len(args.by)))
    uid = uid_words(io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(rows)))
    if args.score is None:
        assert args.seed is not None
        key = order.hashed(uid, args.seed, "quotas")
    else:
        score = _numbers(io, args.score, rows)
        key = order.descending_unchecked(score if args.best == "highest" else -score)
    columns = {"row": rows.astype(np.uint32), "cluster": number.astype(np.int32), ranking.KEY: key}
    yield pa.table(columns)


def solve(io: TaskIo[Shares]) -> Iterator[pa.Table]:
    """(cluster, group, size, capacity, weight, quota), a row a group, in the order of their numbers.

    Raises:
        JobError: the groups do not allow the budget.
        InputError: the file of weights lacks a group, or has a wrong weight.
        StateError: it is not the file that was there when the run began.
    """
    table = io.read("sizes").combine_chunks()
    yield solution(io.step, io.args, table)


def solution(step: str, args: Shares, table: pa.Table) -> pa.Table:
    """The table of ``solve``, from that of ``sizes``."""
    size = table["size"].to_numpy()
    capacity = group_quotas.capacities(size, args.cap, args.most)
    weight = mean = _weights(step, args, table)
    if mean is not None and args.least is not None:
        weight = np.where(groups.reaches(mean, args.least), mean, 0.0)
    levels = groups.tree(table, weight, args.power, capacity, len(args.by))
    groups.check_spread(step, levels, weight)
    try:
        quota = groups.solved(levels, args.budget)
    except group_quotas.InfeasibleQuotas as error:
        raise JobError(
            f"{step}: {error}: keep fewer, or raise `cap`, `most` or weights of 0"
            + (", or lower `least`" if args.least is not None else "")
        ) from None
    columns = {
        "cluster": np.arange(len(size), dtype=np.int32),
        "group": pa.array(groups.labels(table, args.by), pa.string()),
        "size": size,
        "capacity": capacity,
        "weight": levels[-1].weight,
        "quota": quota,
    }
    return pa.table(columns if args.least is None else {**columns, MEAN: mean})


def _weights(step: str, args: Shares, table: pa.Table) -> npt.NDArray[np.float64] | None:
    """The groups' weights before they are raised to a power; None for equal ones."""
    if args.weights == "equal":
        return None
    if args.weights == "size":
        return np.asarray(table["size"].to_numpy(), np.float64)
    if args.mean is not None:
        return groups.means(table, step, args.mean, args.by, args.least)
    assert args.path is not None
    assert args.sha256 is not None
    shown = storage.redact(args.path)
    with unchanged([args.path], shown):
        check_sha256(args.path, args.sha256, shown)
        return groups.file_weights(args.path, table, args.by)


def decide(io: TaskIo[Grouping]) -> Iterator[pa.Table]:
    """The samples of one part whose rank is beyond their group's quota, and those without a group or score."""
    args = io.args
    known = ["group", "quota", *([MEAN] if args.least is not None else [])]
    quotas = io.read("quotas", known)
    placed = ranking.with_quotas(io.read("places"), quotas.select(["quota"]))
    over = ranking.over_quota(placed)
    own = quotas.take(over["cluster"].combine_chunks())
    value, bound = _floats(over["rank"]), _floats(over["quota"])
    low = np.zeros(over.num_rows, bool)
    if args.least is not None:
        mean = _floats(own[MEAN])
        low = ~groups.reaches(mean, args.least)
        value, bound = np.where(low, mean, value), np.where(low, args.least, bound)
    rows, rules = _lacking(io, placed["row"].to_numpy())
    none = len(rows)
    yield drops(
        io,
        np.append(over["row"].to_numpy(), rows),
        np.append(np.where(low, LOW_MEAN, GROUP_FULL), np.array([NO_VALUE] * none, object)),
        rule=[*np.where(low, args.mean or "", QUOTA).tolist(), *rules],
        value=pa.array([*value.tolist(), *[None] * none], pa.float64()),
        bound=pa.array([*bound.tolist(), *[None] * none], pa.float64()),
        message=[*own["group"].to_pylist(), *[None] * none],
    )


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    return np.asarray(column.to_numpy(), np.float64)


def _lacking(io: TaskIo[Grouping], placed: npt.NDArray[Any]) -> tuple[Ints, list[str]]:
    """The living rows of one part that have no place, and the first signal of which each has no value."""
    left = io.living_mask()
    left[placed] = False
    rows = np.flatnonzero(left)
    rules = [io.args.score or ""] * len(rows)
    for name in reversed(io.args.by):
        missing = pc.is_null(groups.names(_values(io, name, rows), io.step, name)).to_pylist()
        rules = [name if none else rule for rule, none in zip(rules, missing, strict=True)]
    return rows, rules
