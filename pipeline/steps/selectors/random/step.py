"""A uniform random choice; with ``epochs`` a fresh one every epoch, independently (RS2, Okanovic et al., ICLR 2024).

With epochs, what any epoch uses is kept, and each epoch's uids stand in ``subsets/epoch-000.npy``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import random_choice
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.results import subset
from tamis.pipeline.steps.concepts.concepts import sample_bound
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.by_signal import cut_phase
from tamis.pipeline.steps.selectors.config import NOT_CHOSEN
from tamis.pipeline.steps.selectors.random.config import Random as Config
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.pipeline.steps.shared.exchange import bucket_of, split
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.scope import Scope

SUBSET_BUCKET = 20_000_000
"""Uids of a list that are sorted at once."""

SILENT = {"signals", "write"}
"""Kinds of steps that drop nothing that an epoch's list could name: they may follow."""


@dataclass(frozen=True)
class Lots:
    """Arguments of ``decide``."""

    epochs: int
    seed: int


@dataclass(frozen=True)
class Draw(Lots):
    """Arguments of ``key``."""

    below: int  # the bound that lots stay at or below


@dataclass(frozen=True)
class Spread:
    """Arguments of ``chosen``."""

    epochs: int
    buckets: int  # of an epoch's uids


class Random(Step):
    """``keyed`` (group: the epoch), ``cut``, ``verdict``; with epochs also ``chosen`` and ``lists``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        self.epochs = config.epochs or 1

    def check(self, inputs: Sequence[InputFile]) -> None:
        """No later step takes away what an epoch's list names.

        Raises:
            JobError: one does.
        """
        del inputs
        names = [step.name for step in self.job.steps]
        after = self.job.steps[names.index(self.name) + 1 :]
        deciding = [step.name for step in after if step.kind not in SILENT]
        if self.config.epochs is not None and deciding:
            raise JobError(
                f"{self.name}: `{deciding[0]}` stands after it and could drop what an epoch's list names: "
                f"put `{self.name}` after it"
            )

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        budget = self.config.budget(context.alive, context.total)
        below = sample_bound(budget, context.alive) if budget else 0
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        draw = Draw(self.epochs, self.job.seed, below)
        yield Phase("keyed", key, EachPart(context.parts, inputs, draw))
        yield from budget_cut.phases(context, self.name, [budget] * self.epochs)
        ingest = {"ingest": context.ingest()}
        yield cut_phase(context, self.name, decide, Lots(self.epochs, self.job.seed), ingest)
        if self.config.epochs is not None:
            yield from self._lists(context, budget)

    def _lists(self, context: Context, budget: int) -> Iterator[Phase[Any]]:
        buckets = buckets_for(budget, SUBSET_BUCKET)
        tasks = EachPart(
            context.parts,
            {"keyed": context.at(self.name, "keyed")},
            Spread(self.epochs, buckets),
            shared={"cut": context.done(self.name, "cut").whole()},
            buckets=self.epochs * buckets,
        )
        yield Phase("chosen", chosen, tasks)
        done = context.done(self.name, "chosen")
        lists: list[Task[None]] = [
            Task(
                Scope.BUCKET,
                epoch,
                {f"bucket-{b:05d}": done.groups(epoch * buckets + b) for b in range(buckets)},
            )
            for epoch in range(self.epochs)
        ]
        yield listed("lists", write_list, lists)


def key(io: TaskIo[Draw]) -> Iterator[pa.Table]:
    """The living samples of one part whose hash is low enough to be chosen, for every epoch."""
    uids = io.read("ingest", ["uid"])["uid"].combine_chunks()
    living = io.living_rows()
    uid = uid_words(uids)[living]
    tables = []
    for epoch in range(io.args.epochs):
        keys = random_choice.keys(uid, io.args.seed, epoch)
        low = np.flatnonzero(keys <= np.uint64(io.args.below))
        rows = living[low]
        group = np.full(len(rows), epoch)
        tables.append(budget_cut.keyed(rows, keys[low], uids.take(pa.array(rows)), group))
    yield pa.concat_tables(tables).combine_chunks()


def decide(io: TaskIo[Lots]) -> Iterator[pa.Table]:
    """The samples of one part that no epoch chose: the lot that came nearest to being drawn, and the last that was."""
    epochs, seed = io.args.epochs, io.args.seed
    table = io.read("keyed").combine_chunks()
    cuts = budget_cut.read_cut(io, epochs)
    mask = io.living_mask()
    mask[table["row"].to_numpy()[budget_cut.passes(table, cuts)]] = False
    rows = np.flatnonzero(mask)
    uid = uid_words(io.read("ingest", ["uid"])["uid"])[rows]
    lots = np.stack([order.uniform(random_choice.keys(uid, seed, e)) for e in range(epochs)])
    bounds = order.uniform(cuts.key)
    nearest = (lots - bounds[:, None]).argmin(axis=0)
    names = [f"epoch-{epoch:03d}" for epoch in nearest] if epochs > 1 else ["random"] * len(rows)
    yield drops(
        io,
        rows,
        NOT_CHOSEN,
        rule=names,
        value=lots[nearest, np.arange(len(rows))],
        bound=bounds[nearest],
    )


def chosen(io: TaskIo[Spread]) -> Iterator[pa.Table]:
    """(uid) of the samples of one part that are chosen: a row group for each epoch and bucket of uids."""
    table = io.read("keyed").combine_chunks()
    epochs, buckets = io.args.epochs, io.args.buckets
    table = table.filter(pa.array(budget_cut.passes(table, budget_cut.read_cut(io, epochs))))
    group = table["group"].to_numpy().astype(np.int64)
    bucket = bucket_of(uid_words(table["uid"])[:, 0], buckets)
    yield from split(table.select(["uid"]), group * buckets + bucket, epochs * buckets)


def write_list(io: TaskIo[None]) -> Iterator[pa.Table]:
    """One epoch's uids, sorted, as DataComp's tools read them."""
    path = f"subsets/epoch-{io.task.number:03d}.npy"
    roles = sorted(io.task.inputs)
    total = sum(piece.rows for role in roles for piece in io.task.inputs[role])
    with io.output(path) as out:
        subset.write(out, total, (uid_words(io.read(role, ["uid"])["uid"]) for role in roles))
    yield io.receipt(path, total)
