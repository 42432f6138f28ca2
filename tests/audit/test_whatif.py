"""Another decision over stored tables is the decision that a run with the same centroids makes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.cli.app import main
from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.again.frozen_job import job_of
from tamis.pipeline.audit.again.late_steps import Redecision, first_of
from tamis.pipeline.audit.again.whatif import Change, _both, whatif
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.runs import walk as run
from tamis.pipeline.runs.plan import make
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.parse import parse_job
from tests.support.embedded import blobs, write_input
from tests.support.running import ledger, make_plan, read_tar, run_here

STEPS = """
  - signals: [words, characters, width]
  - rules: {words: {min: 2}}
  - exact_duplicates: {on: url_text}
  - near_duplicates: {jaccard: 0.8, agree: none}
  - embed: {encoder: precomputed}
  - rules: {name: late, characters: {min: 12}}
  - semantic_duplicates: {clusters: 4, epsilon: 0.05}
  - density: {clusters: 8, neighbours: 3, keep: 0.4}
  - write: {format: parquet}
"""

WORDS = [
    "red",
    "blue",
    "green",
    "old",
    "new",
    "small",
    "large",
    "bird",
    "fish",
    "car",
    "house",
    "tree",
    "lamp",
    "road",
    "bridge",
    "cloud",
]

GRID = [
    "density.keep=0.2",
    "density.keep=0.7",
    "density.keep=31",
    "density.temperature=0.02",
    "density.temperature=1.0",
    "density.neighbours=2",
    "density.balance=0.5",
    "density.which=easy",
    "density.which=hard",
    "semantic_duplicates.epsilon=0.01",
    "semantic_duplicates.epsilon=0.2",
    "semantic_duplicates.which_to_keep=easy",
    "late.characters.min=20",
    "late.characters.min=5",
    "near_duplicates.jaccard=0.95",
    "rules.words.min=3",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over 400 samples with captions alike and embeddings in blobs, in parts of 64."""
    folder = tmp_path_factory.mktemp("whatif")
    random = np.random.default_rng(7)
    text = [" ".join(random.choice(WORDS, random.integers(1, 7))) for _ in range(400)]
    samples = blobs(
        [90, 80, 70, 60, 50, 50],
        [0.3, 0.5, 0.2, 0.6, 0.1, 0.4],
        seed=3,
        text=text,
        url=[f"https://example.org/{i % 350}" for i in range(400)],
        width=list(range(400)),
    )
    entry = write_input(folder / "input", samples, files=2)
    run_here(make_plan(folder / "run", "", STEPS, input=[entry], part_samples=64))
    return folder / "run"


def by_run(finished: Path, *settings: str) -> dict[str, dict[str, Any]]:
    """The ledger, by uid, of a run of its own with the settings and the finished run's centroids.

    All settings are run in one directory, so that each computes what stands below it.
    """
    output = finished.parent / "own"
    text = (finished / "job.yaml").read_text()
    borrowed = [
        f"{step}.centroids={finished}#{step}" for step in ("semantic_duplicates", "density")
    ]
    free = [f"{step}.clusters=auto" for step in ("semantic_duplicates", "density")]
    job = parse_job(text, "test", [*settings, f"output={output}", *borrowed, *free])
    plan = make(job)
    run.run(plan, executor=Here(plan.root))
    return {row["uid"]: row for row in ledger(output)}


def agree(finished: Path, *settings: str) -> Change:
    """What ``whatif`` says is what a run of its own does: the same samples, and the same account of what moves."""
    before = {row["uid"]: row for row in ledger(finished)}
    change = whatif(open_run(str(finished)), [*settings], len(before))
    told = {(sample["uid"], sample["side"]) for sample in change.samples}
    assert len(told) == len(change.samples) == change.came + change.went
    kept = {name for name, row in before.items() if row["kept"]}
    comes, goes = ({uid for uid, side in told if side == where} for where in ("comes", "goes"))
    assert goes <= kept
    assert comes.isdisjoint(kept)
    asked = kept - goes | comes
    after = by_run(finished, *settings)
    assert asked == {name for name, row in after.items() if row["kept"]}
    moved: Counter[str] = Counter()
    for name, row in after.items():
        if row["kept"] != before[name]["kept"]:
            gone, sign = (before[name], 1) if row["kept"] else (row, -1)
            moved[f"{gone['step']}: {gone['reason']}"] += sign
    assert +change.by_reason == +moved
    assert -change.by_reason == -moved
    assert change.kept_after == len(asked)
    return change


@pytest.mark.slow
@pytest.mark.parametrize("setting", GRID)
def test_it_agrees_with_a_run_of_its_own(finished: Path, setting: str) -> None:
    """Tightened and loosened, early and late."""
    agree(finished, setting)


LATE = [
    "density.keep=0.2",
    "density.which=easy",
    "density.which=hard",
    "density.temperature=0.02",
    "semantic_duplicates.epsilon=0.2",
    "late.characters.max=30",
    "other.words.min=3",
    "second.keep=0.9",
]


@pytest.fixture(scope="module")
def chained(finished: Path) -> Path:
    """A finished run over the same input, with rules and a density step behind a density step."""
    entry = job_of(open_run(str(finished))).input[0].model_dump(mode="json", exclude_none=True)
    steps = """
  - signals: [words, characters]
  - embed: {encoder: precomputed}
  - semantic_duplicates: {clusters: 4, epsilon: 0.05}
  - rules: {name: late, characters: {min: 12, missing: keep}, words: {min: 2}}
  - density: {clusters: 8, neighbours: 3, keep: 0.6}
  - rules: {name: other, words: {max: 5}}
  - density: {name: second, clusters: 3, neighbours: 2, keep: 0.5}
"""
    run_here(make_plan(finished.parent / "chained", "", steps, input=[entry], part_samples=64))
    return finished.parent / "chained"


@pytest.mark.parametrize("setting", LATE)
def test_in_memory_it_decides_as_the_steps_do(
    chained: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same fates, counts and samples as by another walk over the tables, in chunks of several parts."""
    monkeypatch.setattr("tamis.pipeline.tasks.chunks.CHUNK_ROWS", 150)
    run = open_run(str(chained))
    with _both(run, [setting]) as both:
        assert isinstance(both, Redecision)
        assert len(both.chunks) > 2
    here = whatif(run, [setting], 1000)
    monkeypatch.setattr("tamis.pipeline.audit.again.whatif.first_of", lambda *_: None)
    walked = whatif(run, [setting], 1000)
    assert here == walked
    assert here.samples


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("density.keep=0.2", 4),
        ("semantic_duplicates.epsilon=0.1", 2),
        ("late.words.min=3", 3),
        ("density.keep=0.6", None),  # as it is
        ("semantic_duplicates.which_to_keep=easy", None),  # other pairs
        ("density.device=cuda", None),  # other places
        ("second.device=cuda", None),
        ("seed=7", None),
    ],
)
def test_only_late_steps_decide_in_memory(chained: Path, setting: str, place: int | None) -> None:
    run = open_run(str(chained))
    assert first_of(job_of(run), job_of(run, [setting])) == place


def test_a_step_that_scores_what_reaches_it_is_walked(finished: Path) -> None:
    """It may lack what a looser rule before it lets pass."""
    run = open_run(str(finished))
    assert first_of(job_of(run), job_of(run, ["rules.words.min=3"])) is None
    assert first_of(job_of(run), job_of(run, ["late.characters.min=20"])) is None


PICTURED = """
  - signals: [words, min_side, aspect_ratio]
  - rules: {words: {min: 2}, min_side: {min: 64}, aspect_ratio: {max: 3.0}}
  - exact_duplicates: {on: image}
  - near_duplicates: {jaccard: 0.8, agree: phash}
  - embed: {encoder: precomputed}
  - rules: {name: similarity, clip_similarity: {min: 0.5}}
  - semantic_duplicates: {clusters: 3, epsilon: 0.02}
  - density: {clusters: 5, neighbours: 3, keep: 0.4}
  - write
"""
"""The preset ``dbp-paper``, with embeddings that are given: no model is loaded."""

OF_PICTURES = [
    "rules.min_side.min=128",
    "rules.aspect_ratio.max=1.5",
    "similarity.clip_similarity.min=0.6",
    "similarity.clip_similarity.min=0.3",
    "near_duplicates.difference=0.6 near_duplicates.detail=1",
]
"""Each drops more, but for the second similarity."""


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory, clipart_example: Path) -> Path:
    """A finished run over 150 pictures of the example, in parts of 40."""
    folder = tmp_path_factory.mktemp("pictured")
    samples = read_tar(clipart_example / "00000.tar")[:150]
    columns = {
        name: [getattr(sample, name) for sample in samples] for name in ("key", "text", "image")
    }
    pq.write_table(pa.table(columns), folder / "0.parquet")
    image = blobs([50, 60, 40], [0.5, 0.7, 0.4], seed=11).vectors
    noise = np.random.default_rng(11).standard_normal(image.shape) / 4
    np.save(folder / "image.npy", image.astype(np.float16))
    np.save(folder / "text.npy", (image + 1.2 * noise).astype(np.float16))
    entry = {
        "path": f"{folder}/0.parquet",
        "image_embeddings": f"{folder}/image.npy",
        "text_embeddings": f"{folder}/text.npy",
    }
    run_here(make_plan(folder / "run", "", PICTURED, input=[entry], part_samples=40))
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("setting", OF_PICTURES)
def test_it_agrees_over_pictures(pictured: Path, setting: str) -> None:
    """The thresholds of the preset ``dbp-paper`` that captions and embeddings alone do not have."""
    change = agree(pictured, *setting.split())
    assert change.before != change.after


def test_a_picture_that_was_never_embedded_is_refused(pictured: Path) -> None:
    for setting in ("rules.min_side.min=32", "rules.aspect_ratio.max=9.0"):
        with pytest.raises(
            StateError, match=r"embed: \d+ samples that would be alive now were never"
        ):
            whatif(open_run(str(pictured)), [setting])


def test_the_account_of_what_moves_balances(finished: Path) -> None:
    """Kept before, and those that come, less those that go, is kept after; by reason and by cluster too."""
    change = whatif(open_run(str(finished)), ["density.keep=0.6"], 1000)
    assert change.kept_after == change.kept_before + change.came - change.went
    assert sum(change.by_reason.values()) == change.came - change.went
    assert sum(change.by_cluster.values()) == change.came - change.went
    assert len(change.samples) == change.came + change.went > 0


def test_what_was_never_scored_is_refused_by_count(finished: Path) -> None:
    """The step, and how many samples lack its values."""
    one_word = [row for row in ledger(finished) if row["step"] == "rules"]
    assert one_word
    with pytest.raises(StateError, match=r"embed: \d+ samples that would be alive now were never"):
        whatif(open_run(str(finished)), ["rules.words.min=1"])


def test_the_finished_run_is_not_touched(finished: Path) -> None:
    """Not a byte, not a file."""
    copy: dict[str, Any] = {str(p): p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    whatif(open_run(str(finished)), ["semantic_duplicates.epsilon=0.1"])
    assert copy == {str(p): p.read_bytes() for p in finished.rglob("*") if p.is_file()}


def test_a_setting_that_does_not_exist_is_named(finished: Path) -> None:
    with pytest.raises(JobError, match="did you mean `keep`"):
        whatif(open_run(str(finished)), ["density.kep=0.1"])


def test_a_sample_of_every_reason_is_explained_where_the_input_has_a_width_alone(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the terminal, as a page, and to the browser: an input's columns need not come in pairs."""
    samples = {(row["step"], row["reason"]): row["uid"] for row in ledger(finished)}
    assert {step for step, _ in samples} >= {None, "rules", "near_duplicates", "late", "density"}
    browser = Browser(open_run(str(finished)), in_words)
    for uid in samples.values():
        for more in ([], ["--html", str(tmp_path / "why.html")]):
            with pytest.raises(SystemExit) as ended:
                main(["explain", str(finished), uid, *more])
            assert ended.value.code == 0
        assert browser.story(uid)["found"] == 1
    assert "pixels" not in capsys.readouterr().out


def test_embeddings_that_are_gone_are_named(finished: Path) -> None:
    """Not taken for samples that were never scored."""
    (gone, *_) = sorted((finished.parent / "input").glob("*.npy"))
    hidden = gone.rename(gone.with_suffix(".hidden"))
    try:
        with pytest.raises(StateError, match="embeddings that came with the input are not where"):
            whatif(open_run(str(finished)), ["density.keep=0.3"])
    finally:
        hidden.rename(gone)
