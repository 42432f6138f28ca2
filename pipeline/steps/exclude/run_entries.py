"""Another run as a list: the samples that it keeps, read part by part from its ledger and what ingest stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from tamis.pipeline.steps.shared.other_runs import manifest_of, reading
from tamis.pipeline.store import finished, storage
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks import plan_files
from tamis.pipeline.tasks.parts import bundle_of
from tamis.schemas.errors import InputError, StateError
from tamis.schemas.scope import Scope

MANIFEST = finished.MANIFEST

IN_LEDGER: Mapping[str, str] = {"uid": "uid", "url": "url", "domain": "url", "caption": "text"}
"""What is compared -> its column of the ledger."""

IN_INGEST: Mapping[str, tuple[str, ...]] = {"sha256": ("sha256",), "phash": ("phash", "layout")}
"""What is compared -> its columns of the table of ingest."""


def is_run(path: str) -> bool:
    """Whether a finished run is there."""
    return storage.is_folder(path) and storage.is_file(storage.join(path, MANIFEST))


def kept(root: str, on: str, column: str | None, shown: str) -> Iterator[pa.Table]:
    """(value, uid) of the kept samples, a part at a time: what is compared, and hex digits; of hashes also ``layout``.

    Raises:
        InputError: the ledger has no such column.
        StateError: the run has no plan, or ``tables/`` has been cleared.
    """
    root = storage.absolute(root)
    manifest_of(root, shown)
    plan = plan_files.read(root)
    if plan is None:
        raise StateError(f"{shown}: has no {plan_files.TABLE}: `tamis run` with its job mends it")
    named = column or IN_LEDGER.get(on, "uid")
    for part in plan.parts:
        bundle, group = bundle_of(part.number)
        name = f"{paths.LEDGER}/{paths.task_name(Scope.BUNDLE, bundle)}.parquet"
        ledger = _group(storage.join(root, name), group, ["uid", "kept", named], shown)
        columns = {"value": ledger[named], "uid": ledger["uid"]}
        if on in IN_INGEST:
            file = paths.table("ingest", "files", paths.task_name(Scope.FILE, part.file))
            stored = _group(storage.join(root, file), part.group, [*IN_INGEST[on]], shown)
            columns |= {"value": stored[IN_INGEST[on][0]]}
            columns |= {name: stored[name] for name in IN_INGEST[on][1:]}
        yield pa.table(columns).filter(ledger["kept"]).combine_chunks()


def _group(path: str, group: int, columns: list[str], shown: str) -> pa.Table:
    with reading(path, shown), storage.open_table(path) as raw, ParquetFile(raw) as file:
        missing = sorted(set(columns) - set(file.schema_arrow.names))
        if missing:
            raise InputError(f"{shown}: its ledger has no column `{missing[0]}`")
        return file.read_row_group(group, list(dict.fromkeys(columns)))
