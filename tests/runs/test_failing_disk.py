"""A disk that fails is no damage: no row is dropped for it, no table is lost to it, and the same command goes on.

Each call that a run makes of the disk is made to fail once: some of them here, one from every place in the long test.
"""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.runs.plan import Plan
from tamis.schemas.errors import TamisError
from tamis.schemas.events import Event, Notice
from tests.support.faulty import Disk, NewPlaces, faulty
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

NUMBERS = (
    errno.EIO,
    errno.EMFILE,
    errno.EACCES,
    errno.ESTALE,
    errno.ENFILE,
    errno.ETIMEDOUT,
    errno.ENOMEM,
)
TRIED, PLACES = 25, 100
RESULT = ("ledger/", "ledger_index/", "shards/", "subset.npy", "manifest.json", "tables/")
STEPS = """
  - signals: [words, entropy, score]
  - rules: {words: {min: WORDS}, score: {min: 1, missing: keep}}
  - exact_duplicates
  - write: {samples_per_shard: 6}"""


def job(folder: Path, words: int = 2, output: str = "run") -> Plan:
    inputs = [
        {"name": "tars", "path": f"{folder}/in/*.tar"},
        {"name": "tables", "path": f"{folder}/in/*.parquet"},
    ]
    steps = STEPS.replace("WORDS", str(words))
    return make_plan(folder / output, "", steps, input=inputs, part_samples=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tar of two parts and a parquet file of one, since each call of a run is a run of its own here; and finished
    runs over them at two thresholds."""
    made = tmp_path_factory.mktemp("disk")
    samples = [Sample(f"k{i}", picture(i // 2), "word " * (i % 5), {"score": i}) for i in range(8)]
    write_tar(made / "in/0.tar", samples)
    table = pa.table(
        {
            "image": [picture(7000 + i) for i in range(5)],
            "text": ["word " * (i % 5) for i in range(5)],
            "score": list(range(5)),
        }
    )
    pq.write_table(table, made / "in/0.parquet", row_group_size=3)
    for words in (2, 3):
        run_here(job(made, words, f"sound-{words}"))
    return made


def result(root: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(root).items() if name.startswith(RESULT)}


@pytest.mark.slow
@pytest.mark.parametrize("words", [2, 3])
def test_a_failure_stops_the_run_and_nothing_else(folder: Path, words: int) -> None:
    fail_each(folder, words, lambda calls: sorted(random.Random(7).sample(range(calls), TRIED)))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("words", [2, 3])
def test_a_failure_at_every_place_stops_the_run_and_nothing_else(folder: Path, words: int) -> None:
    """The run is begun again and again: each time the first call from a place that has not failed yet does."""
    plan, known, tries = beginning(folder, words)(), set[tuple[str, ...]](), 0
    while True:
        number = NUMBERS[tries % len(NUMBERS)]
        disk = NewPlaces(number=number, known=known)
        told(plan, disk, f"try {tries}, {errno.errorcode[number]}")
        if not disk.has_failed:
            break
        plan, tries = job(folder, words, "start"), tries + 1
    assert tries > PLACES
    assert_sound(folder, words, f"{tries} tries")


def fail_each(folder: Path, words: int, chosen: Callable[[int], list[int]]) -> None:
    begin = beginning(folder, words)
    with faulty(Disk()) as disk:
        run_here(begin())
    for failing in chosen(len(disk.calls)):
        number = NUMBERS[failing % len(NUMBERS)]
        where = f"{disk.calls[failing]}, call {failing}, {errno.errorcode[number]}"
        told(begin(), Disk(failing, number), where)
        told(job(folder, words, "start"), Disk(), where)
        assert_sound(folder, words, where)


def beginning(folder: Path, words: int) -> Callable[[], Plan]:
    """With two words the run begins with nothing, with three it goes on from one that is finished."""

    def begin() -> Plan:
        shutil.rmtree(folder / "start", ignore_errors=True)
        if words == 3:
            shutil.copytree(folder / "sound-2", folder / "start")
        return job(folder, words, "start")

    return begin


def told(plan: Plan, disk: Disk, where: str) -> str:
    """Run it on such a disk: the line that the run ends with; nothing where it ends well."""
    events, said = list[Event](), ""
    try:
        with faulty(disk):
            run_here(plan, [events.append])
    except TamisError as error:
        said = str(error)
    except Exception as error:
        raise AssertionError(f"{where}: {error!r}") from error
    assert "\n" not in said, where
    assert [event.text for event in events if isinstance(event, Notice)] == [], where
    return said


def assert_sound(folder: Path, words: int, where: str) -> None:
    """What the run has made is what it makes on a sound disk, and nothing else lies there."""
    assert result(folder / "start") == result(folder / f"sound-{words}"), where
    assert not list((folder / "start").rglob(".*.partial")), where
