"""The files that a picture, a caption, a threshold, an explanation and a dying task pass: how far a reader has to go.

``PYTHONPATH=build/names .venv/bin/python -m tests.support.walks`` runs a preset over one tar of the example, in this
process, and prints each file at its first function, in the order in which they are entered. Of a threshold it also says
which files name it (`keep`) or what is made of it (`budget`, `quota`): the others carry a job, a table or a task,
whatever is in it. A task that dies is followed by the words of the source instead.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import pyarrow.parquet as pq

from tamis.jobs.commands.explain import explain_sample
from tamis.jobs.job_files.load import Request, load
from tamis.pipeline.runs import plan, walk
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks.perform import Here, Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.pipeline.tasks.step import Context, Step
from tests.conftest import ROOT

EXAMPLE = ROOT / "jobs" / "examples" / "clipart"

WALKS = {
    "a picture": ["ingest files", "write shards"],
    "a caption": ["near_duplicates"],
    "a threshold": ["load", "density phases", "density quotas", "density verdict", "ledger rows"],
    "an explanation": ["explain"],
    "every phase": ["driver"],
}
"""What is followed -> the stages in which it is met: a step, or a step and a phase."""

DYING = re.compile(r"\bculprits?\b|\bdied\b|KILLED_ITS_WORKER", re.IGNORECASE)

KEEP = "density.keep=0.3"
THRESHOLD = re.compile(r"keep$|budget$|quotas?$")


class Recorder:
    """The project's functions that are entered, by stage."""

    def __init__(self) -> None:
        self.entered: dict[str, dict[str, str]] = {}
        self._stage = ""

    @contextlib.contextmanager
    def at(self, stage: str) -> Iterator[None]:
        """What is entered inside the block belongs to ``stage``."""
        before, self._stage = self._stage, stage
        sys.setprofile(self._note)
        try:
            yield
        finally:
            self._stage = before
            sys.setprofile(self._note if before else None)

    def _note(self, frame: FrameType, event: str, _arg: object) -> None:
        path = _in_project(frame.f_code.co_filename) if event == "call" else None
        if path is not None and not frame.f_code.co_name.startswith("<"):
            self.entered.setdefault(self._stage, {}).setdefault(path, frame.f_code.co_name)

    def files(self, stages: Sequence[str]) -> dict[str, str]:
        """File -> the first function entered in it, over the stages whose names begin so."""
        files: dict[str, str] = {}
        for stage in stages:
            for name, entered in self.entered.items():
                if name.startswith(stage):
                    files = files | {path: entered[path] for path in entered if path not in files}
        return files


@cache
def _in_project(file: str) -> str | None:
    """A file of the product, relative to the project; None for any other."""
    path = Path(file).resolve()
    if file.startswith("<") or not path.is_relative_to(ROOT) or path.is_relative_to(ROOT / "tests"):
        return None
    return str(path.relative_to(ROOT))


class Watched(Here):
    """The executor of this process; each task is a stage of its own."""

    def __init__(self, root: str, recorder: Recorder) -> None:
        super().__init__(root)
        self._recorder = recorder

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        for work in works:
            step, name, _ = paths.address(work.path)
            with self._recorder.at(f"{step} {name}"):
                (outcome,) = super().run(phase, [work])
            yield outcome


def watched(step: Step, recorder: Recorder) -> Callable[[Context], Iterator[Phase[Any]]]:
    """The step's phases; what it does to plan them is a stage."""
    phases = step.phases

    def planned(context: Context) -> Iterator[Phase[Any]]:
        generator = phases(context)
        while True:
            with recorder.at(f"{step.name} phases"):
                phase = next(generator, None)
            if phase is None:
                return
            yield phase

    return planned


def record(output: str) -> Recorder:
    """Run the preset ``demo`` over one tar of the example, and explain a sample that density dropped."""
    recorder = Recorder()
    with recorder.at("load"):
        job = load(Request("demo", [str(EXAMPLE / "00000.tar")], output, [KEEP]))
    planned = plan.make(job)
    with contextlib.ExitStack() as patches:
        for step in planned.steps:
            patches.enter_context(mock.patch.object(step, "phases", watched(step, recorder)))
        patches.enter_context(recorder.at("driver"))
        walk.run(planned, executor=Watched(planned.root, recorder))
    ledger = pq.read_table(f"{output}/ledger", columns=["uid", "step"]).to_pylist()
    uid = next(row["uid"] for row in ledger if row["step"] == "density")
    with contextlib.redirect_stdout(io.StringIO()), recorder.at("explain"):
        explain_sample(output, uid, count=1, json=False, html=None)
    return recorder


def dying() -> list[str]:
    """Files of the product whose source speaks of what ends a worker."""
    sources = [path for top in ("schemas", "pipeline") for path in (ROOT / top).rglob("*.py")]
    return sorted(str(p.relative_to(ROOT)) for p in sources if DYING.search(p.read_text()))


def naming(files: Iterable[str]) -> list[str]:
    """Those of ``files`` whose code, not its prose, names the threshold or what is made of it."""
    return [path for path in files if any(map(THRESHOLD.match, _names((ROOT / path).read_text())))]


def _names(source: str) -> Iterator[str]:
    """Names and columns that the code speaks of."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Constant) and node.value == "quota":
            yield "quota"


def main() -> None:
    """Print the walks."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = record(f"{folder}/run")
    for name, stages in WALKS.items():
        files = recorder.files(stages)
        sys.stdout.write(f"{name}: {len(files)} files\n")
        sys.stdout.writelines(f"  {path} {function}\n" for path, function in files.items())
        if name == "a threshold":
            naming_it = naming(files)
            sys.stdout.write(f"  of these, {len(naming_it)} name it: {' '.join(naming_it)}\n")
    named = dying()
    sys.stdout.write(f"a task that dies: {len(named)} files\n")
    sys.stdout.writelines(f"  {path}\n" for path in named)


if __name__ == "__main__":
    main()
