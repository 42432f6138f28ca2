"""A uid that the input gives to several samples names one of them; each of the others is a row that says so."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tamis.jobs.cli.app import main
from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.compare.diff import diff
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.reading.funnel import funnel
from tamis.pipeline.audit.story.story import fate, pictured, stories
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.steps import ingest
from tamis.schemas.events import Event, PhaseStarted
from tests.support.running import (
    Sample,
    contents,
    ledger,
    make_plan,
    picture,
    run_here,
    subset_uids,
    write_tar,
)
from tests.support.tables import small_bundles

STEPS = """
  - signals: [words]
  - near_duplicates: {jaccard: 1.0, agree: none}
  - write
"""
UIDS = [f"{number:032x}" for number in (7, 2**64, 2**127, 2**128 - 1)]

Given = tuple[int | None, bool]
"""Which of UIDS the input gives to a sample, if any, and whether it has a caption."""

FILES = st.lists(
    st.lists(st.tuples(st.none() | st.integers(0, 3), st.booleans()), min_size=1, max_size=9),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module", autouse=True)
def several_bundles() -> Iterator[None]:
    """Of two parts each, in all runs here."""
    with pytest.MonkeyPatch.context() as patch:
        small_bundles(patch, 2)
        yield


def write_files(folder: Path, files: Sequence[Sequence[Given]]) -> None:
    """A parquet file each, without pictures; nearly all captions are words of their own."""
    folder.mkdir()
    for number, rows in enumerate(files):
        texts = [f"caption {number} {i}" if usable else None for i, (_, usable) in enumerate(rows)]
        uids = [None if which is None else UIDS[which] for which, _ in rows]
        table = pa.table({"uid": pa.array(uids, pa.string()), "text": pa.array(texts, pa.string())})
        pq.write_table(table, folder / f"{number}.parquet")


def by_hand(files: Sequence[Sequence[Given]]) -> list[tuple[int, int] | None]:
    """Of every sample, in order: the (file, row) of who stays in its place; None where nobody does."""
    carriers: dict[int, list[tuple[int, int]]] = {}
    for number, rows in enumerate(files):
        for row, (which, _) in enumerate(rows):
            if which is not None:
                carriers.setdefault(which, []).append((number, row))
    stays = {}
    for which, places in carriers.items():
        usable = [(number, row) for number, row in places if files[number][row][1]]
        stays[which] = (usable or places)[0]
    return [
        None if which is None or stays[which] == (number, row) else stays[which]
        for number, rows in enumerate(files)
        for row, (which, _) in enumerate(rows)
    ]


@given(FILES)
def test_who_gives_way_is_who_does_by_hand(files: list[list[Given]]) -> None:
    rows = [(number << 32 | i, *one) for number, f in enumerate(files) for i, one in enumerate(f)]
    uid = np.array(
        [(sid, 9) if which is None else (which % 2, which // 2) for sid, which, _ in rows],
        np.uint64,
    ).reshape(-1, 2)
    sid, usable = np.array([r[0] for r in rows]), np.array([r[2] for r in rows])
    mixed = np.random.default_rng(len(rows)).permutation(len(rows))
    found = ingest.repeated_uids(uid[mixed], sid[mixed], usable[mixed])
    expected = {
        int(one): stays[0] << 32 | stays[1]
        for one, stays in zip(sid, by_hand(files), strict=True)
        if stays is not None
    }
    assert dict(zip(*(column.tolist() for column in found), strict=True)) == expected


def test_nobody_gives_way_in_an_empty_bucket() -> None:
    found = ingest.repeated_uids(
        np.empty((0, 2), np.uint64), np.empty(0, np.int64), np.empty(0, bool)
    )
    assert [len(column) for column in found] == [0, 0]


@pytest.mark.slow
@settings(max_examples=settings().max_examples // 3)  # each is two runs, and an audit
@given(FILES)
def test_each_repeated_uid_is_a_row_and_one_of_each_stays(files: list[list[Given]]) -> None:
    assume(any(usable for file in files for _, usable in file))  # else ingest ends the run
    folder = Path(tempfile.mkdtemp())
    try:
        write_files(folder / "in", files)
        run_here(make_plan(folder / "one", folder / "in/*.parquet", STEPS, part_samples=4))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ingest, "buckets_for", lambda _: 5)
            pattern = folder / "in/*.parquet"
            run_here(make_plan(folder / "many", pattern, STEPS, part_samples=4, range_samples=6))
        assert contents(folder / "one/ledger") == contents(folder / "many/ledger")
        assert (folder / "one/subset.npy").read_bytes() == (folder / "many/subset.npy").read_bytes()
        assert_as_by_hand(folder / "one", files)
    finally:
        shutil.rmtree(folder)


def assert_as_by_hand(output: Path, files: Sequence[Sequence[Given]]) -> None:
    run = open_run(str(output))
    rows, expected = ledger(output), by_hand(files)
    usable = [usable for file in files for _, usable in file]
    for row, stays, good in zip(rows, expected, usable, strict=True):
        if stays is None:
            assert row["reason"] == (None if good else "missing_caption")
            continue
        said = f"the uid names sample {stays[1]} of input/{stays[0]}.parquet (counted from 0)"
        if not good:
            said += "; nor can this one be used, missing_caption: "
        assert (row["step"], row["reason"]) == ("ingest", "repeated_uid")
        assert row["message"].startswith(said)
    dropped = Counter(row["reason"] for row in rows if row["reason"])
    assert {reason: n for reason, n in funnel(run).steps[0].dropped.items() if n} == dropped
    kept = [row["uid"] for row in rows if row["kept"]]
    assert len(set(kept)) == len(kept)
    good_uids = {row["uid"] for row, good in zip(rows, usable, strict=True) if good}
    assert set(kept) == good_uids
    assert subset_uids(output) == sorted(kept)
    assert list(verify(run, Seen(), deep=True)) == []
    assert diff(run, run).moves == []


UID = UIDS[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three samples of two tars have one uid, and the first of them has no caption; two runs, over one tar and both."""
    folder = tmp_path_factory.mktemp("repeated")

    def sample(key: str, **fields: str) -> Sample:
        return Sample(key, picture(int(key)), f"caption {key}", fields)

    empty = Sample("1", picture(1), "", {"uid": UID})
    write_tar(folder / "in/0.tar", [empty, sample("2"), sample("3", uid=UID)])
    write_tar(folder / "in/1.tar", [sample("4"), sample("5", uid=UID), sample("6")])
    for name, pattern in (("one", "0.tar"), ("run", "*.tar")):
        run_here(make_plan(folder / name, folder / "in" / pattern, STEPS, part_samples=2))
    return folder


def test_explain_lists_all_and_what_gave_way_names_the_other(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = open_run(str(made / "run"))
    found, told = stories(run, UID, 5)
    assert found == 3
    assert [(story["key"], story["kept"]) for story in told] == [
        ("1", False),
        ("3", True),
        ("5", False),
    ]
    for story in (told[0], told[2]):
        (step,) = [step for step in story["steps"] if step["outcome"] == "dropped"]
        assert step["survivor"] == {"uid": UID, **fate(run, UID)}
        assert step["survivor"]["key"] == "3"
        assert "the uid names sample 2 of input/0.tar" in " ".join(
            in_words(story)["steps"][0]["lines"]
        )
        assert [other["key"] for other in pictured(run, story)] == [story["key"], "3"]
    assert "nor can this one be used, empty_caption: " in told[0]["steps"][0]["message"]

    for name, said in ((UID.upper(), 3), ("5", 1)):
        with pytest.raises(SystemExit) as ended:
            main(["explain", str(made / "run"), name])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert shown.count("dropped by ingest: repeated_uid") == (2 if said == 3 else 1)
    assert "survivor 3 in input/0.tar, kept" in shown


def test_the_browser_tells_each_by_its_address(made: Path) -> None:
    browser = Browser(open_run(str(made / "run")), in_words)
    several = browser.story(UID)["samples"]
    assert [browser.story_at(int(one["sid"]))["samples"] for one in several] == [
        [o] for o in several
    ]


def test_a_new_shard_that_repeats_an_old_uid(made: Path, tmp_path: Path) -> None:
    """The old sample stays, the verdict on its bundle stands, and the end is that of a run over both."""
    shutil.copytree(made / "one", tmp_path / "run")
    started: list[Event] = []
    run_here(
        make_plan(tmp_path / "run", made / "in/*.tar", STEPS, part_samples=2), [started.append]
    )
    tasks = {
        (e.step, e.phase): e.tasks
        for e in started
        if isinstance(e, PhaseStarted) and e.step == "ingest"
    }
    assert tasks["ingest", "files"] == 1
    assert tasks["ingest", "verdict"] == 1  # the bundle of the new file's two parts
    assert contents(tmp_path / "run/ledger") == contents(made / "run/ledger")
    assert list(verify(open_run(str(tmp_path / "run")), Seen(), deep=True)) == []


def test_without_a_repeat_there_is_no_such_phase(tmp_path: Path) -> None:
    write_files(tmp_path / "in", [[(0, True), (None, False)], [(1, True)]])
    started: list[Event] = []
    run_here(make_plan(tmp_path / "run", tmp_path / "in/*.parquet", STEPS), [started.append])
    phases = [e.phase for e in started if isinstance(e, PhaseStarted) and e.step == "ingest"]
    assert phases == ["files", "uids", "unique", "verdict"]


def test_diff_counts_each_of_them_once(made: Path) -> None:
    found = diff(open_run(str(made / "one")), open_run(str(made / "run")), 100)
    moves: dict[Any, int] = {(was, now): n for was, now, n in found.moves}
    assert moves == {(None, "kept"): 2, (None, "ingest: repeated_uid"): 1}
    assert sorted(row["key"] for row in found.samples) == ["4", "5", "6"]


def test_the_reason_can_be_asked_for(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["audit", str(made / "run"), "--sample", "repeated_uid", "--json"])
    assert len(re.findall(UID, json.dumps(json.loads(capsys.readouterr().out)))) == 2
