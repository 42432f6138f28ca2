"""Another run as a list: the samples that it keeps, read part by part from its ledger and what ingest stored.

Its pictures are opened again where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.formats import PICTURE_COLUMNS
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.shared.details import details_of
from tamis.pipeline.steps.shared.other_runs import manifest_of, reading
from tamis.pipeline.store import storage
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import paths
from tamis.pipeline.tables.sids import part_of, row_of, sids_of
from tamis.pipeline.tasks import plan_files
from tamis.pipeline.tasks.parts import Parts, bundle_of
from tamis.pipeline.tasks.stored_job import read_job
from tamis.schemas.errors import InputError, StateError, TamisError
from tamis.schemas.job import Job
from tamis.schemas.layout import MANIFEST, PLAN_TABLE
from tamis.schemas.scope import Scope

IN_LEDGER: Mapping[str, str] = {"uid": "uid", "url": "url", "domain": "url", "caption": "text"}
"""What is compared -> its column of the ledger."""

IN_INGEST: Mapping[str, tuple[str, ...]] = {
    "sha256": ("sha256",),
    "phash": ("phash", "layout", "pixels"),
}
"""What is compared -> its columns of the table of ingest."""


def is_run(path: str) -> bool:
    """Whether a finished run is there."""
    return storage.is_folder(path) and storage.is_file(storage.join(path, MANIFEST))


def kept(root: str, on: str, column: str | None, shown: str) -> Iterator[pa.Table]:
    """(value, uid) of the kept samples, a part at a time: what is compared, and hex digits; of hashes also
    ``layout``, ``pixels`` and ``sid``.

    Raises:
        InputError: the ledger has no such column.
        StateError: the run has no plan, or ``tables/`` has been cleared.
    """
    root = storage.absolute(root)
    manifest_of(root, shown)
    plan = _plan(root, shown)
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
        if on == "phash":
            columns["sid"] = pa.array(sids_of(part.number, np.arange(len(ledger))))
        yield pa.table(columns).filter(ledger["kept"]).combine_chunks()


def _plan(root: str, shown: str) -> plan_files.PlanTable:
    plan = plan_files.read(root)
    if plan is None:
        raise StateError(f"{shown}: has no {PLAN_TABLE}: `tamis run` with its job mends it")
    return plan


class KeptPictures:
    """The pictures of another run, opened again.

    Args:
        root: of the run.
        shown: the list's name in messages.
        reveal: False: no message says more of it.
    """

    def __init__(self, root: str, shown: str, reveal: bool) -> None:
        self._root, self._shown, self._reveal = storage.absolute(root), shown, reveal

    def check(self) -> None:
        """Check that all inputs of the run are where its job found them.

        Raises:
            StateError: one is not.
        """
        _ = self._files

    @cached_property
    def _plan(self) -> plan_files.PlanTable:
        return _plan(self._root, self._shown)

    @cached_property
    def _parts(self) -> Parts:
        return self._plan.parts

    @cached_property
    def _job(self) -> Job:
        try:
            return read_job(self._root)
        except TamisError as error:
            raise self._gone(error) from None

    @cached_property
    def _files(self) -> list[InputFile]:
        """The run's input files, by their numbers."""
        try:
            found = {file.source: file for one in self._job.input for file in input_files(one)}
        except TamisError as error:
            raise self._gone(error) from None
        gone = next((name for name in self._plan.sources if name not in found), None)
        if gone is not None:
            raise self._gone(f"{gone} is not there")
        return [found[name] for name in self._plan.sources]

    def details(self, sids: npt.NDArray[np.int64]) -> list[bytes]:
        """The detail of each of some samples, whose sids (n,) are distinct.

        Raises:
            StateError: a picture is gone, or not the one that the run has read.
        """
        order = np.argsort(sids)
        numbers, starts = np.unique(part_of(sids[order]), return_index=True)
        found: list[bytes] = []
        for number, rows in zip(numbers, np.split(row_of(sids[order]), starts[1:]), strict=True):
            found += self._of_part(int(number), rows)
        return [found[place] for place in np.argsort(order)]

    def _of_part(self, number: int, rows: npt.NDArray[np.int64]) -> list[bytes]:
        part = self._parts[number]
        name = paths.table("ingest", "files", paths.task_name(Scope.FILE, part.file))
        most = self._job.limits.max_pixels
        places = _group(storage.join(self._root, name), part.group, PICTURE_COLUMNS, self._shown)
        try:
            return details_of(self._files[part.file], places.take(pa.array(rows)), most)
        except (FileNotFoundError, InputError) as error:
            raise self._gone(error) from None

    def _gone(self, why: object) -> StateError:
        said = f" ({why})" if self._reveal else ""
        return StateError(
            f"{self._shown}: the run's pictures cannot be opened again{said}: bring its input back to where its job "
            "says (relative paths are read from here), or go by layouts alone with `detail: null`"
        )


def _group(path: str, group: int, columns: list[str], shown: str) -> pa.Table:
    with reading(path, shown), storage.open_table(path) as raw, ParquetFile(raw) as file:
        missing = sorted(set(columns) - set(file.schema_arrow.names))
        if missing:
            raise InputError(f"{shown}: its ledger has no column `{missing[0]}`")
        return file.read_row_group(group, list(dict.fromkeys(columns)))
