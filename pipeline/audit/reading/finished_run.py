"""A finished run, for reading: its manifest, its ledger, and the row of each sample."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from tamis.pipeline.audit.reading import stored_edges
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.results import ledger_index
from tamis.pipeline.results.manifest_files import ManifestFiles
from tamis.pipeline.steps.shared.audit import Row, StepAudit
from tamis.pipeline.store import finished, storage
from tamis.pipeline.store.damage import require_content
from tamis.pipeline.store.parquet import ParquetFile, footer
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.columns import row_values
from tamis.pipeline.tables.sids import part_of, row_of
from tamis.pipeline.tasks import plan_files
from tamis.pipeline.tasks.parts import Parts, bundle_of
from tamis.pipeline.tasks.plan_files import PlanTable
from tamis.pipeline.tasks.product import Kind, names_of
from tamis.schemas.errors import StateError
from tamis.schemas.layout import MANIFEST, PLAN, PLAN_TABLE, check_layout
from tamis.schemas.ledger import Reason
from tamis.schemas.manifest import Manifest
from tamis.schemas.registry import audit_class, configuration
from tamis.schemas.scope import Scope
from tamis.schemas.step import StepModel


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, as ``open_run`` returns it."""

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
        """Step -> its ``StepAudit``, which answers questions about the run."""
        return {step.name: audit_class(step.kind)(step) for step in self.steps}

    def settings_of(self, step: str | None) -> StepModel | None:
        """The settings of a step by its name; None for a step that every job has."""
        return next((config for config in self.steps if config.name == step), None)

    def is_redacted(self, row: Row) -> bool:
        """Tell whether names, caption and picture of a ledger row are to be shown nowhere."""
        config = self.settings_of(row["step"])
        return config is not None and config.redacts

    def without_redacted(self, sids: Iterable[int]) -> list[int]:
        """Those of the samples, given by their addresses, whose pictures may be shown; sorted."""
        asked = sorted(set(sids))
        if not any(config.redacts for config in self.steps):
            return asked
        return [row["sid"] for row in self.rows(asked) if not self.is_redacted(row)]

    def phrase(self, step: str, reason: str) -> str:
        """The text of a step's reason in tables, with fields as in ``StepModel.phrases``."""
        config = self.settings_of(step)
        return "{reason}" if config is None else config.phrases.get(reason, "{reason}")

    @cached_property
    def concept_names(self) -> dict[int, str | None]:
        """The names of those concepts that were asked for, by cluster: to find one reads much of the run."""
        return {}

    @cached_property
    def files(self) -> ManifestFiles:
        """The tables of ``manifest/``."""
        return ManifestFiles(self.root, self.manifest.files)

    @property
    def rows_in(self) -> int:
        """Number of input samples."""
        return self.manifest.rows_in

    @property
    def seed(self) -> int:
        """The seed of the job."""
        seed: int = self.manifest.job["seed"]
        return seed

    @cached_property
    def _head(self) -> dict[str, Any]:
        try:
            return plan_files.read_head(self.root)
        except FileNotFoundError:
            raise self._without_plan(PLAN) from None

    @cached_property
    def _plan(self) -> PlanTable:
        table = plan_files.read(self.root)
        if table is None:
            raise self._without_plan(PLAN_TABLE)
        return table

    def _without_plan(self, name: str) -> StateError:
        return StateError(
            f"{self.root}: {name}, without which the parts of the ledger have no numbers, is missing: bring it back, "
            "or run the job again into another directory"
        )

    def need_tables(self) -> None:
        """Make sure that the tables are there, from which steps decide again.

        Raises:
            StateError: ``tables/`` has been cleared.
        """
        if not storage.exists(storage.join(self.root, paths.TABLES, "ingest")):
            raise StateError(
                f"{self.root}: tables/, from which would be decided again, has been cleared: bring it back, or run "
                "the job with that setting"
            )

    @cached_property
    def parts(self) -> Parts:
        """All parts, by number."""
        return self._plan.parts

    @cached_property
    def inputs(self) -> Sequence[InputFile]:
        """The input files by number. Their ``path`` is empty: the run does not know where they lie now."""
        return list(self._plan.inputs())

    def input_of(self, sid: int) -> InputFile:
        """The input file of a sample, as in ``inputs``."""
        return self._plan.input(self.parts[part_of(sid)].file)

    @cached_property
    def source_names(self) -> Sequence[str]:
        """The input files' names in the ledger, by their numbers in ``parts``."""
        return self._plan.sources

    def has(self, sid: int) -> bool:
        """Tell whether a sample of the run has that sid."""
        part, row = part_of(sid), row_of(sid)
        return 0 <= part < len(self.parts) and row < self.parts[part].rows

    def made_by(self, step: str, kind: Kind) -> list[str]:
        """Names of a step's products of one kind."""
        made: dict[str, list[str]] = self._head["makes"]
        return names_of(kind, [role for role, (maker, _) in made.items() if maker == step])

    def signals_of(self, step: str) -> Sequence[str]:
        """The signals that a step of the job has computed."""
        return self.audits[step].config.computes or self.made_by(step, Kind.SIGNAL)

    @property
    def placing(self) -> list[str]:
        """The steps that give samples a place in a concept, in order."""
        return [step.name for step in self.steps if self.made_by(step.name, Kind.PLACE)]

    @property
    def placed(self) -> str:
        """SQL condition on the ledger's rows: their cluster is one of the last clustering step.

        Samples that an earlier clustering step dropped carry its cluster numbers, which stand for other clusters.
        """
        earlier = ", ".join(f"'{name}'" for name in self.placing[:-1])
        return f"(step IS NULL OR step NOT IN ({earlier}))" if earlier else "true"

    def outputs(self, folder: str) -> list[str]:
        """The result's files in ``folder``, in order, relative to the run."""
        return self.files.paths(folder)

    def find(self, name: str) -> list[Row]:
        """The ledger's rows of all samples whose uid, key or URL is ``name``, in the order of their addresses."""
        buckets = len(self.outputs(ledger_index.FOLDER))
        if not buckets:
            return []
        with sound(ledger_index.path_of(self.root, name, buckets)):
            sids = ledger_index.find(self.root, name, buckets)
        rows = self.rows(sids)
        return [row for row in rows if name in (row["uid"], row["key"], row["url"])]

    def named(self, uid: str) -> Row | None:
        """The ledger's row of the sample that a uid names, and not of one dropped for repeating it; None if absent."""
        for row in self.find(uid):
            if row["uid"] == uid and row["reason"] != Reason.REPEATED_UID:
                return row
        return None

    def rows(self, sids: Sequence[int], columns: Sequence[str] | None = None) -> list[Row]:
        """The ledger's rows of some samples, in their order; each file is opened, and each part read, once.

        ``columns``: those to read, all by default; ``sid`` is always there.
        """
        rows: dict[int, Row] = {}
        by_bundle: dict[int, dict[int, list[int]]] = {}
        for sid in sids:
            bundle, group = bundle_of(part_of(sid))
            by_bundle.setdefault(bundle, {}).setdefault(group, []).append(sid)
        for bundle, by_group in by_bundle.items():
            name = f"{paths.task_name(Scope.BUNDLE, bundle)}.parquet"
            path = storage.join(self.root, paths.LEDGER, name)
            with (
                sound(path),
                storage.open_table(path) as raw,
                ParquetFile(
                    raw, footer(raw), read_dictionary=["source"]
                ) as file,  # one text a part
            ):
                for group, some in by_group.items():
                    table = file.read_row_group(group, columns)
                    for sid in some:
                        row: Row = row_values(table, row_of(sid))
                        row.setdefault("sid", sid)
                        rows[sid] = row
        return [rows[sid] for sid in sids]

    def entered(self, step: str) -> int:
        """The samples that reached a step."""
        return next(account.entered for account in self.manifest.steps if account.step == step)

    def quotas(self, step: str) -> pa.Table | None:
        """A row a cluster: its size, and what the step keeps of it; None where ``tables/`` has been cleared."""
        return self.table(step, "quotas", "clusters")

    def edges_to_preferred(self, step: str, sid: int) -> pa.Table | None:
        """A sample's edges to those that are preferred to it; None where not all are stored."""
        phases = self.audits[step].config.edge_phases
        return stored_edges.to_preferred(self.root, step, phases, sid)

    def ingested(self, part: int) -> pa.Table | None:
        """The rows that ingest stored of a part; None where ``tables/`` has been cleared."""
        found = self.parts[part]
        return self.table("ingest", "files", paths.task_name(Scope.FILE, found.file), found.group)

    def table(self, step: str, phase: str, task: str, group: int | None = None) -> pa.Table | None:
        """A task's table, or one row group of it; None where ``tables/`` has been cleared."""
        whole = storage.join(self.root, paths.table(step, phase, task))
        try:
            raw = storage.open_table(whole)
        except FileNotFoundError:
            return None
        with sound(whole), raw, ParquetFile(raw) as file:
            if group is None:
                return file.read()
            return file.read_row_group(group)


@contextmanager
def sound(path: str) -> Iterator[None]:
    """Context in which a file of the run is read, with damage as one error.

    Raises:
        StateError: its bytes are not those that were written.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except part_files.DAMAGE as error:
        require_content(error, path)
        raise part_files.damage_error(path, error) from None


def open_run(path: str) -> FinishedRun:
    """Open a finished run.

    Raises:
        StateError: there is none, it is not finished, its manifest is not one, or another version made it.
    """
    root = storage.absolute(path)
    manifest = storage.join(root, MANIFEST)
    there = storage.exists(manifest)
    if not there and not storage.exists(storage.join(root, paths.TABLES)):
        raise StateError(f"{path}: no run is here: name a run directory, which holds manifest.json")
    _check_layout(root)
    again = f"`tamis run {path.rstrip('/')}/job.yaml`"
    if not there:
        raise StateError(finished.state(root))
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
    path = storage.join(root, PLAN)
    try:
        plan = json.loads(storage.read_bytes(path))
    except (FileNotFoundError, ValueError):
        return
    if isinstance(plan, dict):
        check_layout(plan, storage.redact(path))
