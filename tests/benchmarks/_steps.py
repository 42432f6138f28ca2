"""What benchmarks of steps share: small inputs, and a job done in this process whose tasks can be done again."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tamis.pipeline.runs import plan
from tamis.pipeline.runs import walk as run
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.perform import Here, Outcome, Work, perform
from tamis.pipeline.tasks.phase import Phase
from tamis.schemas.parse import parse_job

EXAMPLES = Path(__file__).parents[2] / "jobs" / "examples" / "clipart"
CLIPART = Path(
    os.environ.get("TAMIS_CLIPART")
    or Path(__file__).resolve().parents[3] / "shared" / "data" / "openclipart"
)
"""All 7,396 pairs, where they are at hand."""

Member = tuple[str, bytes]


class Recorded(Here):
    """Does every task in this process, and keeps it: ``again`` does those of one phase once more."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.root = root
        self.seen: list[tuple[Phase[Any], Sequence[Work]]] = []

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """As ``Here``."""
        self.seen.append((phase, works))
        yield from super().run(phase, works)

    def again(self, *places: str) -> None:
        """The tasks of the phases whose tables lie at ``step/phase``, as the engine does them; nothing is synced.

        Raises:
            RuntimeError: one was not done, so that its time would be that of nothing.
        """
        with storage.without_sync():
            for phase, works in self.seen:
                for work in works:
                    if any(work.path.startswith(f"tables/{place}/") for place in places):
                        done = perform(phase.function, self.root, work)
                        if done.file is None:
                            raise RuntimeError(f"{work.path} was not made: {done}")


def recorded(job: str) -> Recorded:
    """The job, as YAML, done."""
    parsed = parse_job(job, "benchmark")
    executor = Recorded(str(Path(parsed.output).absolute()))
    run.run(plan.make(parsed), (), executor=executor)
    return executor


def members(tars: Sequence[Path]) -> Iterator[Member]:
    """(name, bytes) of every member."""
    for path in tars:
        with tarfile.open(path) as tar:
            for info in tar:
                file = tar.extractfile(info)
                if file is not None:
                    yield info.name, file.read()


def samples(tars: Sequence[Path]) -> list[list[Member]]:
    """The members of each sample."""
    found: dict[str, list[Member]] = {}
    for name, data in members(tars):
        found.setdefault(name.partition(".")[0], []).append((name, data))
    return list(found.values())


def write_tar(path: Path, given: Sequence[Member]) -> Path:
    """A plain tar of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in given:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path
