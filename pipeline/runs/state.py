"""The plan of a run directory: ``plan.json``, and ``plan.parquet``, its inputs and the numbers of its parts.

Both numbers only grow. ``plan.json`` is written first, and marks the directory as a job's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tamis.pipeline.host.machine import processors
from tamis.pipeline.inputs.changes import check_unchanged, is_touched, sha256_of
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.input_files import SHOWN, InputFile
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.runs.worker import ThreadMap
from tamis.pipeline.store import storage
from tamis.pipeline.tables.file_columns import Ints
from tamis.pipeline.tasks import plan_files
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.parts import Parts
from tamis.pipeline.tasks.phase_index import remove_damaged
from tamis.schemas import yaml12
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.job import Input
from tamis.schemas.layout import JOB, PLAN, RUN_FILES
from tamis.schemas.parse import plain
from tamis.schemas.redaction import without_secrets

EVALUATION = "evaluation"
"""Folder of a run with a run for each set of held-out input files."""

SECRETS_NOTE = (
    "# User names, passwords and queries of URLs are left out here: to run this file again, give credentials in the\n"
    "# environment (AWS_ACCESS_KEY_ID and the like), or run the job file that was given first.\n"
)


@dataclass
class State:
    """The inputs in the order of their numbers, and the parts once ingest has settled them."""

    root: str
    job_name: str
    part_samples: int
    inputs: list[InputFile]
    parts: Parts
    makes: dict[str, list[str]]  # "signal:words" -> step and phase, for audits
    touched: list[int] = field(default_factory=list)  # inputs, by number, since the last check
    known: int = 0  # inputs that an earlier run has read, the first ones
    reread: bool = False  # whether those of them that name pictures are read again

    @classmethod
    def open(cls, plan: Plan) -> State:
        """Read the run directory's state, check that it belongs to this job, and add the inputs that are new.

        Raises:
            StateError: the directory belongs to another job, or an input is gone or has changed.
        """
        path = storage.join(plan.root, PLAN)
        record = plan_files.read_head(plan.root) if storage.exists(path) else None
        makes = {made.role: [*maker] for made, maker in sorted(plan.makers.items())}
        state = cls(plan.root, plan.job.name, plan.job.part_samples, [], Parts.of([]), makes)
        if record is not None:
            state._continue(record, plan)
        present = {file.source for file in state.inputs}
        state.inputs += [file for file in plan.inputs if file.source not in present]
        return state

    def _continue(self, record: dict[str, Any], plan: Plan) -> None:
        if record["job"] != self.job_name:
            raise StateError(
                f"{plan.root}: belongs to the job `{record['job']}`, not `{self.job_name}`: give another `output:`"
            )
        if record["part_samples"] != self.part_samples:
            raise StateError(
                f"{plan.root}: was made with part_samples {record['part_samples']}, not {self.part_samples}: "
                "keep that number, or give another `output:`"
            )
        known = plan_files.read(self.root)
        if known is None:
            return
        files = {file.source: file for file in plan.inputs}
        head = storage.stat(storage.join(plan.root, PLAN))
        checked = int(head.stamp) if storage.is_local(plan.root) else None
        for was in known.inputs():
            if was.source not in files:
                raise StateError(
                    f"{was.source}: was an input of {plan.root} and is no longer: bring it back, or give another "
                    "`output:`"
                )
            file = files[was.source]
            if (file.size, file.stamp) != (was.size, was.stamp) and not plan.accept_changed:
                raise _changed(plan.root, was, f"{was.size} bytes then, {file.size} now")
            if checked is not None and is_touched(file, checked):
                self.touched.append(len(self.inputs))
            self.inputs.append(file)
        self.parts, self.known = known.parts, len(self.inputs)

    def remove_replaced(self, done: Done, plan: Plan, notify: Callable[[str], None]) -> bool:
        """Whether an input was replaced by one of the same size and time, or names pictures that may have been: its
        table of ingest is removed then.

        Of inputs that were touched since their last check the bytes are compared with those in ``done``, ingest of all.

        Raises:
            StateError: one was, and changed inputs are not accepted.
        """
        replaced = [*self._naming_pictures(notify), *self._replaced(done, plan, notify)]
        for number in dict.fromkeys(replaced):
            remove_damaged(self.root, done.files.file(number).path)
        return bool(replaced)

    def _replaced(self, done: Done, plan: Plan, notify: Callable[[str], None]) -> list[int]:
        """The touched inputs with other bytes than those that were read."""
        if not self.touched:
            return []
        size = sum(self.inputs[n].size for n in self.touched)
        notify(
            f"{len(self.touched):,} inputs ({size / 1e6:,.1f} MB) were touched since they were last checked: their "
            "bytes are compared with those that were read"
        )
        hashes = [notes["sha256"] for notes in done.notes()]
        found = ThreadMap(processors())(sha256_of, (self.inputs[n] for n in self.touched))
        replaced = [n for n, sha256 in zip(self.touched, found, strict=True) if sha256 != hashes[n]]
        if replaced and not plan.accept_changed:
            raise _changed(self.root, self.inputs[replaced[0]], "as many bytes, and others")
        return replaced

    def _naming_pictures(self, notify: Callable[[str], None]) -> list[int]:
        """The inputs to read again, once where changed ones are accepted: those whose rows name pictures in other
        files, of which no stamp tells whether they have changed. New ones have just been read.
        """
        wanted, self.reread = self.known if self.reread else 0, False
        files = self.inputs[:wanted]
        found = [n for n, file in enumerate(files) if format_of(file).names_pictures(file)]
        if found:
            names = ", ".join(self.inputs[n].source for n in found[:SHOWN])
            notify(
                f"{len(found):,} inputs name pictures in files of their own and are read again: {names}"
            )
        return found

    def check_inputs(self, entries: Sequence[Input], done: Done) -> None:
        """Check that no input has changed since the run began, and on a local disk note the time.

        ``done`` is ingest of all.

        Raises:
            InputError: one has.
        """
        check_unchanged(entries, self.inputs, done.notes())
        if storage.is_local(self.root):
            plan_files.write_head(
                self.root, self.job_name, self.part_samples, self.makes, anew=True
            )

    def settle(self, rows: Ints, ends: Ints) -> None:
        """Number the parts of newly ingested files. Old parts keep their numbers.

        ``rows`` has the rows of each row group of all files, ``ends`` where those of each file end.

        Raises:
            StateError: a file that has numbered parts no longer splits the same way.
        """
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
        file = np.repeat(np.arange(len(ends)), ends - starts)
        group = np.arange(len(rows)) - starts[file]
        old = np.zeros(len(ends), bool)
        old[self.parts.file] = True
        filled = rows > 0
        before = np.lexsort((self.parts.group, self.parts.file))
        was = np.stack([self.parts.file[before], self.parts.rows[before]])
        now = np.stack([file, rows])[:, filled & old[file]]
        if was.shape != now.shape or (was != now).any():
            self._refuse(file, rows)
        more = np.flatnonzero(filled & ~old[file])
        columns = ((self.parts.file, file), (self.parts.group, group), (self.parts.rows, rows))
        self.parts = Parts(*(np.concatenate([known, new[more]]) for known, new in columns))
        self.save()

    def _refuse(self, file: Ints, rows: Ints) -> None:
        """Name a file that splits another way than its numbered parts say."""
        for number in np.unique(self.parts.file):
            was = self.parts.rows[self.parts.file == number]
            now = rows[(file == number) & (rows > 0)]
            if not np.array_equal(was, now):
                raise StateError(
                    f"{self.inputs[int(number)].source}: now has {int(now.sum())} samples, its parts have "
                    f"{int(was.sum())}: a changed input with another number of samples needs another `output:`"
                )

    def save_head(self) -> None:
        """Write ``plan.json`` if it has changed; it marks the directory as this job's."""
        plan_files.write_head(self.root, self.job_name, self.part_samples, self.makes)

    def save(self) -> None:
        """Write ``plan.parquet`` if it has changed."""
        plan_files.write(self.root, self.inputs, self.parts)


def _changed(root: str, file: InputFile, how: str) -> StateError:
    return StateError(
        f"{file.source}: has changed since {root} was made ({how}): --accept-changed recomputes what depends on it, if "
        "it still has as many samples"
    )


def check_output(plan: Plan) -> None:
    """Check that the run directory is this job's, or has no file that a run would replace. Writes nothing.

    Raises:
        JobError: an input lies in it, or it cannot be written.
        StateError: its files belong to another job, or to no known one.
    """
    root = storage.redact(plan.root)
    for file in plan.inputs:
        given = [a for name in file.embedded for a in file.embeddings(name).values()]
        for path in (file.path, *given):
            if path.startswith(plan.root.rstrip("/") + "/"):
                raise JobError(
                    f"output: {root}: the input {storage.redact(path)} lies in it, where results are replaced and "
                    "removed: give another `output:`"
                )
    why = storage.why_unwritable(plan.root)
    if why:
        raise JobError(f"output: {root}: {why}: give another `output:`")
    if storage.exists(storage.join(plan.root, PLAN)):
        State.open(plan)
        return
    check_above(plan.root)
    present = [name for name in RUN_FILES if storage.exists(storage.join(plan.root, name))]
    if present:
        raise StateError(
            f"{root}: holds {', '.join(present)}, but no {PLAN}: no run of this version made it, and a run would "
            "replace what is there: move it away, or give another `output:`"
        )


def check_above(root: str) -> None:
    """Refuse a directory inside another run's: its files would lie among results that are replaced and removed.

    Not in its ``EVALUATION``, which no run touches.

    Raises:
        StateError: names the run.
    """
    below, above = root, storage.parent(root)
    while above != storage.parent(above) and not above.endswith((":/", "://")):
        is_run = all(storage.exists(storage.join(above, name)) for name in (PLAN, JOB))
        if is_run and below != storage.join(above, EVALUATION):
            raise StateError(
                f"{storage.redact(root)}: lies in the run {storage.redact(above)}, where results are replaced and "
                "removed: name another folder"
            )
        below, above = above, storage.parent(above)


def save_job(plan: Plan) -> None:
    """Write ``job.yaml``, the job as it is done here, if it has changed; without secrets in URLs."""
    whole = plain(plan.job)
    shown = without_secrets(whole)
    note = "" if shown == whole else SECRETS_NOTE
    path, text = storage.join(plan.root, JOB), (note + yaml12.dump(shown)).encode()
    if not storage.exists(path) or storage.read_bytes(path) != text:
        storage.write_bytes(path, text)
