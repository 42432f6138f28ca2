"""Importance resampling (DSIR, Xie et al., NeurIPS 2023): captions are drawn that look like a target's.

Its log weight is stored as a signal; the draw adds noise that belongs to the sample, and keeps the largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader, RawIOBase, TextIOWrapper
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import importance
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet import hash_file, open_parquet
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.by_signal import keyed_task, with_missing
from tamis.pipeline.steps.selectors.importance.config import Importance as Config
from tamis.pipeline.steps.shared.parts import part_task
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Phase, Task, TaskIo
from tamis.schemas.errors import InputError, StateError
from tamis.schemas.job import Job
from tamis.schemas.tables import find_column

BATCH = 10_000
"""Captions that are counted at once."""


class Importance(Step):
    """``target`` and ``raw`` count n-grams; ``ratio``; ``weights`` is the signal; ``keyed``, ``cut``, ``verdict``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.seed = config, config.name, job.seed

    def makes(self) -> Mapping[str, str]:
        """The log weight, under the step's name."""
        return {f"signal:{self.name}": "weights"}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """The target is there and holds captions.

        Raises:
            InputError: one line.
        """
        del inputs
        storage.stat(self.config.target)
        next(captions(self.config.target, self.config.column), None)

    def phases(self, context: Context) -> Iterator[Phase]:
        """See the class."""
        config, name = self.config, self.name
        budget = budget_cut.budget_of(context, config)
        buckets = {"buckets": config.buckets}
        _, digest = hash_file(storage.absolute(config.target))
        settings = {"sha256": digest.hex(), "column": config.column, **buckets}
        place = {"path": storage.absolute(config.target)}
        yield Phase("target", count_target, [Task("target", args=settings, places=place)])
        tasks = [
            part_task(part, {"ingest": [context.ingest(part)], "drops": context.drops(part)})
            for part in context.parts
        ]
        yield Phase("raw", count_raw, tasks, buckets)
        every = {role: context.done(name, role).whole() for role in ("target", "raw")}
        yield Phase("ratio", ratio, [Task("ratio", every, buckets, place)])
        held = context.done(name, "ratio").whole()
        tasks = [Task(task.name, {**task.inputs, "ratio": held}) for task in tasks]
        yield Phase("weights", weights, tasks, {**buckets, "signal": name})
        tasks = [
            part_task(
                part,
                {
                    "weights": [context.at(name, "weights", part)],
                    "ingest": [context.ingest(part)],
                },
            )
            for part in context.parts
        ]
        yield Phase("keyed", key, tasks, {"seed": self.seed, "signal": name})
        yield from budget_cut.phases(context, name, [budget])
        cut = context.done(name, "cut").whole()
        decided = [keyed_task(context, name, part, cut) for part in context.parts]
        yield Phase("verdict", decide, decided, {"signal": name})


def captions(path: str, column: str | None) -> Iterator[list[str]]:
    """The captions of a parquet file, or the lines of a text file that are not empty, some at a time.

    Raises:
        InputError: the parquet file has no such column, or the text file is no UTF-8.
    """
    if not path.lower().endswith(".parquet"):
        yield from _lines(path)
        return
    with open_parquet(path) as file:
        names = file.schema_arrow.names
        found = column if column in names else None
        found = found or (find_column("text", names) if column is None else None)
        if found is None:
            raise InputError(
                f"`{storage.redact(path)}` has no column `{column or 'text'}`; it has {', '.join(names)}"
            )
        for batch in file.iter_batches(BATCH, columns=[found], use_threads=False):
            yield [text for text in batch.column(0).to_pylist() if text]


def _lines(path: str) -> Iterator[list[str]]:
    found: list[str] = []
    try:
        raw = cast(RawIOBase, storage.open_read(path))
        with TextIOWrapper(BufferedReader(raw), encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    found.append(line.strip())
                if len(found) == BATCH:
                    yield found
                    found = []
    except UnicodeDecodeError as error:
        raise InputError(
            f"`{storage.redact(path)}`: not UTF-8 ({error.reason} at byte {error.start}): "
            "a target is a parquet file, or a text file of one caption a line"
        ) from None
    if found:
        yield found


def _totals(batches: Iterator[list[str]], buckets: int) -> npt.NDArray[np.int64]:
    total = np.zeros(buckets, np.int64)
    for texts in batches:
        total += importance.totals(importance.features(texts, buckets))
    return total


def _sparse(total: npt.NDArray[np.int64]) -> pa.Table:
    there = np.flatnonzero(total)
    return pa.table({"bucket": there, "count": total[there]})


def count_target(io: TaskIo) -> Iterator[pa.Table]:
    """(bucket, count) of the target's n-grams.

    Raises:
        StateError: it is not the file that was there when the run began.
    """
    path = io.task.places["path"]
    if hash_file(path)[1].hex() != io.args["sha256"]:
        raise StateError(f"{storage.redact(path)} has changed since the run began: start it again")
    yield _sparse(_totals(captions(path, io.args["column"]), io.args["buckets"]))


def _texts(io: TaskIo) -> tuple[npt.NDArray[np.int64], pa.Table, list[str]]:
    """The living rows of one part, their uids, and their captions."""
    table = io.read("ingest", ["uid", "text"])
    rows = io.alive(table.num_rows)
    table = table.take(pa.array(rows))
    return rows, table, [text or "" for text in table["text"].to_pylist()]


def count_raw(io: TaskIo) -> Iterator[pa.Table]:
    """(bucket, count) of one part's n-grams."""
    _, _, texts = _texts(io)
    yield _sparse(_totals(iter([texts]), io.args["buckets"]))


def ratio(io: TaskIo) -> Iterator[pa.Table]:
    """The log of p_target / p_raw, a row for each bucket.

    Raises:
        InputError: the target, or what reaches the step, has no word.
    """
    totals = {}
    for role in ("target", "raw"):
        totals[role] = np.zeros(io.args["buckets"], np.int64)
        for part in io.stream(role):
            totals[role][part["bucket"].to_numpy()] += part["count"].to_numpy()
        if not totals[role].any():
            path = storage.redact(io.task.places["path"])
            whose = f"target `{path}`" if role == "target" else "input"
            raise InputError(f"{io.path.split('/')[1]}: the {whose} has no words: give captions")
    yield pa.table({"log_ratio": importance.log_ratio(totals["target"], totals["raw"])})


def weights(io: TaskIo) -> Iterator[pa.Table]:
    """The log weight of one part's living samples, under the signal's name."""
    rows, _, texts = _texts(io)
    counts = importance.features(texts, io.args["buckets"])
    weight = importance.log_weights(counts, io.read("ratio")["log_ratio"].to_numpy())
    yield pa.table({"row": rows.astype(np.uint32), io.args["signal"]: weight})


def key(io: TaskIo) -> Iterator[pa.Table]:
    """One part's living samples by noisy weight, the largest first."""
    table = io.read("weights")
    row = table["row"].combine_chunks()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(row)
    weight = table[io.args["signal"]].to_numpy()
    noisy = importance.perturbed(weight, uid_words(uid), io.args["seed"])
    yield budget_cut.keyed(row.to_numpy(), order.descending(noisy), uid)


def decide(io: TaskIo) -> Iterator[pa.Table]:
    """The samples of one part that were not drawn: log weight and noise, against the last that was."""
    table = io.read("keyed").combine_chunks()
    found = budget_cut.read_cut(io)
    out = np.flatnonzero(~budget_cut.passes(table, found))
    value = order.undone(table["key"].to_numpy()[out])
    rows = table["row"].to_numpy()[out]
    bound = np.repeat(order.undone(found.key), len(out))
    yield with_missing(io, table, rows, ["importance"] * len(out), value, bound)
