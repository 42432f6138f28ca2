"""Selection by a function of the user's own: its highest values, to the exact number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.signals import plugin, plugin_files
from tamis.pipeline.signals.plugin_values import Plugged
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.by_signal import (
    Choice,
    Keying,
    cut_phase,
    key,
    with_missing,
)
from tamis.pipeline.steps.selectors.choose.config import VECTORS
from tamis.pipeline.steps.selectors.choose.config import Choose as Config
from tamis.pipeline.steps.shared.over_embedding import embedding_named, embeds_captions
from tamis.pipeline.tables.columns import scatter, vectors
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.parts import Part
from tamis.pipeline.tasks.phase import EachPart, Phase
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import TaskIo, location
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Valued:
    """Arguments of ``values``."""

    signal: str
    name: str  # of the function
    type: str  # of its values
    identity: Mapping[str, Any]  # of its sources
    source: str = location()  # the part's input file, for messages


class Choose(Step):
    """``values`` is the signal, under the step's name; ``keyed``, ``cut`` and ``verdict`` choose by it."""

    passing = ("keyed",)

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        reads = config.by.reads
        self.signals = [read for read in reads if read not in {*plugin.COLUMNS, *VECTORS}]
        self.embedding = (
            embedding_named(job, config.embedding, config.name)
            if set(reads) & set(VECTORS)
            else None
        )

    def needs(self) -> Sequence[Product]:
        """The signals and the embedding that the function reads."""
        embedding = [product.embedding(self.embedding)] if self.embedding else []
        return [*(product.signal(name) for name in self.signals), *embedding]

    def makes(self) -> Mapping[Product, str]:
        """The function's values."""
        return {product.signal(self.name): "values"}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Captions have vectors, where the function reads them.

        Raises:
            JobError: they have none.
        """
        del inputs
        if "caption" not in self.config.by.reads:
            return
        embed = next(step for step in self.job.embeds if step.makes_embedding == self.embedding)
        if not embeds_captions(self.job, embed):
            raise JobError(
                f"{self.name}: {self.config.by.name} reads the vectors of captions, and `{embed.name}` embeds pictures "
                "alone: use an encoder with a text tower, or give text embeddings"
            )

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        name, own = self.name, self.config.by
        if own.packed is not None:
            plugin_files.keep(context.root, own.packed)
        living: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        read = dict(living)
        for signal in self.signals:
            made = context.signal(signal)
            read[product.signal(signal).role] = made
        if self.embedding:
            read["embedding"] = context.embedding(self.embedding)

        def valued(part: Part) -> Valued:
            source = context.inputs[part.file].source
            return Valued(name, own.name, own.type or "", own.identity, source=source)

        yield Phase("values", values, EachPart(context.parts, read, each=valued))
        living["signal"] = context.at(name, "values")
        keying = Keying(name, "highest", finite=True)
        yield Phase("keyed", key, EachPart(context.parts, living, keying))
        valid = budget_cut.have_key(context, name)
        wanted = self.config.budget(context.alive, context.total, valid)
        yield from budget_cut.phases(context, name, [wanted])
        yield cut_phase(context, name, decide, Choice(name))


def values(io: TaskIo[Valued]) -> Iterator[pa.Table]:
    """(row, value) of one part's living samples that have all that the function reads of signals and vectors."""
    args = io.args
    reads, by_row = args.identity["reads"], args.identity["by_row"]
    rows, columns = _columns(io, reads)
    function = _function(io)

    def named(position: int) -> str:
        name = io.read("ingest", ["key"])["key"][int(rows[position])].as_py()
        return f"the sample {name} of {args.source}"

    given = [columns[read] for read in reads]
    if by_row:
        listed = zip(*(_each(column) for column in given), strict=True)
        made = function.of_rows(listed, named)
    else:
        made = function.of_columns(given, len(rows), named)
    yield pa.table({"row": rows.astype(np.uint32), args.signal: made})


def _function(io: TaskIo[Valued]) -> Plugged:
    args = io.args
    file, function = plugin_files.loaded(io.root, args.name, args.identity)
    return Plugged(args.name, file, function, pa.type_for_alias(args.type))


def _columns(io: TaskIo[Valued], reads: Sequence[str]) -> tuple[Rows, dict[str, Any]]:
    """The rows that have all vectors that are read, and what the parameters get: a value a row."""
    rows = io.living_rows()
    found: dict[str, Any] = {}
    sides = [read for read in reads if read in VECTORS]
    if sides:
        names = ["row", *dict.fromkeys(VECTORS[side] for side in sides)]
        table = io.read("embedding", names)
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows)))
        for side in sides:
            table = table.filter(table[VECTORS[side]].is_valid())
        rows = table["row"].to_numpy().astype(np.int64)
        found |= {side: vectors(table[VECTORS[side]]).astype(np.float32) for side in sides}
    own = [read for read in reads if read in plugin.COLUMNS]
    if own:
        stored = io.read("ingest", sorted({plugin.COLUMNS[read] for read in own}))
        found |= {read: stored[plugin.COLUMNS[read]].take(pa.array(rows)) for read in own}
    for read in reads:
        if read not in found:
            made = scatter(io.read(product.signal(read).role, ["row", read]), io.rows)
            found[read] = made[read].take(pa.array(rows))
    return rows, {read: _array(column) for read, column in found.items()}


def _array(column: Any) -> Any:
    """An Arrow array without chunks, of short strings; vectors as they are."""
    if isinstance(column, np.ndarray):
        return column
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.cast(pa.string()) if pa.types.is_large_string(whole.type) else whole


def _each(column: Any) -> Any:
    return column if isinstance(column, np.ndarray) else column.to_pylist()


def decide(io: TaskIo[Choice]) -> Iterator[pa.Table]:
    """The samples of one part beyond the cut, and those without a value."""
    table = io.read("keyed").combine_chunks()
    cut = budget_cut.read_cut(io)
    over = np.flatnonzero(~budget_cut.passes(table, cut))
    rows = table["row"].to_numpy()[over]
    value = order.from_descending(table["key"].to_numpy()[over])
    bound = np.repeat(order.from_descending(cut.key), len(rows))
    yield with_missing(io, table, rows, [io.args.signal] * len(rows), value, bound)
