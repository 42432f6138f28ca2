"""A finished run that is done again is finished at no moment at which its files are not those of its manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.results.load import load, shards
from tamis.pipeline.results.manifest_files import ManifestFiles
from tamis.pipeline.runs import walk
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.store import finished, lease
from tamis.pipeline.tasks.perform import Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.schemas.errors import StateError
from tests.support.executors import Counted, KilledError
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

STEPS = """
  - signals: [words]
  - rules: {words: {min: WORDS}}
  - write: {samples_per_shard: 5}"""


def job(folder: Path, words: int, output: str = "run") -> Plan:
    return make_plan(folder / output, f"{folder}/in/*.tar", STEPS.replace("WORDS", str(words)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tars, and a finished run that kept most of them."""
    for number in range(2):
        samples = [
            Sample(f"k{number}{i:02d}", picture(number * 99 + i), "word " * (1 + i % 4), {})
            for i in range(16)
        ]
        write_tar(tmp_path / f"in/{number}.tar", samples)
    run_here(job(tmp_path, 2))
    return tmp_path


def not_as_listed(run: Path) -> list[str]:
    """The files that a run's manifest lists, and that have other bytes."""
    digests = json.loads((run / "manifest.json").read_bytes())["files"]
    return [
        output.path
        for output in ManifestFiles(str(run), digests).outputs
        if hashlib.sha256((run / output.path).read_bytes()).hexdigest() != output.sha256
    ]


class Killed(Counted):
    """Dies once ``alive`` tasks of whatever phase are done."""

    def __init__(self, root: str, alive: int) -> None:
        super().__init__(root)
        self.alive = alive

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        for outcome in super().run(phase, works):
            self.alive -= 1
            yield outcome
            if self.alive == 0:
                raise KilledError


@pytest.mark.parametrize("words", [1, 3, 4])
def test_it_is_finished_or_says_that_it_is_not(folder: Path, words: int) -> None:
    run_here(job(folder, words, "sound"))
    sound, withdrawn = contents(folder / "sound"), 0
    for alive in range(1, 100):
        shutil.rmtree(folder / "again", ignore_errors=True)
        shutil.copytree(folder / "run", folder / "again")
        plan = job(folder, words, "again")
        executor = Killed(plan.root, alive)
        with suppress(KilledError):
            walk.run(plan, executor=executor)
        if (folder / "again/manifest.json").exists():
            assert not_as_listed(folder / "again") == []
        else:
            withdrawn += 1
            for read in (open_run, shards, load):
                with pytest.raises(StateError, match="not finished"):
                    read(plan.root)
        if executor.alive > 0:
            break
        run_here(plan)
        now = contents(folder / "again")
        assert [
            n for n in sound if now[n] != sound[n] and n not in ("job.yaml", "plan.parquet")
        ] == []
    assert withdrawn > 3


def test_who_reads_while_it_is_done_again_is_told(folder: Path) -> None:
    reading = iter(load(str(folder / "run")))
    next(reading)
    run_here(job(folder, 3))
    with pytest.raises(StateError, match="done again since it was opened"):
        list(reading)


def test_a_shard_that_is_not_the_one_written_is_named(folder: Path) -> None:
    shard = folder / "run/shards/00001.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    with pytest.raises(StateError, match=r"00001.tar has .* bytes, manifest.json says"):
        list(load(str(folder / "run")))


def test_a_run_that_is_at_work_again_is_noted(folder: Path) -> None:
    assert finished.note(str(folder / "run")) is None
    with lease.Lease(str(folder / "run")):
        assert "a run is at work in it again" in str(finished.note(str(folder / "run")))
        finished.withdraw(str(folder / "run"))
        with pytest.raises(StateError, match="not finished: it is at work"):
            open_run(str(folder / "run"))


@pytest.mark.parametrize("below", ["sub", "shards", "shards/a/b", "tables/write"])
def test_a_run_inside_a_run_is_refused(folder: Path, below: str) -> None:
    before = contents(folder / "run")
    with pytest.raises(StateError, match=r"lies in the run .*/run, where"):
        run_here(job(folder, 2, f"run/{below}"))
    assert contents(folder / "run") == before
