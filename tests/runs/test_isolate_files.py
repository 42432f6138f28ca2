"""A file, or a row group of one, that ends whoever reads it before a sample is opened: its rows are the ledger's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.runs import executors
from tamis.pipeline.runs import walk as run
from tamis.pipeline.tasks.perform import Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.schemas.errors import WorkerError
from tamis.schemas.events import Event, Notice
from tamis.schemas.resources import Resources
from tests.support.fragile import FragileHere, FragileWorkers, hashes
from tests.support.running import Sample, contents, ledger, make_plan, picture, run_here, write_tar

KILLED = "killed_its_worker"
STEPS = "  - signals: [words]\n  - rules: {words: {min: 1}}\n  - write: {samples_per_shard: 10}"
GROUP, ROWS = 6, 24


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two parquet files of four row groups each, a tar; and a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "in").mkdir()
    for number in range(2):
        images = [picture(1000 * number + i) for i in range(ROWS)]
        table = pa.table(
            {
                "text": [f"caption {number} {i}" for i in range(ROWS)],
                "image": images,
                "key": [f"{number}-{i}" for i in range(ROWS)],
            }
        )
        pq.write_table(table, folder / f"in/{number}.parquet", row_group_size=GROUP)
    write_tar(
        folder / "in/2.tar", [Sample(f"t{i}", picture(i * 9), "two words", {}) for i in range(3)]
    )
    run_here(plan(folder, folder / "whole"))
    return folder


def plan(folder: Path, output: Path) -> Any:
    entries = [{"path": str(folder / "in/*.parquet"), "name": "a"}]
    entries.append({"path": str(folder / "in/*.tar"), "name": "b"})
    return make_plan(output, "", STEPS, input=entries, part_samples=10)


def test_row_groups_a_file_and_a_picture_of_other_files(place: Path, tmp_path: Path) -> None:
    """For want of memory, in this process: every other sample is as it was."""
    (image,) = hashes(place / "whole", ["0-14"])
    deadly = {"files": ["0.parquet 1", "0.parquet 3", image, "1.parquet"]}
    told: list[Event] = []
    here = plan(place, tmp_path / "here")
    run.run(here, [told.append], executor=FragileHere(here.root, deadly))
    before = {row["key"]: row for row in ledger(place / "whole")}
    rows = ledger(tmp_path / "here")
    killed = [row for row in rows if row["reason"] == KILLED]
    lost = [*range(6, 12), *range(18, 24)]
    assert [row["key"] for row in killed] == [*map(str, lost[:6]), "0-14", *map(str, lost[6:]), "0"]
    assert [row["message"] for row in killed if row["key"] in {"6", "0", "0-14"}] == [
        "row group 1: reading it ends the worker process",
        "decoding the picture ends the worker process",
        "the file: reading it ends the worker process",
    ]
    kept = [row for row in rows if row["kept"]]
    assert [row["key"] for row in kept] == [
        key
        for key in before
        if key.startswith(("0-", "t")) and key != "0-14" and place_of(key) not in lost
    ]
    for row in kept:
        assert all(row[name] == before[row["key"]][name] for name in ("uid", "text", "words"))
    texts = [event.text for event in told if isinstance(event, Notice)]
    assert any("2 of 4 sections of its file (1, 3)" in text for text in texts), texts
    assert any("is one row of the ledger" in text for text in texts), texts


def place_of(key: str) -> int:
    return int(key[2:]) if key.startswith("0-") else -1


def test_a_machine_on_which_nothing_can_be_read_blames_no_file(place: Path, tmp_path: Path) -> None:
    made = plan(place, tmp_path)

    class Starved(FragileHere):
        def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
            return iter([Outcome(work.name, 0.0, died=True) for work in works])

    with pytest.raises(WorkerError, match="before it opened a single sample"):
        run.run(made, executor=Starved(made.root, {}))


@pytest.mark.slow
def test_a_crash_of_workers_ends_in_the_same_bytes(place: Path, tmp_path: Path) -> None:
    deadly = {"files": ["0.parquet 1", "1.parquet"]}
    here, workers = (plan(place, tmp_path / name) for name in ("here", "workers"))
    run.run(here, executor=FragileHere(here.root, deadly))
    engine = FragileWorkers(workers.root, Resources(cpus=2), (), *executors.imported(workers))
    engine.deadly = deadly
    run.run(workers, executor=engine)
    for name in ("ledger", "shards", "tables/ingest"):
        assert contents(tmp_path / "workers" / name) == contents(tmp_path / "here" / name)
