"""A format that a test brings along, by the recipe in CONTRIBUTING.md: all that a job does, it does with it too."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.reading.pictures import Pictures
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.audit.story.page import story_page
from tamis.pipeline.audit.story.story import stories
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.planning import trial
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.formats import FORMATS
from tests.support import toy_format
from tests.support.running import Sample, ledger, make_plan, picture, run_here

STEPS = """
  - signals: [words, min_side, blur, stars]
  - rules: {words: {min: 2}, stars: {max: 20}}
  - exact_duplicates: {on: image}
  - near_duplicates: {jaccard: 0.9, agree: phash}
  - write: {samples_per_shard: 10}"""


def samples() -> Iterator[Sample]:
    """Of thirty, one caption has one word, one picture is another's, nine have too many stars."""
    for i in range(30):
        text = (
            "word"
            if i == 4
            else " ".join(str((i + 1) * prime) for prime in (7919, 104729, 15485863))
        )
        image = picture(0x070503 * (3 if i == 5 else i), 11 if i == 5 else 8 + i)
        yield Sample(f"k{i:02d}", image, text, {"stars": i})


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    """Two files, in one of which a line ends early."""
    folder = tmp_path_factory.mktemp("new")
    everything = list(samples())
    (folder / "in").mkdir()
    toy_format.write(folder / "in" / "0.b64", everything[:15])
    toy_format.write(folder / "in" / "1.b64", everything[15:])
    with (folder / "in" / "1.b64").open("a") as file:
        file.write('{"key": "cut", "ima')
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FORMATS, toy_format.NAME, toy_format.ADDRESS)
        yield make_plan(folder / "run", folder / "in" / "*.b64", STEPS, part_samples=4)


@pytest.fixture(scope="module")
def run(plan: Plan) -> FinishedRun:
    run_here(plan)
    return open_run(plan.root)


def test_a_job_keeps_drops_and_accounts_for_every_line(run: FinishedRun) -> None:
    rows = {row["key"]: row for row in ledger(Path(run.root))}
    assert len(rows) == 31
    assert {key: row["reason"] for key, row in rows.items() if not row["kept"]} == {
        "k04": "below_minimum",
        "k03": "same_image",  # k05 has the same picture; uids decide
        **{f"k{i}": "above_maximum" for i in range(21, 30)},
        rows_of_the_cut_line(rows): "unreadable_row",
    }
    assert rows["k07"]["stars"] == 7.0
    assert rows["k07"]["min_side"] == 8
    assert list(verify(run, Seen(), deep=True)) == []


def rows_of_the_cut_line(rows: dict[str, dict[str, object]]) -> str:
    """Its key is its offset."""
    (key,) = (key for key in rows if not key.startswith("k"))
    return key


def test_the_original_bytes_are_written(run: FinishedRun) -> None:
    written = []
    for path in sorted((Path(run.root) / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                file = tar.extractfile(info)
                assert file is not None
                written += [file.read()] if info.name.endswith(".png") else []
    kept = [row["key"] for row in ledger(Path(run.root)) if row["kept"]]
    assert written == [sample.image for sample in samples() if sample.key in kept]


def test_a_plan_shows_and_measures_it(plan: Plan) -> None:
    (entry,) = preview(plan)["inputs"]
    assert (entry["format"], entry["files"], entry["columns"]) == ("base64", 2, {})
    tried = trial.measure(plan, 0.5, None, Here)
    assert tried.input_rows == pytest.approx(31, rel=0.1)


def test_a_sample_is_explained_with_its_line(run: FinishedRun) -> None:
    found, told = stories(run, "k17", 1)
    assert found == 1
    story = in_words(told[0])
    assert ("from", "input/1.b64, line 3") in story["facts"]
    assert b"data:image/webp;base64," in story_page(run, [story], found)


def test_a_report_shows_its_pictures(run: FinishedRun) -> None:
    assert b"data:image/webp;base64," in report(run)
    pictures = Pictures(run)
    assert len(pictures.encoded([row["sid"] for row in ledger(Path(run.root))])) == 30
    assert pictures.notes == []
