"""Kills at random moments: the same command goes on, and ends with the bytes of a run that nobody disturbed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import chaos
from tests.support.chaos import Told, WorkerKiller
from tests.support.ray_cluster import RayHead, ray_head

PART = 128
WORKERS = 2

# The steps that read pictures, and one that goes over all samples.
SHORT = """
name: chaos
input: [{{path: '{folder}/*.tar'}}]
output: unset
part_samples: {part}
steps:
  - signals: [words, min_side]
  - rules: {{words: {{min: 2}}, min_side: {{min: 64}}}}
  - exact_duplicates: {{on: image}}
  - embed: {{encoder: demo}}
  - density: {{clusters: 8, keep: 0.4, neighbours: 4}}
  - write: {{samples_per_shard: 100}}
"""


@dataclass(frozen=True)
class Chaos:
    """A Ray head, a job, and what a run of it said and left that nobody disturbed."""

    head: RayHead
    job: tuple[str, ...]
    whole: Path
    undisturbed: Told

    def run(self, output: Path, watch: chaos.Watch | None = None) -> Told:
        """Begin the job, or go on with it."""
        return chaos.run(self.head, *self.job, "--output", str(output), watch=watch)

    def kill_drivers(self, output: Path, kills: int) -> list[Told]:
        """So many runs that are killed, and one that is left alone."""
        told = []
        for tasks, delay in chaos.moments(self.undisturbed, kills, seed=6):
            told.append(self.run(output, chaos.kill_driver(tasks, delay)))
            assert told[-1].code == -signal.SIGKILL, told[-1].words
        told.append(self.run(output))
        assert told[-1].code == 0, told[-1].words
        return told

    def kill_workers(self, output: Path, kills: int) -> list[str]:
        """One run; which processes were killed."""
        killer = WorkerKiller(self.head, chaos.moments(self.undisturbed, kills, seed=7), seed=8)
        told = self.run(output, killer)
        assert told.code == 0, told.words
        assert len(killer.killed) == kills
        return killer.killed


def lose_a_node(place: Chaos, output: Path) -> None:
    """One of two nodes is taken away at a random moment; the same run goes on."""
    ((tasks, _),) = chaos.moments(place.undisturbed, 1, seed=9)
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_raylet_start_wait_time_s": "240",
    }
    child = subprocess.run(
        [
            *(sys.executable, "-m", "tests.support.lost_node"),
            *(str(place.whole / "job.yaml"), str(output), str(tasks)),
        ],
        cwd=chaos.ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    told = json.loads(child.stdout.splitlines()[-1])
    assert told["lost"]
    assert told["embedded"] == place.undisturbed.embedded
    assert_same(place, output)


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with (
        tempfile.TemporaryDirectory(prefix="tamis-") as folder,
        ray_head(Path(folder), dashboard_too=False) as found,
    ):
        yield found


def begun(head: RayHead, job: tuple[str, ...], folder: Path) -> Chaos:
    undisturbed = chaos.run(head, *job, "--output", str(folder / "whole"))
    assert undisturbed.code == 0, undisturbed.words
    return Chaos(head, job, folder / "whole", undisturbed)


@pytest.fixture(scope="module")
def short(head: RayHead, clipart_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    folder = tmp_path_factory.mktemp("chaos")
    job = folder / "job.yaml"
    job.write_text(SHORT.format(folder=clipart_example, part=PART))
    return begun(head, (str(job),), folder)


@pytest.fixture(scope="module")
def full(head: RayHead, openclipart: Path, tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    """Every step of the preset, over all 7,396 pairs."""
    settings = ("--input", f"{openclipart}/*.tar", "--set", f"part_samples={PART}")
    return begun(head, ("demo", *settings), tmp_path_factory.mktemp("full"))


def assert_same(place: Chaos, output: Path) -> None:
    assert chaos.result(output) == chaos.result(place.whole)


def assert_frugal(place: Chaos, told: list[Told]) -> None:
    """At most 1.5 times the samples of an undisturbed run were embedded."""
    written = sum(one.embedded for one in told)
    killed = sum(one.is_embedding for one in told[:-1])
    # What a kill throws away is never told: each worker may have had all that is alive in the fullest part.
    spent = written + killed * WORKERS * place.undisturbed.fullest
    wanted = place.undisturbed.embedded
    sys.stdout.write(
        f"{len(told) - 1} kills, {killed} while embedding: {written:,} embeddings written, "
        f"at most {spent:,} computed, {wanted:,} wanted\n"
    )
    assert wanted > 0
    assert spent <= 1.5 * wanted


@pytest.mark.slow
@pytest.mark.long
def test_the_driver_is_killed(short: Chaos, tmp_path: Path) -> None:
    told = short.kill_drivers(tmp_path / "run", 2)
    assert_same(short, tmp_path / "run")
    assert sum(one.embedded for one in told) <= 1.5 * short.undisturbed.embedded


@pytest.mark.long
def test_workers_are_killed(short: Chaos, tmp_path: Path) -> None:
    short.kill_workers(tmp_path / "run", 3)
    assert_same(short, tmp_path / "run")


@pytest.mark.long
def test_a_node_is_lost(short: Chaos, tmp_path: Path) -> None:
    lose_a_node(short, tmp_path / "run")


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_the_driver_is_killed_twenty_times_over_all_of_the_clip_art(
    full: Chaos, tmp_path: Path
) -> None:
    told = full.kill_drivers(tmp_path / "run", 20)
    assert_same(full, tmp_path / "run")
    assert_frugal(full, told)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_twenty_workers_are_killed_over_all_of_the_clip_art(full: Chaos, tmp_path: Path) -> None:
    sys.stdout.write(f"killed: {full.kill_workers(tmp_path / 'run', 20)}\n")
    assert_same(full, tmp_path / "run")


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_node_is_lost_over_all_of_the_clip_art(full: Chaos, tmp_path: Path) -> None:
    lose_a_node(full, tmp_path / "run")
