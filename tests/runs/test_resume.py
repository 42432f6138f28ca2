"""To resume is to run again: what stands is found, what is damaged or half made is made again, and nothing else is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tamis.pipeline.runs import plan
from tamis.pipeline.runs import walk as run
from tamis.schemas.errors import StateError
from tamis.schemas.events import Event, Notice, PhaseStarted
from tests.conftest import ROOT
from tests.support.executors import Never
from tests.support.running import (
    Sample,
    contents,
    ledger,
    make_plan,
    picture,
    read_tar,
    run_here,
    write_tar,
)
from tests.support.tables import INDEX, plan_parts, small_bundles

STEPS = """
  - signals: [words, entropy]
  - rules: {words: {min: WORDS}}
  - exact_duplicates
  - write: {samples_per_shard: 40}"""
BUNDLE = 4
RESULT = ("ledger", "ledger_index", "shards", "subset.npy", "manifest.json")


def job(folder: Path, words: float = 4, output: str = "run", **more: Any) -> plan.Plan:
    """Nine parts, three of each tar; three bundles, the last of one part."""
    steps = more.pop("steps", STEPS).replace("WORDS", str(words))
    settings = {"part_samples": 15, **more}
    return make_plan(folder / output, folder / "in" / "*.tar", steps, **settings)


@pytest.fixture(scope="module", autouse=True)
def several_bundles() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small_bundles(patch, BUNDLE)
        yield


@pytest.fixture(scope="module")
def finished(clipart_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three tars and a finished run over them; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("finished")
    samples = read_tar(clipart_example / "00000.tar")[:110]
    samples += [Sample(f"copy-{s.key}", s.image, s.text, s.fields) for s in samples[:10]]
    for number in range(3):
        write_tar(folder / f"in/{number}.tar", samples[number::3])
    run_here(job(folder))
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy; the inputs keep their times, by which they are known."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def result(run_directory: Path) -> dict[str, bytes]:
    found = contents(run_directory)
    return {name: data for name, data in found.items() if name.partition("/")[0] in RESULT}


def everything(folder: Path) -> dict[str, bytes]:
    """All files of the run but the job, which says where the input lies."""
    found = contents(folder / "run")
    del found["job.yaml"]
    return found


def phases_run(made: plan.Plan) -> dict[str, int]:
    """step/phase -> tasks that had to be done."""
    events: list[Event] = []
    run_here(made, [events.append])
    return {f"{e.step}/{e.phase}": e.tasks for e in events if isinstance(e, PhaseStarted)}


# The same again, and other settings.


def test_another_threshold_reruns_only_what_stands_below(folder: Path) -> None:
    ran = phases_run(job(folder, words=7))
    assert {name.partition("/")[0] for name in ran} == {
        "rules",
        "exact_duplicates",
        "write",
        "ledger",
    }
    assert ran["rules/verdict"] == 3
    run_here(job(folder, words=7, output="fresh"))
    assert contents(folder / "run" / "tables") == contents(folder / "fresh" / "tables")
    assert result(folder / "run") == result(folder / "fresh")


def test_a_threshold_that_changes_no_verdict_reruns_no_more_than_it(folder: Path) -> None:
    before = result(folder / "run")
    looser = STEPS.replace("min: WORDS", "min: 4, max: 1000")
    assert phases_run(job(folder, steps=looser)) == {"rules/verdict": 3}
    after = result(folder / "run")
    del before["manifest.json"], after["manifest.json"]  # which quotes the job
    assert after == before


def test_what_no_task_asks_for_any_more_is_removed(folder: Path) -> None:
    assert len(list((folder / "run/shards").glob("*.tar"))) == 3
    larger = STEPS.replace("samples_per_shard: 40", "samples_per_shard: 1000")
    run_here(job(folder, steps=larger))
    assert [path.name for path in (folder / "run/shards").glob("*.tar")] == ["00000.tar"]
    run_here(job(folder, steps=larger, output="fresh"))
    assert contents(folder / "run" / "tables") == contents(folder / "fresh" / "tables")
    assert result(folder / "run") == result(folder / "fresh")


# Damage.


def flip(path: Path) -> None:
    """Change a bit near the end of the first column."""
    column = pq.read_metadata(path).row_group(0).column(0)
    raw = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    raw[start + column.total_compressed_size - 2] ^= 0x10
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("table", "read_by"),
    [
        ("ingest/files/file-00001", "ledger/rows"),
        ("ingest/files/file-00002", "exact_duplicates/keys"),
        ("signals/values/part-00004", "rules/verdict"),
        ("rules/verdict/bundle-00001", "ledger/rows"),
        ("exact_duplicates/groups/bucket-00000", "exact_duplicates/verdict"),
        ("write/kept/bundle-00000", "write/shards"),
    ],
)
def test_a_flipped_byte_is_noticed_when_it_is_read_and_the_table_made_again(
    table: str, read_by: str, folder: Path
) -> None:
    before = everything(folder)
    flip(folder / "run/tables" / f"{table}.parquet")
    shutil.rmtree(folder / "run/tables" / read_by)
    events: list[Event] = []
    run_here(job(folder), [events.append])
    damaged = [
        event.text for event in events if isinstance(event, Notice) and "damaged" in event.text
    ]
    assert damaged == [f"tables/{table}.parquet is damaged: it is made again"]
    assert everything(folder) == before


@pytest.mark.parametrize("change", ["garbage", "bit", "cut", "empty", "another's"])
def test_a_damaged_index_is_not_believed(change: str, folder: Path) -> None:
    index = folder / "run/tables/signals/values/_index.parquet"
    sound = index.read_bytes()
    if change == "bit":
        flip(index)
    else:
        index.write_bytes(
            {
                "garbage": b"\xff" * len(sound),
                "cut": sound[:-9],
                "empty": b"",
                "another's": (folder / "run/tables/rules/verdict/_index.parquet").read_bytes(),
            }[change]
        )
    assert index.read_bytes() != sound
    made = job(folder)
    assert run.run(made, executor=Never(made.root)).tasks_run == 0
    assert index.read_bytes() == sound


def test_a_damaged_list_of_parts_is_an_error_that_says_so(folder: Path) -> None:
    (folder / "run/plan.json").write_text('{"job": "te')
    with pytest.raises(StateError, match=r"plan.json is damaged .*: restore it, or give another"):
        run_here(job(folder))


@pytest.mark.parametrize(
    ("path", "cut"),
    [
        ("ledger/bundle-00001.parquet", None),
        ("ledger_index/00000.parquet", 10),
        ("shards/00001.tar", 1000),
        ("shards/00002.parquet", None),
        ("subset.npy", 0),
    ],
)
def test_a_result_file_that_is_gone_or_cut_is_made_again(
    path: str, cut: int | None, folder: Path
) -> None:
    before = everything(folder)
    if cut is None:
        (folder / "run" / path).unlink()
    else:
        os.truncate(folder / "run" / path, cut)
    assert run_here(job(folder)).tasks_run == 1
    assert everything(folder) == before


# Kills. A process that is killed can tidy nothing up.

KILLED = """
import os, signal, sys
from pathlib import Path
import dataclasses
from tamis.pipeline.runs import walk as run
from tamis.pipeline.tasks.perform import Here
from tamis.pipeline.tasks import parts
from tests.runs.test_resume import BUNDLE, job

parts.BUNDLE = BUNDLE

left = int(sys.argv[2])

def until_killed(function):
    def work(io):
        for table in function(io):
            yield table
            os.kill(os.getpid(), signal.SIGKILL)  # the first row group is written, the file not closed
    return work

class Mortal(Here):
    def run(self, phase, works):
        global left
        for work in works:
            left -= 1
            dying = phase if left else dataclasses.replace(phase, function=until_killed(phase.function))
            yield from super().run(dying, [work])

made = job(Path(sys.argv[1]), words=float(sys.argv[3]))
run.run(made, executor=Mortal(made.root))
"""


def run_until_killed(folder: Path, task: int, words: float = 4) -> None:
    """A process of its own that dies in the middle of its ``task``-th table."""
    command = [sys.executable, "-c", KILLED, str(folder), str(task), str(words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_killed_anywhere_the_next_run_goes_on(folder: Path) -> None:
    before = everything(folder)
    shutil.rmtree(folder / "run")
    for task in (2, 14, 20):  # in ingest, signals, write
        run_until_killed(folder, task)
        assert list((folder / "run").rglob(".*.partial"))
    stood = sum(path.name != INDEX for path in (folder / "run/tables").rglob("*.parquet"))
    tables = [name for name in before if name.startswith("tables/") and name.endswith(".parquet")]
    wanted = sum(not name.endswith(INDEX) for name in tables)
    assert 0 < stood < wanted
    assert run_here(job(folder)).tasks_run == wanted - stood
    assert everything(folder) == before


def test_an_index_does_not_outlive_a_kill_in_its_phase(folder: Path) -> None:
    before = everything(folder)
    index = folder / "run/tables/rules/verdict/_index.parquet"
    assert index.exists()
    run_until_killed(folder, 2, words=7)
    assert not index.exists()  # one of its bundles is another threshold's now, and one is half made
    assert [path.name for path in index.parent.glob(".*.partial")]
    run_here(job(folder))
    assert everything(folder) == before


# The directory and its inputs.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "other"}, "belongs to the job `test`, not `other`: give another `output:`"),
        ({"part_samples": 16}, "was made with part_samples 15, not 16: keep that number"),
    ],
)
def test_another_jobs_directory_is_refused(
    changes: dict[str, Any], message: str, folder: Path
) -> None:
    before = everything(folder)
    with pytest.raises(StateError, match=message):
        run_here(job(folder, **changes))
    assert everything(folder) == before


def other_caption(tar: Path) -> None:
    """A caption's bytes exchanged for as many others, which is no damage to a tar."""
    sample = read_tar(tar)[3]
    raw = tar.read_bytes()
    assert raw.count(sample.text.encode()) == 1 or len(sample.text) > 3
    other = ("zz " * len(sample.text))[: len(sample.text)].strip().ljust(len(sample.text), "z")
    position = raw.index(sample.text.encode())
    tar.write_bytes(raw[:position] + other.encode() + raw[position + len(other) :])


def test_a_changed_input_is_named_and_recomputed_on_request(folder: Path) -> None:
    tar = folder / "in/1.tar"
    size = tar.stat().st_size
    other_caption(tar)
    assert tar.stat().st_size == size
    with pytest.raises(StateError, match=r"input/1.tar: has changed .* --accept-changed"):
        run_here(job(folder))
    ran = phases_run(job(folder, accept_changed=True))
    assert ran["ingest/files"] == 1
    assert ran["signals/values"] == 1  # of the one part that came out otherwise
    run_here(job(folder, output="fresh"))
    assert result(folder / "run") == result(folder / "fresh")


def test_a_changed_input_with_more_samples_is_refused(folder: Path) -> None:
    tar = folder / "in/1.tar"
    write_tar(tar, [*read_tar(tar), Sample("more", picture(1), "one more caption", {})])
    with pytest.raises(StateError, match=r"input/1.tar: now has 41 samples, its parts have 40"):
        run_here(job(folder, accept_changed=True))


def test_an_input_that_is_gone_is_named(folder: Path) -> None:
    (folder / "in/1.tar").unlink()
    with pytest.raises(StateError, match=r"input/1.tar: was an input of .* and is no longer"):
        run_here(job(folder))


def test_a_new_input_leaves_the_old_parts_as_they_are(folder: Path) -> None:
    """Whatever its name: its parts get the next numbers."""
    old = {row["uid"]: row["sid"] for row in ledger(folder / "run")}
    extra = [Sample(f"new-{i}", picture(i), "a caption of five words", {}) for i in range(20)]
    write_tar(folder / "in/00-first.tar", extra)
    ran = phases_run(job(folder))
    assert ran["ingest/files"] == 1
    assert ran["signals/values"] == 2
    assert ran["rules/verdict"] == 1  # the last bundle, which had room
    rows = ledger(folder / "run")
    assert {row["uid"]: row["sid"] for row in rows if row["uid"] in old} == old
    assert [row["sid"] >> 32 for row in rows if row["uid"] not in old] == [9] * 15 + [10] * 5
    parts = plan_parts(folder / "run")
    assert len(parts) == 11
