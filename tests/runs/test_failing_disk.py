"""A disk that fails is no damage: no row is dropped for it, no table is lost to it, and the same command goes on.

Each call that a run makes of the disk is made to fail once: some of them here, every third in the long test.
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
from tests.support.faulty import Disk, faulty
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
TRIED, STRIDE = 25, 3
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
    """Two tars and two parquet files, and finished runs over them at two thresholds."""
    made = tmp_path_factory.mktemp("disk")
    for number in range(2):
        samples = [
            Sample(f"k{number}{i}", picture(number * 99 + i // 2), "word " * (i % 5), {"score": i})
            for i in range(8)
        ]
        write_tar(made / f"in/{number}.tar", samples)
        table = pa.table(
            {
                "image": [picture(7000 + number * 99 + i) for i in range(8)],
                "text": ["word " * (i % 5) for i in range(8)],
                "score": list(range(8)),
            }
        )
        pq.write_table(table, made / f"in/{number}.parquet", row_group_size=3)
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
def test_many_a_failure_stops_the_run_and_nothing_else(folder: Path, words: int) -> None:
    fail_each(folder, words, lambda calls: list(range(words, calls, STRIDE)))


def fail_each(folder: Path, words: int, chosen: Callable[[int], list[int]]) -> None:
    """With two words the run begins with nothing, with three it goes on from one that is finished."""
    start, sound = folder / "start", result(folder / f"sound-{words}")

    def begin() -> Plan:
        shutil.rmtree(start, ignore_errors=True)
        if words == 3:
            shutil.copytree(folder / "sound-2", start)
        return job(folder, words, "start")

    with faulty(Disk()) as disk:
        run_here(begin())
    for failing in chosen(len(disk.calls)):
        number, events = NUMBERS[failing % len(NUMBERS)], list[Event]()
        plan = begin()
        where = f"{disk.calls[failing]}, call {failing}, {errno.errorcode[number]}"
        try:
            with faulty(Disk(failing, number)):
                run_here(plan, [events.append])
        except TamisError as error:
            said = str(error)
        except Exception as error:
            raise AssertionError(f"{where}: {error!r}") from error
        else:
            said = ""
        assert "\n" not in said, where
        run_here(plan, [events.append])
        assert [event.text for event in events if isinstance(event, Notice)] == [], where
        assert result(start) == sound, where
        assert not list(start.rglob(".*.partial")), where
