"""Recount of a run's ledger, row by row, compared with the plan, the manifest, the shards and the subset."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.audit.verify.shards import ShardWalk
from tamis.pipeline.audit.verify.uids import Uids
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks.parts import bundle_of, bundles
from tamis.schemas.errors import StateError
from tamis.schemas.layout import SUBSET
from tamis.schemas.ledger import LEDGER, reasons
from tamis.schemas.scope import Scope

COLUMNS = ["uid", "sid", "source", "kept", "step", "reason", "shard", "shard_key"]

Mismatch = tuple[str, str]
"""(path in the run, message)."""


class Recount:
    """One pass over the ledger. Memory holds a part of it, a shard's keys, and a bounded number of uids."""

    def __init__(self, run: FinishedRun) -> None:
        self.rows = 0
        self._run = run
        self._kept = 0
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._scratch = tempfile.TemporaryDirectory(prefix="tamis-verify-")
        self._times = run.steps[-1].repeated_by if run.steps else None
        self._uids = Uids(self._scratch.name, self._times)
        size = run.steps[-1].shard_size if run.steps else None
        self._shards = ShardWalk(run, size) if size else None

    def close(self) -> None:
        """Remove the spilled uids."""
        self._scratch.cleanup()

    def faults(self) -> Iterator[Mismatch]:
        """All mismatches."""
        try:
            parts = list(self._run.parts)
        except StateError:
            return  # `verify` reports a damaged plan
        listed = set(self._run.outputs("ledger"))
        names = [
            f"{paths.LEDGER}/{paths.task_name(Scope.BUNDLE, bundle)}.parquet"
            for bundle in range(bundles(len(parts)))
        ]
        for extra in sorted(listed - set(names)):
            yield extra, "plan.json has no such part"
        for part in parts:
            number, rows = part.number, part.rows
            bundle, group = bundle_of(number)
            name = names[bundle]
            try:
                table = self._read(name, group)
            except part_files.DAMAGE as error:
                require_content(error, name)
                why = " ".join(str(error).split())
                yield name, f"part {number} of the ledger cannot be read: {why}"
                continue
            if table.num_rows != rows:
                # Rows beyond those of the plan would only make every later count wrong.
                rest = ": the rest is not counted" if table.num_rows > rows else ""
                yield name, f"has {counted(table.num_rows, 'row')}, plan.json says {rows:,}{rest}"
                table = table.slice(0, rows)
            source = self._run.files.inputs[part.file].source
            for what in _part_faults(table, number, source):
                yield name, what
            self._count(table)
            if self._shards is not None:
                for what in self._shards.add(table):
                    yield name, what
                yield from self._shards.faults()
        yield from self._totals()
        if self._shards is not None:
            yield from self._shards.finish()

    def _read(self, name: str, group: int) -> pa.Table:
        path = storage.join(self._run.root, name)
        with (
            storage.open_table(path) as raw,
            ParquetFile(raw) as file,
        ):
            if group >= file.metadata.num_row_groups:
                raise pa.ArrowInvalid(f"it has {file.metadata.num_row_groups} parts")
            tiers = [] if self._shards is None else self._shards.columns
            more = [*tiers, *([] if self._times is None else [self._times])]
            table = file.read_row_group(group, columns=[*COLUMNS, *more]).combine_chunks()
        # Readers name what is there by the footer, and leave out what they do not find.
        there = dict(zip(table.column_names, table.schema.types, strict=True))
        other = [name for name in COLUMNS if there.get(name) != LEDGER.field(name).type]
        other += [name for name in tiers if there.get(name) != pa.string()]
        if self._times is not None and not pa.types.is_primitive(there.get(self._times, pa.null())):
            other.append(self._times)
        if other:
            raise pa.ArrowInvalid(f"{other[0]} is not a column of it, or of another type")
        return table

    def _count(self, table: pa.Table) -> None:
        self.rows += table.num_rows
        self._kept += pc.sum(table["kept"]).as_py() or 0
        gone = table.filter(pc.invert(table["kept"]))
        groups = gone.group_by(["step", "reason"], use_threads=False).aggregate([([], "count_all")])
        for group in groups.to_pylist():
            self._dropped[str(group["step"]), str(group["reason"])] += group["count_all"]
        self._uids.add(table)

    def _totals(self) -> Iterator[Mismatch]:
        """Compare the sums with the manifest, and the uids with each other and the subset."""
        manifest = self._run.manifest
        for what, counted_now, recorded in (
            ("rows", self.rows, manifest.rows_in),
            ("kept rows", self._kept, manifest.kept),
        ):
            if counted_now != recorded:
                yield "ledger", f"has {counted_now:,} {what}, manifest.json says {recorded:,}"
        by_reason = {
            (s.step, reason): n for s in manifest.steps for reason, n in s.dropped.items() if n
        }
        for step, reason in sorted({*by_reason, *self._dropped}):
            counted_now, recorded = self._dropped[step, reason], by_reason.get((step, reason), 0)
            if counted_now != recorded:
                yield (
                    "ledger",
                    f"{step} dropped {counted_now:,} for {reason}, manifest.json says {recorded:,}",
                )
        written = any(output.path == SUBSET for output in self._run.files.outputs)
        subset = storage.join(self._run.root, SUBSET) if written else None
        yield from self._uids.faults(subset)


def _part_faults(table: pa.Table, number: int, source: str) -> Iterator[str]:
    """Errors in one part's rows, each with the number of rows and the first of them."""
    kept = np.asarray(table["kept"])
    filled = {name: np.asarray(pc.is_valid(table[name])) for name in ("step", "reason")}
    expected = sids_of(number, np.arange(table.num_rows, dtype=np.int64))
    closed = pa.array(list(reasons()))
    known = np.asarray(pc.or_kleene(pc.is_null(table["reason"]), pc.is_in(table["reason"], closed)))
    named = np.asarray(pc.match_substring_regex(table["uid"], "^[0-9a-f]{32}$"))
    checks: dict[str, npt.NDArray[Any]] = {
        "a wrong sid": table["sid"].to_numpy() != expected,
        f"another source than {source}": np.asarray(pc.not_equal(table["source"], source)),
        "kept, but with a step or reason": kept & (filled["step"] | filled["reason"]),
        "dropped without a step or reason": ~kept & ~(filled["step"] & filled["reason"]),
        "a reason that is not in the closed list": ~known,
        "a uid that is not 32 hex digits": ~named,
    }
    for what, wrong in checks.items():
        if wrong.any():
            yield f"{counted(int(wrong.sum()), 'row')}: {what} (the first is row {int(wrong.argmax())})"
