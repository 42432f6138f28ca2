"""The last step of every job: one row an input sample, and an index of them by uid, key and URL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.order import rows_by
from tamis.pipeline.results import ledger_index, ledger_totals
from tamis.pipeline.steps.concepts import ranking
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.tiers import Tiering, kept_phase, tiering
from tamis.pipeline.tables import paths
from tamis.pipeline.tables.columns import scatter
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.parts import Part
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase, listed
from tamis.pipeline.tasks.product import Kind, names_of
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import StateError
from tamis.schemas.job import Job
from tamis.schemas.ledger import LEDGER
from tamis.schemas.scope import Scope


@dataclass(frozen=True)
class Divided:
    """Shards by tier: the tiers, and the kept samples of each before the part, and gaps."""

    tiering: Tiering
    firsts: Sequence[int]


@dataclass(frozen=True)
class Written:
    """Arguments of ``rows``, by part."""

    source: str  # the name of its input file
    first: int  # kept samples before the part, and gaps
    samples_per_shard: int | None
    redacting: Sequence[str] | None = None  # steps whose dropped samples stay without a name
    gapped: Sequence[str] | None = (
        None  # steps whose dropped samples keep their positions in the shards
    )
    divided: Divided | None = None  # where tiers have their own shards


@dataclass(frozen=True)
class Spread:
    """Arguments of ``hashes``: how many buckets there are."""

    buckets: int


@dataclass(frozen=True)
class Indexed:
    """Arguments of ``index``."""

    bucket: int


class Ledger(Step):
    """``rows`` writes ledger/, ``hashes`` and ``index`` write ledger_index/."""

    name = "ledger"
    version = 4
    passing = ("hashes",)

    def __init__(self, job: Job) -> None:
        self.shard_size = job.steps[-1].shard_size
        self.writer, self.tiering = job.steps[-1].name, tiering(job.steps)
        self.redacting = [step.name for step in job.steps if step.redacts]
        self.gapped = [step.name for step in job.steps if step.leaves_gaps]

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """The rows of each part, then the index over all."""
        yield Phase("rows", rows, self._rows(context))
        written = context.done("ledger", "rows").total("kept")
        if written != context.alive:
            raise StateError(
                f"the ledger has {written} kept samples, the steps left {context.alive}: the account does not balance"
            )
        buckets = bucket_counts.of_index(context.total)
        named: dict[str, ByPart | Sequence[ByPart]] = {"ingest": context.ingest()}
        if self.redacting:
            named["nameless"] = [context.at(step, VERDICT) for step in self.redacting]
        spread = EachPart(context.parts, named, Spread(buckets), buckets=buckets)
        yield Phase("hashes", hashes, spread)
        entries = context.done("ledger", "hashes")
        files = [
            Task(Scope.BUCKET, b, {"hashes": entries.groups(b)}, Indexed(b)) for b in range(buckets)
        ]
        yield listed("index", index, files)

    def _rows(self, context: Context) -> EachPart[Written]:
        inputs: dict[str, ByPart | Sequence[ByPart]] = {"ingest": context.ingest()}
        inputs |= {product.verdict(step).role: table for step, table in context.verdicts()}
        inputs |= {product.signal(name).role: table for name, table in context.signals()}
        shared = {}
        for step, table in context.place_tables():
            inputs[product.place(step).role] = table
            shared[f"quotas:{step}"] = context.done(step, "quotas").whole()
        placed = context.living_by_part() + sum(
            table.rows for step, table in context.verdicts() if step in self.gapped
        )
        firsts = np.cumsum(placed) - placed
        of_tiers = self._firsts(context)

        def written(part: Part) -> Written:
            source = context.inputs[part.file].source
            first = int(firsts[part.number])
            more = (self.redacting or None, self.gapped or None)
            divided = None
            if self.tiering is not None:
                divided = Divided(self.tiering, of_tiers[:, part.number].tolist())
            return Written(source, first, self.shard_size, *more, divided)

        return EachPart(context.parts, inputs, shared=shared, each=written, together=True)

    def _firsts(self, context: Context) -> npt.NDArray[np.int64]:
        """The samples of each tier before each part, (tiers, parts)."""
        if self.tiering is None:
            return np.zeros((0, 0), np.int64)
        numbers = range(len(self.tiering.each))
        counts = np.stack([context.at(self.writer, kept_phase(n)).rows for n in numbers])
        firsts: npt.NDArray[np.int64] = np.cumsum(counts, axis=1) - counts
        return firsts


def rows(io: TaskIo[Written]) -> Iterator[pa.Table]:
    """Write the ledger of a bundle, a row group a part; the table yielded is its receipt."""
    receipt = io.publish_groups(
        f"{paths.LEDGER}/{io.task.name}.parquet", (_part_rows(part) for part in io.parts())
    )
    io.notes |= ledger_totals.together([io.notes])  # of each part until here
    yield receipt


def _part_rows(io: TaskIo[Written]) -> pa.Table:
    """The ledger of one part."""
    ingest = io.read("ingest", ["uid", "key", "url", "text", "reason", "message", "error_offset"])
    count = ingest.num_rows
    verdict = scatter(_verdicts(io), count)
    kept = np.asarray(pc.is_null(verdict["step"]))
    columns: dict[str, Any] = {
        "uid": hexadecimal(ingest["uid"]),
        "sid": sids_of(io.part, np.arange(count, dtype=np.int64)),
        "source": [io.args.source] * count,
        "key": ingest["key"],
        "url": ingest["url"],
        "text": ingest["text"],
        "kept": kept,
        **{
            name: verdict[name]
            for name in ("step", "reason", "rule", "value", "bound", "failed", "partner_value")
        },
        "message": pc.coalesce(verdict["message"], ingest["message"]),
        "error_offset": ingest["error_offset"],
        "partner_uid": hexadecimal(verdict["partner"]),
        "survivor_uid": hexadecimal(verdict["survivor"]),
    }
    columns |= _places(io, verdict["step"])
    gaps = pc.is_in(verdict["step"], pa.array(io.args.gapped or [], pa.string()))
    columns["shard"], columns["shard_key"] = _shards(io, kept, kept | np.asarray(gaps))
    table = pa.Table.from_arrays(
        [_typed(columns.get(f.name), f.type, count) for f in LEDGER], schema=LEDGER
    )
    for name in names_of(Kind.SIGNAL, sorted(io.task.inputs)):
        values = io.read(product.signal(name).role, ["row", name])
        table = table.append_column(name, scatter(values, count)[name])
    if io.args.redacting:
        table = _redacted(table, io.args.redacting)
    io.count(kept=int(kept.sum()), dropped=int((~kept).sum()))
    io.notes |= ledger_totals.of_part(table)
    return table


def _redacted(table: pa.Table, steps: Sequence[str]) -> pa.Table:
    """The rows without key, URL, caption, message, and all signals of text, of the samples that ``steps`` dropped."""
    nameless = pc.fill_null(pc.is_in(table["step"], pa.array(steps, pa.string())), False)
    for number, field in enumerate(table.schema):
        own = field.name in ("key", "url", "text", "message") or field.name not in LEDGER.names
        if own and (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            blank = pa.scalar("" if field.name == "key" else None, field.type)
            column = pc.if_else(nameless, blank, table[field.name])
            table = table.set_column(number, field, column)
    return table


def _verdicts(io: TaskIo[Written]) -> pa.Table:
    """All verdicts over the part, with the step that made each.

    Raises:
        StateError: two steps dropped the same sample: the later one did not decide on living samples.
    """
    tables = []
    for step in names_of(Kind.VERDICT, io.task.inputs):
        table = io.read(product.verdict(step).role)
        tables.append(table.append_column("step", pa.array([step] * len(table), pa.string())))
    table = pa.concat_tables(tables)
    if pc.count_distinct(table["row"]).as_py() != table.num_rows:
        raise StateError(
            f"{io.task.name}: a sample was dropped by two steps: the account does not balance"
        )
    return table


def _places(io: TaskIo[Written], dropped_by: Any) -> dict[str, Any]:
    """Each row's place: in the concepts of the step that dropped it, else in those of the last step that makes any."""
    columns: dict[str, Any] = {}
    for step in reversed(names_of(Kind.PLACE, io.task.inputs)):
        stored = io.read(product.place(step).role)
        places = ranking.with_quotas(stored, io.read(f"quotas:{step}", ["quota"]))
        table = scatter(places, len(dropped_by))
        own = pc.fill_null(pc.equal(dropped_by, step), False)
        for name in ("cluster", "rank", "distance", "quota"):
            last = columns.get(name)
            columns[name] = table[name] if last is None else pc.if_else(own, table[name], last)
    return columns


def _typed(values: Any, kind: pa.DataType, count: int) -> Any:
    if values is None:
        return pa.nulls(count, kind)
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.cast(kind)
    return pa.array(values, kind)


def _shards(io: TaskIo[Written], kept: Any, placed: Any) -> tuple[Any, Any]:
    """The shard and key of each kept sample; ``placed``: those that have a position, as gaps have too."""
    size, divided = io.args.samples_per_shard, io.args.divided
    if size is None:
        return None, None
    from tamis.pipeline.results.shards import shard_key

    each: list[tuple[str | None, int, Any]] = [(None, io.args.first, placed)]
    if divided is not None:
        signal = divided.tiering.signal
        tiers = scatter(io.read(product.signal(signal).role, ["row", signal]), len(kept))[signal]
        each = [
            (tier, first, placed & divided.tiering.members(tier, tiers))
            for tier, first in zip(divided.tiering.each, divided.firsts, strict=True)
        ]
    shard = np.zeros(len(kept), np.int64)
    names = np.full(len(kept), None, dtype=object)
    for tier, first, members in each:
        ordinal = first + np.arange(np.count_nonzero(members))
        shard[members] = ordinal // size
        names[members] = [shard_key(*divmod(n, size), size, tier) for n in ordinal.tolist()]
    return pa.array(shard, mask=~kept), pa.array(names, pa.string(), mask=~kept)


def hexadecimal(values: pa.ChunkedArray) -> pa.Array:
    """16-byte uids as 32 hex digits; null stays null."""
    whole = values.combine_chunks()
    if len(whole) == 0:
        return pa.array([], pa.string())
    filled = pc.fill_null(whole, bytes(16))
    raw = memoryview(filled.buffers()[1])[16 * filled.offset :][: 16 * len(filled)]
    digits = raw.hex().encode()
    ends = np.arange(0, len(digits) + 1, 32, dtype=np.int32)
    text = pa.StringArray.from_buffers(len(whole), pa.py_buffer(ends), pa.py_buffer(digits))
    return pc.if_else(whole.is_valid(), text, None)


def hashes(io: TaskIo[Spread]) -> Iterator[pa.Table]:
    """(hash, sid) of the uid, key and URL of each sample of one part; one row group a bucket."""
    table = io.read("ingest", ["uid", "key", "url"])
    sid = sids_of(io.part, np.arange(table.num_rows, dtype=np.int64))
    if "nameless" in io.task.inputs:
        nameless = np.zeros(table.num_rows, dtype=bool)
        nameless[io.read("nameless", ["row"])["row"].to_numpy()] = True
        for column in ("key", "url"):
            blank = pc.if_else(nameless, pa.scalar(None, table[column].type), table[column])
            table = table.set_column(table.column_names.index(column), column, blank)
    names: list[np.ndarray[Any, Any]] = []
    sids: list[np.ndarray[Any, Any]] = []
    for column in (hexadecimal(table["uid"]), table["key"], table["url"]):
        valid = np.asarray(pc.is_valid(column))
        names.append(ledger_index.name_hashes(column.drop_null()))
        sids.append(sid[valid])
    name, sid = np.concatenate(names), np.concatenate(sids)
    buckets = io.args.buckets
    bucket = ledger_index.bucket_of(name, buckets)
    for number in range(buckets):
        mask = bucket == number
        yield pa.table({"hash": name[mask], "sid": sid[mask]})


def index(io: TaskIo[Indexed]) -> Iterator[pa.Table]:
    """One bucket of the index, sorted by hash and sid, in row groups of ``ledger_index.ROWS``."""
    table = io.read("hashes")
    name, sid = table["hash"].to_numpy(), table["sid"].to_numpy()
    order = rows_by(name, sid)
    yield io.publish(
        f"{ledger_index.FOLDER}/{io.args.bucket:05d}.parquet",
        pa.table({"hash": name[order], "sid": sid[order]}),
        row_group_rows=ledger_index.ROWS,
    )
