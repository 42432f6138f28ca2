"""The plan of a run directory as files, for those that go on with it and those that read it.

``plan.json`` names the job. ``plan.parquet`` has a row for each input file, with the parts that its samples are in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files, writing
from tamis.pipeline.tables.part_files import DamagedTableError
from tamis.pipeline.tasks.parts import Parts
from tamis.schemas.errors import StateError
from tamis.schemas.layout import PLAN, PLAN_TABLE, RUN_LAYOUT, check_layout

FIELDS = {"job": str, "part_samples": int, "makes": dict}

SCHEMA = pa.schema(
    {
        "entry": pa.string(),
        "relative": pa.string(),
        "kind": pa.string(),
        "size": pa.int64(),
        "stamp": pa.string(),
        "parts": pa.list_(
            pa.struct({"number": pa.int64(), "group": pa.int32(), "rows": pa.int64()})
        ),
    }
)


@dataclass(frozen=True)
class PlanTable:
    """The content of ``plan.parquet``."""

    table: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    def input(self, number: int) -> InputFile:
        """An input file by its number, without where it lies now."""
        (row,) = self.table.slice(number, 1).drop_columns(["parts"]).to_pylist()
        return InputFile(path="", **row)

    def inputs(self) -> Iterator[InputFile]:
        """All input files, by number."""
        for batch in self.table.drop_columns(["parts"]).to_batches(4096):
            for row in batch.to_pylist():
                yield InputFile(path="", **row)

    @property
    def sources(self) -> list[str]:
        """The ledger's name of each input file, by number."""
        entries, names = (self.table[name].to_pylist() for name in ("entry", "relative"))
        return [f"{entry}/{name}" for entry, name in zip(entries, names, strict=True)]

    @property
    def parts(self) -> Parts:
        """All parts, by number."""
        lists = self.table["parts"].combine_chunks()
        counts = np.diff(_values(lists.offsets, np.int32))
        fields = lists.flatten()
        kinds = {"number": np.int64, "group": np.int32, "rows": np.int64}
        number, group, rows = (_values(fields.field(n), k) for n, k in kinds.items())
        order = np.argsort(number)
        if not np.array_equal(number[order], np.arange(len(number))):
            raise ValueError("its parts are not numbered from 0")
        file = np.repeat(np.arange(len(counts)), counts)
        return Parts(file[order], group[order], rows[order])


def _values(column: pa.Array, kind: Any) -> npt.NDArray[np.int64]:
    """A column without nulls as an array; Arrow's own way would import pandas, for which `explain` waits."""
    data = column.buffers()[1]
    values = np.frombuffer(data if data is not None else b"", kind)
    return values[column.offset : column.offset + len(column)].astype(np.int64)


def write(root: str, inputs: Sequence[InputFile], parts: Parts) -> None:
    """Write ``plan.parquet`` if it has changed."""
    order = np.lexsort((np.arange(len(parts)), parts.file))
    ends = np.searchsorted(parts.file[order], np.arange(len(inputs) + 1))
    fields = [
        pa.array(order.astype(np.int64)),
        pa.array(parts.group[order].astype(np.int32)),
        pa.array(parts.rows[order]),
    ]
    kind = SCHEMA.field("parts").type
    struct = pa.StructArray.from_arrays(fields, fields=list(kind.value_type))
    columns: list[Any] = [
        pa.array([getattr(file, name) for file in inputs], SCHEMA.field(name).type)
        for name in SCHEMA.names[:-1]
    ]
    columns.append(pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), struct, type=kind))
    table = pa.Table.from_arrays(columns, schema=SCHEMA)
    digest = _digest(table)
    known = part_files.inspect(root, PLAN_TABLE, size) if (size := _size(root)) else None
    if known is None or known.fingerprint != digest:
        writing.write(root, PLAN_TABLE, digest, [table], dict)


def _size(root: str) -> int:
    file = storage.find(storage.join(root, PLAN_TABLE))
    return 0 if file is None else file.size


def _digest(table: pa.Table) -> str:
    """128 bits of the table's content."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return str(xxhash.xxh3_128_hexdigest(sink.getvalue()))


def read(root: str) -> PlanTable | None:
    """The content of ``plan.parquet``; None where there is none yet.

    Raises:
        StateError: it is damaged.
    """
    if not storage.exists(storage.join(root, PLAN_TABLE)):
        return None
    try:
        table = PlanTable(part_files.read_file(root, PLAN_TABLE))
        if table.table.schema.names != SCHEMA.names:
            raise ValueError(f"its columns are {', '.join(table.table.schema.names)}")
        _ = table.parts
    except (DamagedTableError, ValueError) as error:
        raise damage(root, PLAN_TABLE, error.args[-1]) from None
    return table


def write_head(
    root: str, job: str, part_samples: int, makes: Mapping[str, Sequence[str]], anew: bool = False
) -> None:
    """Write ``plan.json`` if it has changed; ``anew``: in any case, for its time says when the inputs were checked."""
    head = {"layout": RUN_LAYOUT, "job": job, "part_samples": part_samples, "makes": makes}
    path, text = storage.join(root, PLAN), (json.dumps(head, indent=1) + "\n").encode()
    if anew or not storage.exists(path) or storage.read_bytes(path) != text:
        storage.write_bytes(path, text)


def read_head(root: str) -> dict[str, Any]:
    """The content of ``plan.json``.

    Raises:
        StateError: it is damaged, no file of a run, or another version's.
        FileNotFoundError: there is none.
    """
    path = storage.join(root, PLAN)
    try:
        record = json.loads(storage.read_bytes(path))
        if isinstance(record, dict) and ("layout" in record or "inputs" in record):
            # Another version's has other fields, and the first had no number.
            check_layout(record, storage.redact(path))
        for name, kind in FIELDS.items():
            if not isinstance(record, dict) or not isinstance(record.get(name), kind):
                raise ValueError(f"it has no `{name}`")
    except (RecursionError, ValueError) as error:
        raise damage(root, PLAN, error) from None
    return dict(record)


def damage(root: str, name: str, why: object) -> StateError:
    """The error for a damaged file of the plan."""
    return StateError(
        f"{storage.redact(storage.join(root, name))} is damaged ({why}): restore it, or give another `output:`"
    )


def faults(root: str) -> Iterator[tuple[str, str]]:
    """Each file of the plan that is missing or damaged, and which it is."""
    for name, reader in ((PLAN, read_head), (PLAN_TABLE, read)):
        if not storage.exists(storage.join(root, name)):
            yield name, "is missing"
            continue
        try:
            reader(root)
        except StateError:
            yield name, "is damaged"
