"""``plan.json``: the inputs that a run directory was made from, and the numbers of its parts, which only grow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.inputs import InputFile
from pipeline.phases import Part
from pipeline.plan import Plan
from schemas.errors import StateError
from schemas.parse import dump

FILE = "plan.json"
JOB = "job.yaml"


@dataclass
class State:
    """The inputs in the order of their numbers, and the parts once ingest has settled them."""

    root: str
    job_name: str
    part_samples: int
    inputs: list[InputFile]
    parts: list[Part]
    makes: dict[str, list[str]]  # "signal:words" -> step and phase: what audits find tables by

    @classmethod
    def open(cls, plan: Plan) -> State:
        """Read the run directory's state, check that it belongs to this job, and add the inputs that are new.

        Raises:
            StateError: the directory belongs to another job, or an input is gone or has changed.
        """
        path = storage.join(plan.root, FILE)
        known = _read(path) if storage.exists(path) else {}
        makes = {made: [*maker] for made, maker in sorted(plan.makers.items())}
        state = cls(plan.root, plan.job.name, plan.job.part_samples, [], [], makes)
        if known:
            state._take(known, plan)
        present = {file.source for file in state.inputs}
        state.inputs += [file for file in plan.inputs if file.source not in present]
        return state

    def _take(self, known: dict[str, Any], plan: Plan) -> None:
        if known["job"] != self.job_name:
            raise StateError(
                f"{plan.root}: belongs to the job `{known['job']}`, not `{self.job_name}`: give another `output:`"
            )
        if known["part_samples"] != self.part_samples:
            raise StateError(
                f"{plan.root}: was made with part_samples {known['part_samples']}, not {self.part_samples}: "
                "keep that number, or give another `output:`"
            )
        now = {file.source: file for file in plan.inputs}
        for raw in known["inputs"]:
            source = f"{raw['entry']}/{raw['relative']}"
            if source not in now:
                raise StateError(
                    f"{source}: was an input of {plan.root} and is no longer: bring it back, or give another `output:`"
                )
            file = now[source]
            if (file.size, file.stamp) != (raw["size"], raw["stamp"]) and not plan.accept_changed:
                raise StateError(
                    f"{source}: has changed since {plan.root} was made ({raw['size']} bytes then, {file.size} now): "
                    "--accept-changed recomputes what depends on it"
                )
            self.inputs.append(file)
        self.parts = [Part(number, *numbers) for number, numbers in enumerate(known["parts"])]

    def settle(self, rows: Sequence[Sequence[int]]) -> None:
        """Number the parts of newly ingested files: ``rows[file][group]``. Old parts keep their numbers.

        Raises:
            StateError: a file that has numbered parts no longer splits the same way.
        """
        old = {(part.file, part.group): part for part in self.parts}
        for file, groups in enumerate(rows):
            known = [part for part in self.parts if part.file == file]
            if known and [p.rows for p in known] != [n for n in groups if n]:
                raise StateError(
                    f"{self.inputs[file].source}: now has {sum(groups)} samples, "
                    f"its parts have {sum(p.rows for p in known)}: "
                    "a changed input with another number of samples needs another `output:`"
                )
        for file, groups in enumerate(rows):
            for group, count in enumerate(groups):
                if count and (file, group) not in old:
                    self.parts.append(Part(len(self.parts), file, group, count))
        self.save()

    def save(self) -> None:
        """Write ``plan.json`` if it says something else now."""
        text = json.dumps(
            {
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


def _read(path: str) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise StateError(
            f"{path} is damaged ({error}): restore it, or give another `output:`"
        ) from None
    return known


def keep_job(plan: Plan) -> None:
    """Write ``job.yaml``, the job as it is done here, if it says something else now."""
    path, text = storage.join(plan.root, JOB), dump(plan.job).encode()
    if not storage.exists(path) or storage.read_bytes(path) != text:
        storage.write_bytes(path, text)
