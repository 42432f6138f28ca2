"""Importance resampling (DSIR, Xie et al., NeurIPS 2023): captions are drawn that look like a target's.

Its log weight is stored as a signal; the draw adds noise that belongs to the sample, and keeps the largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import importance
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import hash_file
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.by_signal import Choice, cut_phase, with_missing
from tamis.pipeline.steps.selectors.importance.config import Importance as Config
from tamis.pipeline.steps.shared.caption_files import captions
from tamis.pipeline.steps.shared.other_runs import check_sha256, unchanged
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo, location
from tamis.schemas.errors import InputError
from tamis.schemas.job import Job


@dataclass(frozen=True)
class Target:
    """Arguments of ``count_target``."""

    sha256: str  # of the file
    column: str | None  # of a parquet file; None: the one that is known as the caption
    buckets: int
    path: str = location()


@dataclass(frozen=True)
class Buckets:
    """Arguments of ``count_raw``."""

    buckets: int


@dataclass(frozen=True)
class Ratio:
    """Arguments of ``ratio``."""

    buckets: int
    path: str = location()  # the target's


@dataclass(frozen=True)
class Weighting:
    """Arguments of ``weights``."""

    buckets: int
    signal: str


@dataclass(frozen=True)
class Noise:
    """Arguments of ``key``."""

    seed: int
    signal: str


class Importance(Step):
    """``target`` and ``raw`` count n-grams; ``ratio``; ``weights`` is the signal; ``keyed``, ``cut``, ``verdict``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.seed = config, config.name, job.seed

    def makes(self) -> Mapping[Product, str]:
        """The log weight, under the step's name."""
        return {product.signal(self.name): "weights"}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """The target is there and holds captions.

        Raises:
            InputError: one line.
        """
        del inputs
        storage.stat(self.config.target)
        next(captions(self.config.target, self.config.column), None)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        name = self.name
        budget = self.config.budget(context.alive, context.total)
        yield from self._weights(context)
        noise = Noise(self.seed, name)
        weighed = {"weights": context.at(name, "weights"), "ingest": context.ingest()}
        yield Phase("keyed", key, EachPart(context.parts, weighed, noise))
        yield from budget_cut.phases(context, name, [budget])
        yield cut_phase(context, name, decide, Choice(name))

    def _weights(self, context: Context) -> Iterator[Phase[Any]]:
        """N-grams of the target and of what reaches the step, and each sample's weight from them."""
        config, name, buckets = self.config, self.name, self.config.buckets
        path = storage.absolute(config.target)
        _, digest = hash_file(path)
        target = Target(digest.hex(), config.column, buckets, path=path)
        yield listed("target", count_target, [Task.whole("target", {}, target)])
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        counting = EachPart(context.parts, inputs, Buckets(buckets), together=True)
        yield Phase("raw", count_raw, counting)
        every = {role: context.done(name, role).whole() for role in ("target", "raw")}
        yield listed("ratio", ratio, [Task.whole("ratio", every, Ratio(buckets, path=path))])
        ratios = {"ratio": context.done(name, "ratio").whole()}
        weighting = Weighting(buckets, name)
        yield Phase("weights", weights, EachPart(context.parts, inputs, weighting, shared=ratios))


def _totals(batches: Iterator[list[str]], buckets: int) -> npt.NDArray[np.int64]:
    total = np.zeros(buckets, np.int64)
    for texts in batches:
        total += importance.totals(importance.features(texts, buckets))
    return total


def _sparse(total: npt.NDArray[np.int64]) -> pa.Table:
    present = np.flatnonzero(total)
    return pa.table({"bucket": present, "count": total[present]})


def count_target(io: TaskIo[Target]) -> Iterator[pa.Table]:
    """(bucket, count) of the target's n-grams.

    Raises:
        StateError: it is not the file that was there when the run began.
    """
    path = io.args.path
    shown = storage.redact(path)
    with unchanged([path], shown):
        check_sha256(path, io.args.sha256, shown)
        total = _totals(captions(path, io.args.column), io.args.buckets)
    yield _sparse(total)


def _texts(io: TaskIo[Any]) -> tuple[npt.NDArray[np.int64], pa.Table, list[str]]:
    """The living rows of one part, their uids, and their captions."""
    table = io.read("ingest", ["uid", "text"])
    rows = io.living_rows()
    table = table.take(pa.array(rows))
    return rows, table, [text or "" for text in table["text"].to_pylist()]


def count_raw(io: TaskIo[Buckets]) -> Iterator[pa.Table]:
    """(bucket, count) of the n-grams of a bundle."""
    yield _sparse(_totals((_texts(part)[2] for part in io.parts()), io.args.buckets))


def ratio(io: TaskIo[Ratio]) -> Iterator[pa.Table]:
    """The log of p_target / p_raw, a row for each bucket.

    Raises:
        InputError: the target, or what reaches the step, has no word.
    """
    totals = {}
    for role in ("target", "raw"):
        totals[role] = np.zeros(io.args.buckets, np.int64)
        for piece in io.stream(role):
            totals[role][piece["bucket"].to_numpy()] += piece["count"].to_numpy()
        if not totals[role].any():
            path = storage.redact(io.args.path)
            whose = f"target `{path}`" if role == "target" else "input"
            raise InputError(f"{io.step}: the {whose} has no words: give captions")
    yield pa.table({"log_ratio": importance.log_ratio(totals["target"], totals["raw"])})


def weights(io: TaskIo[Weighting]) -> Iterator[pa.Table]:
    """The log weight of one part's living samples, under the signal's name."""
    rows, _, texts = _texts(io)
    counts = importance.features(texts, io.args.buckets)
    weight = importance.log_weights(counts, io.read("ratio")["log_ratio"].to_numpy())
    yield pa.table({"row": rows.astype(np.uint32), io.args.signal: weight})


def key(io: TaskIo[Noise]) -> Iterator[pa.Table]:
    """One part's living samples by noisy weight, the largest first."""
    table = io.read("weights")
    row = table["row"].combine_chunks()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(row)
    weight = table[io.args.signal].to_numpy()
    noisy = importance.perturbed(weight, uid_words(uid), io.args.seed)
    yield budget_cut.keyed(row.to_numpy(), order.descending(noisy), uid)


def decide(io: TaskIo[Choice]) -> Iterator[pa.Table]:
    """The samples of one part that were not drawn: log weight and noise, against the last that was."""
    table = io.read("keyed").combine_chunks()
    cut = budget_cut.read_cut(io)
    out = np.flatnonzero(~budget_cut.passes(table, cut))
    value = order.from_descending(table["key"].to_numpy()[out])
    rows = table["row"].to_numpy()[out]
    bound = np.repeat(order.from_descending(cut.key), len(out))
    yield with_missing(io, table, rows, ["importance"] * len(out), value, bound)
