"""``plan.json``: the inputs of a run directory, and the numbers of its parts, which only grow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.task import Part
from tamis.schemas import yaml12
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.layout import LAYOUT, check_layout
from tamis.schemas.parse import dump
from tamis.schemas.redaction import without_secrets

FILE = "plan.json"
JOB = "job.yaml"

RUN_FILES = (
    "tables", "shards", "subsets", "ledger", "ledger_index",
    "subset.npy", "delta.parquet", "manifest.json", "events.jsonl", JOB,
)  # fmt: skip
"""Names that a run writes into its directory beside ``plan.json``, and may replace or remove there."""

SECRETS_NOTE = (
    "# User names, passwords and queries of URLs are left out here: to run this file again, give credentials in the\n"
    "# environment (AWS_ACCESS_KEY_ID and the like), or run the job file that was given first.\n"
)

FIELDS = {"job": str, "part_samples": int, "inputs": list, "parts": list, "makes": dict}


@dataclass
class State:
    """The inputs in the order of their numbers, and the parts once ingest has settled them."""

    root: str
    job_name: str
    part_samples: int
    inputs: list[InputFile]
    parts: list[Part]
    makes: dict[str, list[str]]  # "signal:words" -> step and phase, for audits

    @classmethod
    def open(cls, plan: Plan) -> State:
        """Read the run directory's state, check that it belongs to this job, and add the inputs that are new.

        Raises:
            StateError: the directory belongs to another job, or an input is gone or has changed.
        """
        path = storage.join(plan.root, FILE)
        record = read(path) if storage.exists(path) else None
        makes = {name: [*maker] for name, maker in sorted(plan.makers.items())}
        state = cls(plan.root, plan.job.name, plan.job.part_samples, [], [], makes)
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
        files = {file.source: file for file in plan.inputs}
        for raw in record["inputs"]:
            source = f"{raw['entry']}/{raw['relative']}"
            if source not in files:
                raise StateError(
                    f"{source}: was an input of {plan.root} and is no longer: bring it back, or give another `output:`"
                )
            file = files[source]
            if (file.size, file.stamp) != (raw["size"], raw["stamp"]) and not plan.accept_changed:
                raise StateError(
                    f"{source}: has changed since {plan.root} was made ({raw['size']} bytes then, {file.size} now): "
                    "--accept-changed recomputes what depends on it, if it still has as many samples"
                )
            self.inputs.append(file)
        self.parts = [Part(number, *numbers) for number, numbers in enumerate(record["parts"])]

    def settle(self, rows: Sequence[Sequence[int]]) -> None:
        """Number the parts of newly ingested files: ``rows[file][group]``. Old parts keep their numbers.

        Raises:
            StateError: a file that has numbered parts no longer splits the same way.
        """
        old = {(part.file, part.group): part for part in self.parts}
        for file, groups in enumerate(rows):
            parts = [part for part in self.parts if part.file == file]
            if parts and [p.rows for p in parts] != [n for n in groups if n]:
                raise StateError(
                    f"{self.inputs[file].source}: now has {sum(groups)} samples, "
                    f"its parts have {sum(p.rows for p in parts)}: "
                    "a changed input with another number of samples needs another `output:`"
                )
        for file, groups in enumerate(rows):
            for group, count in enumerate(groups):
                if count and (file, group) not in old:
                    self.parts.append(Part(len(self.parts), file, group, count))
        self.save()

    def save_first(self) -> None:
        """Write a ``plan.json`` without inputs if there is none, which marks the directory as this job's."""
        if not storage.exists(storage.join(self.root, FILE)):
            replace(self, inputs=[], parts=[]).save()

    def save(self) -> None:
        """Write ``plan.json`` if it has changed."""
        text = json.dumps(
            {
                "layout": LAYOUT,
                "job": self.job_name,
                "part_samples": self.part_samples,
                "inputs": [
                    {
                        "entry": f.entry,
                        "relative": f.relative,
                        "kind": f.kind,
                        "size": f.size,
                        "stamp": f.stamp,
                    }
                    for f in self.inputs
                ],
                "parts": [[part.file, part.group, part.rows] for part in self.parts],
                "makes": self.makes,
            },
            indent=1,
        ).encode()
        path = storage.join(self.root, FILE)
        if not storage.exists(path) or storage.read_bytes(path) != text:
            storage.write_bytes(path, text)


def read(path: str) -> dict[str, Any]:
    """The content of a ``plan.json``.

    Raises:
        StateError: it is damaged, or no file of a run.
    """
    try:
        record = json.loads(storage.read_bytes(path))
        for name, kind in FIELDS.items():
            if not isinstance(record, dict) or not isinstance(record.get(name), kind):
                raise ValueError(f"it has no `{name}`")
    except ValueError as error:
        raise StateError(
            f"{path} is damaged ({error}): restore it, or give another `output:`"
        ) from None
    check_layout(record, path)
    return dict(record)


def check_output(plan: Plan) -> None:
    """Check that the run directory is this job's, or has no file that a run would replace. Writes nothing.

    Raises:
        JobError: an input lies in it, or it cannot be written.
        StateError: its files belong to another job, or to no known one.
    """
    root = storage.redact(plan.root)
    for file in plan.inputs:
        for path in (file.path, file.image_embeddings, file.text_embeddings):
            if path is not None and path.startswith(plan.root.rstrip("/") + "/"):
                raise JobError(
                    f"output: {root}: the input {storage.redact(path)} lies in it, where results are replaced and "
                    "removed: give another `output:`"
                )
    why = storage.why_unwritable(plan.root)
    if why:
        raise JobError(f"output: {root}: {why}: give another `output:`")
    if storage.exists(storage.join(plan.root, FILE)):
        State.open(plan)
        return
    _check_above(plan.root)
    present = [name for name in RUN_FILES if storage.exists(storage.join(plan.root, name))]
    if present:
        raise StateError(
            f"{root}: holds {', '.join(present)}, but no {FILE}: no run of this version made it, and a run would "
            "replace what is there: move it away, or give another `output:`"
        )


def _check_above(root: str) -> None:
    """Refuse a directory inside another run's: its files would lie among results that are replaced and removed.

    Raises:
        StateError: names the run.
    """
    above = storage.parent(root)
    while above != storage.parent(above) and not above.endswith((":/", "://")):
        if all(storage.exists(storage.join(above, name)) for name in (FILE, JOB)):
            raise StateError(
                f"{storage.redact(root)}: lies in the run {storage.redact(above)}, where results are replaced and "
                "removed: give another `output:`"
            )
        above = storage.parent(above)


def save_job(plan: Plan) -> None:
    """Write ``job.yaml``, the job as it is done here, if it has changed; without secrets in URLs."""
    whole = dump(plan.job)
    plain = yaml12.dump(without_secrets(yaml12.load(whole)))
    path, text = (
        storage.join(plan.root, JOB),
        (whole if plain == whole else SECRETS_NOTE + plain).encode(),
    )
    if not storage.exists(path) or storage.read_bytes(path) != text:
        storage.write_bytes(path, text)
