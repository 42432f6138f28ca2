"""A finished run, for reading: its manifest, its ledger, and where each sample's row lies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.results import ledger_index
from tamis.pipeline.steps.shared.audit import Row, StepAudit
from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tasks.parts import bundle_of
from tamis.pipeline.tasks.sources import INDEX
from tamis.schemas.errors import StateError
from tamis.schemas.layout import check_layout
from tamis.schemas.ledger import Reason
from tamis.schemas.manifest import Manifest
from tamis.schemas.registry import audit_class, configuration
from tamis.schemas.scope import Scope
from tamis.schemas.step import StepModel


@dataclass(frozen=True)
class FinishedRun:
    """What ``open_run`` gives."""

    root: str
    manifest: Manifest

    @cached_property
    def steps(self) -> tuple[StepModel, ...]:
        """The steps of the job, in order, without the built-in ones.

        Raises:
            StateError: an earlier version made the run, and a setting is no longer known.
        """
        try:
            return tuple(
                configuration(kind).model_validate(settings)
                for step in self.manifest.job["steps"]
                for kind, settings in step.items()
            )
        except (KeyError, ValidationError) as error:
            raise StateError(
                f"{storage.redact(self.root)}: its job has settings that this version does not know: `tamis run JOB`, "
                f"with the job file that it was made by, brings it up to date ({' '.join(str(error).split())[:120]})"
            ) from None

    @cached_property
    def audits(self) -> dict[str, StepAudit[Any]]:
        """What each of these steps says of the run, by its name."""
        return {step.name: audit_class(step.kind)(step) for step in self.steps}

    @property
    def rows_in(self) -> int:
        """All input samples."""
        return self.manifest.rows_in

    @cached_property
    def _plan(self) -> dict[str, Any]:
        try:
            raw = storage.read_bytes(storage.join(self.root, "plan.json"))
        except FileNotFoundError:
            raise StateError(
                f"{self.root}: plan.json, which numbers the parts of the ledger, is missing: bring it back, or run "
                "the job again into another directory"
            ) from None
        try:
            plan: dict[str, Any] = json.loads(raw)
            _check_plan(plan)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(
                f"{self.root}: plan.json, which numbers the parts of the ledger, is damaged ({error!r}): bring it "
                "back, or run the job again into another directory"
            ) from None
        return plan

    def need_tables(self) -> None:
        """For what decides again.

        Raises:
            StateError: ``tables/`` has been cleared.
        """
        if not storage.exists(storage.join(self.root, paths.TABLES, "ingest")):
            raise StateError(
                f"{self.root}: tables/, from which would be decided again, has been cleared: bring it back, or run "
                "the job with that setting"
            )

    @property
    def parts(self) -> Sequence[Sequence[int]]:
        """By part number: input file, row group of its ingest table, rows."""
        parts: list[list[int]] = self._plan["parts"]
        return parts

    @property
    def inputs(self) -> Sequence[InputFile]:
        """The input files by number, as far as the run knows them: where they lie now, it does not."""
        return [InputFile(path="", **raw) for raw in self._plan["inputs"]]

    def input_of(self, sid: int) -> InputFile:
        """The input file of a sample, as ``inputs`` has it."""
        return InputFile(path="", **self._plan["inputs"][self.parts[sid >> 32][0]])

    @property
    def source_names(self) -> Sequence[str]:
        """What the ledger calls each input file, by its number in ``parts``."""
        return [f"{file['entry']}/{file['relative']}" for file in self._plan["inputs"]]

    def has(self, sid: int) -> bool:
        """Whether a sample of the run has that address."""
        part, row = sid >> 32, sid & 0xFFFFFFFF
        return 0 <= part < len(self.parts) and row < self.parts[part][2]

    def made_by(self, step: str, what: str) -> list[str]:
        """The names of what a step made: ``what`` is signal, embedding or place."""
        made: dict[str, list[str]] = self._plan["makes"]
        mark = f"{what}:"
        return [
            key.removeprefix(mark)
            for key, (maker, _) in made.items()
            if maker == step and key.startswith(mark)
        ]

    def signals_of(self, step: str) -> Sequence[str]:
        """The signals that a step of the job has computed."""
        return self.audits[step].config.computes or self.made_by(step, "signal")

    @property
    def placing(self) -> list[str]:
        """The steps that give samples a place in a concept, in order."""
        return [step.name for step in self.steps if self.made_by(step.name, "place")]

    @property
    def placed(self) -> str:
        """A condition on the ledger's rows: their place is the last placing step's, whose concepts are shown.

        What an earlier one dropped has its place there: the same numbers stand for other clusters.
        """
        earlier = ", ".join(f"'{name}'" for name in self.placing[:-1])
        return f"(step IS NULL OR step NOT IN ({earlier}))" if earlier else "true"

    def outputs(self, folder: str) -> list[str]:
        """The result's files in ``folder``, in order, relative to the run."""
        return [o.path for o in self.manifest.outputs if o.path.startswith(f"{folder}/")]

    def find(self, name: str) -> list[Row]:
        """The ledger's rows of all samples whose uid, key or URL is ``name``, in the order of their addresses."""
        buckets = len(self.outputs(ledger_index.FOLDER))
        if not buckets:
            return []
        with sound(ledger_index.path_of(self.root, name, buckets)):
            found = ledger_index.find(self.root, name, buckets)
        rows = self.rows(found)
        return [row for row in rows if name in (row["uid"], row["key"], row["url"])]

    def named(self, uid: str) -> Row | None:
        """The ledger's row of the one sample that a uid names: what ingest dropped for repeating it is passed over."""
        for row in self.find(uid):
            if row["uid"] == uid and row["reason"] != Reason.REPEATED_UID:
                return row
        return None

    def rows(self, sids: Sequence[int]) -> list[Row]:
        """The ledger's rows of some samples; a part is read once however many it holds."""
        found: dict[int, Row] = {}
        by_part: dict[int, list[int]] = {}
        for sid in sids:
            by_part.setdefault(sid >> 32, []).append(sid & 0xFFFFFFFF)
        for part, positions in by_part.items():
            bundle, group = bundle_of(part)
            name = f"{paths.task_name(Scope.BUNDLE, bundle)}.parquet"
            path = storage.join(self.root, paths.LEDGER, name)
            with sound(path), storage.open_table(path) as raw, pq.ParquetFile(raw) as file:
                table = file.read_row_group(group, use_threads=False)
                for position in positions:
                    (row,) = table.slice(position, 1).to_pylist()
                    found[row["sid"]] = row
        return [found[sid] for sid in sids]

    def quotas(self, step: str) -> pa.Table | None:
        """A row a cluster: its size, and what the step keeps of it; None where ``tables/`` has been cleared."""
        return self.table(step, "quotas", "clusters")

    def ingested(self, part: int) -> pa.Table | None:
        """What ingest noted of a part's samples; None where ``tables/`` has been cleared."""
        file, group, _ = self.parts[part]
        return self.table("ingest", "files", paths.task_name(Scope.FILE, file), group)

    def table(self, step: str, phase: str, task: str, group: int | None = None) -> pa.Table | None:
        """A task's table, or one row group of it; None where ``tables/`` has been cleared."""
        whole = storage.join(self.root, paths.table(step, phase, task))
        try:
            raw = storage.open_table(whole)
        except FileNotFoundError:
            return None
        with sound(whole), raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
            if group is None:
                return file.read(use_threads=False)
            return file.read_row_group(group, use_threads=False)


def _check_plan(plan: Mapping[str, Any]) -> None:
    """Whether all that is asked of a plan is there: else KeyError, TypeError, ValueError or AttributeError."""
    for file in plan["inputs"]:
        InputFile(path="", **file)
    for _file, _group, _rows in plan["parts"]:
        pass
    plan["makes"].items()


@contextmanager
def sound(path: str) -> Iterator[None]:
    """Around the reading of a file of the run.

    Raises:
        StateError: its bytes are not what was written.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except part_files.DAMAGE as error:
        raise part_files.damage_error(path, error) from None


def open_run(path: str) -> FinishedRun:
    """A run, to read.

    Raises:
        StateError: there is none, it is not finished, its manifest is not one, or another version made it.
    """
    root = storage.absolute(path)
    manifest = storage.join(root, "manifest.json")
    finished = storage.exists(manifest)
    if not finished and not storage.exists(storage.join(root, paths.TABLES)):
        raise StateError(f"{path}: no run is here: name a run directory, which holds manifest.json")
    _check_layout(root)
    again = f"`tamis run {path.rstrip('/')}/job.yaml`"
    if not finished or _is_changing(root):
        raise StateError(f"{path}: the run is not finished: {again} goes on with it")
    try:
        return FinishedRun(root, Manifest.model_validate_json(storage.read_bytes(manifest)))
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise StateError(
            f"{path}: manifest.json is not what this version writes ({why}): {again} writes it anew"
        ) from None


def _check_layout(root: str) -> None:
    """Check that this version reads the run; a plan that is gone or damaged is told by who needs it.

    Raises:
        StateError: another version made it.
    """
    path = storage.join(root, "plan.json")
    try:
        plan = json.loads(storage.read_bytes(path))
    except (FileNotFoundError, ValueError):
        return
    if isinstance(plan, dict):
        check_layout(plan, storage.redact(path))


def _is_changing(root: str) -> bool:
    """Whether a run has begun to write the ledger and has not ended: its phase has files, but no index."""
    for phase in ("rows", "index"):
        names = storage.listing(storage.join(root, paths.folder("ledger", phase)))
        if names and INDEX not in names:
            return True
    return False
