"""``tamis evaluate`` from end to end: the same answer twice, holdouts of three kinds, and the plot in the report."""

import json
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.reading import evaluation
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.evaluate import foreign
from tamis.pipeline.evaluate.choices import Choices, Settings, with_concepts
from tamis.pipeline.evaluate.pairs import read
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.steps.embed.config import Embed
from tamis.schemas.evaluation import COMMON, RARE, Evaluation
from tests.audit.test_report import Page, check_closed
from tests.evaluate.conftest import COPIES, DISTINCT
from tests.support.evaluating import QUICK, refused, told
from tests.support.running import ledger, make_plan, read_tar, run_here, write_tar
from tests.support.synthetic import captions, meanings, views, write_input


@dataclass(frozen=True)
class Twice:
    """A run that was evaluated twice: with ``--json`` on two processors, then with a table on one."""

    root: Path
    printed: tuple[str, str]
    written: tuple[bytes, bytes]  # evaluation.json


@pytest.fixture(scope="module")
def twice(learnable: Path, tmp_path_factory: pytest.TempPathFactory) -> Twice:
    root = tmp_path_factory.mktemp("twice") / "run"
    shutil.copytree(learnable, root)
    printed, written = [], []
    for options in (["--json"], ["--cpus", "1"]):
        with redirect_stdout(StringIO()) as out, pytest.raises(SystemExit) as ended:
            main(["evaluate", str(root), *QUICK, *options])
        assert ended.value.code == 0
        printed.append(out.getvalue())
        written.append((root / "evaluation.json").read_bytes())
    return Twice(root, (printed[0], printed[1]), (written[0], written[1]))


def test_the_same_answer_twice(twice: Twice) -> None:
    assert twice.written[0] == twice.written[1]
    found = Evaluation.model_validate_json(twice.written[0])
    assert json.loads(twice.printed[0]) == found.model_dump(mode="json")
    assert found.selectors[:2] == ["density", "random"]
    assert {"deduplicated", "score", "prototypes", "coverage", "full", "run"} < set(found.selectors)
    for split in found.splits:
        assert split.pairs == DISTINCT + COPIES
        assert split.tested + split.relatives + split.alike + split.pool == split.pairs
        assert split.candidates < split.pool  # the copies
    for point in found.points:
        assert len(point.headline.values) == 2
        assert (point.headline.against_random is None) == (point.selector in {"random", "full"})


def test_the_table_and_the_report_say_the_same(learnable: Path, twice: Twice) -> None:
    assert "Evaluation" not in Page(report(open_run(str(learnable)))).words
    shown = twice.printed[1]
    found = evaluation.stored(open_run(str(twice.root)))
    assert found is not None
    assert found.full is not None
    data = report(open_run(str(twice.root)))
    page = Page(data)
    check_closed(page)
    assert "Evaluation" in page.words
    for point in found.points:
        figure = f"{point.headline.mean:.3f} ± {point.headline.spread:.3f}"
        assert figure in shown
        assert any(figure in words for words in page.words)
    # A line a selector but the full set, which is a level; an error bar a point.
    lines = len(found.selectors) - 1
    assert page.tags["polyline"] == lines
    assert data.count(b'class="error"') == sum(len(found.line(n)) for n in found.selectors) - 1
    assert any(words.startswith("all ") for words in page.words)
    assert report(open_run(str(twice.root))) == data


def test_density_over_everything_is_what_the_run_kept(learnable: Path) -> None:
    run = open_run(str(learnable))
    settings = Settings.of(run)
    pairs, centroids = with_concepts(run, read(run, settings.signals), settings)
    chosen = Choices(settings, centroids)("density", pairs, int(pairs.kept.sum()), seed=0)
    assert chosen.tolist() == np.flatnonzero(pairs.kept).tolist()
    assert len(chosen) == sum(row["kept"] for row in ledger(learnable))


@pytest.fixture(scope="module")
def aimed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that chose for a target: the pictures of the first hundred meanings, seen once more."""
    folder = tmp_path_factory.mktemp("aimed")
    meaning = meanings(400)
    entry = write_input(folder / "in", *views(meaning), captions(400).tolist())
    np.save(folder / "target.npy", views(meaning[:100], seed=5)[0])
    (folder / "target.txt").write_text("\n".join(captions(400)[:100]))
    steps = f"""
- embed: {{encoder: precomputed}}
- target: {{path: {folder}/target.npy, keep: 0.4, floor: 0.1}}
- importance: {{target: {folder}/target.txt, keep: 0.5}}
- write"""
    run_here(make_plan(folder / "run", "", steps, input=[entry]))
    return folder / "run"


def test_a_target_is_compared_by_the_values_that_the_run_stored(
    aimed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = open_run(str(aimed))
    settings = Settings.of(run)
    pairs, centroids = with_concepts(run, read(run, settings.signals), settings)
    chosen = Choices(settings, centroids)("target", pairs, 160, seed=0)
    passed = {row["uid"] for row in ledger(aimed) if row["step"] != "target"}
    words = [f"{high:016x}{low:016x}" for high, low in pairs.uid[chosen].tolist()]
    assert set(words) == passed
    found = told(capsys, str(aimed), *QUICK, "--against", "target")
    assert {point["selector"] for point in found["points"]} >= {"target", "random"}


def test_importance_over_everything_is_what_the_run_kept(tmp_path: Path) -> None:
    """By the log weights that the run has stored: no default could know its target."""
    texts = [f"{'red' if i % 3 else 'blue'} house number {i}" for i in range(300)]
    entry = write_input(tmp_path / "in", *views(meanings(300)), texts)
    (tmp_path / "target.txt").write_text("blue house\nblue boat\n")
    steps = f"""
  - embed: {{encoder: precomputed}}
  - importance: {{target: {tmp_path}/target.txt, keep: 0.3}}
  - write: {{format: parquet}}
"""
    run_here(make_plan(tmp_path / "run", "", steps, input=[entry], part_samples=100))
    run = open_run(str(tmp_path / "run"))
    settings = Settings.of(run)
    pairs, centroids = with_concepts(run, read(run, settings.signals), settings)
    chosen = Choices(settings, centroids)("importance", pairs, int(pairs.kept.sum()), seed=0)
    assert chosen.tolist() == np.flatnonzero(pairs.kept).tolist()
    blue = np.mean(["blue" in text for text in pairs.text[chosen]])
    assert blue > 0.5  # of a third


def test_a_large_run_is_sampled(learnable: Path) -> None:
    run = open_run(str(learnable))
    some, every = read(run, [], most=100), read(run, [])
    assert len(some) == 100
    assert {tuple(uid) for uid in some.uid.tolist()} < {tuple(uid) for uid in every.uid.tolist()}


def test_a_finished_run_is_held_out(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A third of its captions stand in the run too: those pairs leave the pool."""
    meaning = np.concatenate([meanings(DISTINCT)[:50], meanings(100, seed=8)])
    texts = [*captions(DISTINCT)[:50], *captions(900)[800:]]
    entry = write_input(tmp_path / "other", *views(meaning, seed=9), texts)
    steps = "- embed: {encoder: precomputed}\n"
    run_here(make_plan(tmp_path / "held", "", steps, input=[entry], name="other"))
    found = told(capsys, str(run), *QUICK, "--holdout", str(tmp_path / "held"))
    (first, second) = found["splits"]
    assert first["pairs"] == DISTINCT + COPIES + 150
    assert first["sources"] == second["sources"] == {"held": 150}
    assert first["relatives"] == 100  # fifty captions, each under two pairs of the run
    for split in (first, second):
        assert split["pool"] + split["undrawn"] + split["alike"] == DISTINCT + COPIES - 100
    assert first["pool"] != second["pool"]


def test_several_sources_have_a_mean_and_a_geometric_mean(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a column of the run: none of their pairs is trained on."""
    quick = [*QUICK, "--against", "random,full"]
    found = told(capsys, str(run), *quick, "--holdout-by", "topic=topic_0,topic_2")
    assert found["holdout"] == "topic=topic_0,topic_2"
    counts = {row["topic"]: 0 for row in ledger(run)}
    for row in ledger(run):
        counts[row["topic"]] += 1
    for split in found["splits"]:
        assert set(split["sources"]) == {"topic_0", "topic_2"}
        assert split["pool"] + split["undrawn"] + split["alike"] <= counts["topic_1"]
    for point in found["points"]:
        figures = point["figures"]
        each = [figures[f"recall_at_10/topic_{n}"]["values"] for n in (0, 2)]
        assert figures["recall_at_10"]["values"] == pytest.approx(np.mean(each, axis=0))
        geometric = figures["geometric_recall_at_10"]["values"]
        assert geometric == pytest.approx(np.sqrt(np.prod(each, axis=0)))
    page = Page(report(open_run(str(run))))
    assert any(words == "R@10: by source" for words in page.words)
    with pytest.raises(SystemExit):
        main(["evaluate", str(run), *quick, "--holdout-by", "topic=topic_0,topic_2"])
    out = capsys.readouterr().out
    assert "figures are means over them" in out
    assert "R@10, topic_2" in out


def test_lengths_of_training_make_a_curve(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By default all pairs of the pool are seen five times or more; a length alone is what it is in a curve."""
    quick = ["--seeds", "2", "--budgets", "0.2,0.4", "--against", "random,full", "--cpus", "2"]
    found = Evaluation.model_validate(told(capsys, str(run), *quick, "--steps", "30,10"))
    assert found.lengths == [10, 30]
    assert len(found.points) == 2 * len({(p.selector, p.budget) for p in found.points})
    alone = Evaluation.model_validate(told(capsys, str(run), *quick, "--steps", "10"))
    assert [p for p in found.points if p.steps == 10] == list(alone.points)
    long = Evaluation.model_validate(told(capsys, str(run), *quick))
    assert long.epochs >= 5
    assert long.training.steps >= 200


def test_a_chain_chooses_among_what_its_filter_leaves(learnable: Path) -> None:
    run = open_run(str(learnable))
    settings = Settings.of(run)
    pairs, centroids = with_concepts(run, read(run, settings.signals), settings)
    choose = Choices(settings, centroids)
    half = choose("score", pairs, int(0.5 * pairs.candidate.sum()), 0)
    for last in ("density", "random"):
        chosen = choose(f"score:0.5>{last}", pairs, 100, 0)
        assert len(chosen) == 100
        assert np.isin(chosen, half).all()
    assert (
        choose("score:0.5>score", pairs, 100, 0).tolist() == choose("score", pairs, 100, 0).tolist()
    )
    assert choose.most("score:0.5>density", pairs) == len(half)
    left = replace(pairs, candidate=np.isin(np.arange(len(pairs)), half))
    assert (
        choose("score:0.5>density", pairs, 60, 0).tolist()
        == choose("density", left, 60, 0).tolist()
    )


def test_captions_are_exchanged_in_the_pool_alone(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run never saw those captions, so that what it kept is no choice; by default no caption is exchanged."""
    quick = [str(run), *QUICK, "--against", "random,run"]
    clean = Evaluation.model_validate(told(capsys, *quick))
    found = Evaluation.model_validate(told(capsys, *quick, "--mismatch", "0.5"))
    assert "run" in clean.selectors
    assert "run" not in found.selectors
    for one, other in zip(clean.splits, found.splits, strict=True):
        assert (one.exchanged, other.exchanged) == (0, one.pool // 2)
        assert other == one.model_copy(update={"exchanged": one.pool // 2})
    assert any("50% of the pool's captions were exchanged" in note for note in found.notes)


def test_recall_of_rare_subjects_is_part_of_that_of_all(twice: Twice) -> None:
    """Both groups together are all test pairs, so their figures lie on both sides of the whole."""
    found = Evaluation.model_validate_json(twice.written[0])
    assert found.groups == [RARE, COMMON]
    for point in found.points:
        groups = [point.figures[Evaluation.of_group("recall_at_10", g)] for g in found.groups]
        for whole, *parts in zip(point.headline.values, *(g.values for g in groups), strict=True):
            assert min(parts) - 1e-9 <= whole <= max(parts) + 1e-9
    assert "R@10, rare subjects" in twice.printed[1]


def test_what_does_not_fit_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(run)
    assert "no such selector" in refused(capsys, path, "--against", "prototype")
    assert "no such selector" in refused(capsys, path, "--against", "embed")
    for name in ("choose", "balance", "repeat", "score:0.5>choose"):
        told = refused(capsys, path, "--against", name)
        assert f"`{name.rpartition('>')[2]}` cannot be chosen again in memory" in told
        assert "is compared as `run`" in told
    assert "the run has no step `target`, whose stored values" in refused(
        capsys, path, "--against", "target"
    )
    assert "has no step `importance`" in refused(capsys, path, "--against", "importance")
    assert "between 0 and 1" in refused(capsys, path, "--holdout", "1.5")
    assert "between 0 and 1" in refused(capsys, path, "--budgets", "0.2,2")
    assert "shares with commas" in refused(capsys, path, "--budgets", "a,b")
    assert "shares with commas" in refused(capsys, path, "--budgets", "")
    assert "at least 20 are needed" in refused(capsys, path, "--holdout", "0.01")
    assert "a share stands alone" in refused(
        capsys, path, "--holdout", "0.2", "--holdout", "runs/x"
    )
    assert "say one of the two" in refused(capsys, path, "--holdout", "0.2", "--holdout-by", "a=b")
    assert "set=iconoir,heroicons" in refused(capsys, path, "--holdout-by", "topic")
    assert "did you mean `topic_1`?" in refused(capsys, path, "--holdout-by", "topic=topic_11")
    assert "score:0.5>density" in refused(capsys, path, "--against", "score>density")
    assert "whose size is the budget's" in refused(
        capsys, path, "--against", "score:0.5>density:0.5"
    )
    assert "no such selector" in refused(capsys, path, "--against", "score:0.5>run")
    assert "from 0 to below 1" in refused(capsys, path, "--mismatch", "1.5")
    assert "numbers of training steps" in refused(capsys, path, "--steps", "20,-1")
    assert "no column `colour`" in refused(capsys, path, "--classes", "colour")
    assert "no encoder is known" in refused(capsys, path, "--classes", "topic")
    assert "came with its input" in refused(capsys, path, "--holdout", f"{run}/*.tar")
    shutil.copytree(run, run.parent / "again")
    assert "is left to train on" in refused(capsys, path, "--holdout", f"{run.parent}/again")
    assert "1,000,000,000" in refused(capsys, path, "--steps", "9" * 400)
    shutil.rmtree(run / "tables" / "embed")
    assert "tables of `embed` are gone" in refused(capsys, path)


def test_files_held_out_may_change(
    clipart_example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their run lies below the other's, where nobody would say --accept-changed; it goes by where they lie."""
    made: list[Plan] = []
    monkeypatch.setattr(foreign, "embedding_of", lambda run: Embed(encoder="demo"))
    monkeypatch.setattr("tamis.pipeline.runs.walk.run", lambda plan, executor: made.append(plan))
    monkeypatch.setattr(foreign, "open_run", lambda root: root)
    run = FinishedRun(str(tmp_path / "run"), None)  # type: ignore[arg-type]
    monkeypatch.chdir(clipart_example)
    roots = [
        foreign.open_holdout(run, path)
        for path in ("00000.tar", str(clipart_example / "00000.tar"), "00003.tar")
    ]
    assert roots[0] == roots[1] != roots[2]
    assert all(plan.accept_changed for plan in made)


@pytest.mark.slow
def test_input_files_are_held_out_and_classes_are_read(
    clipart_example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures through a real encoder; the run has no concepts, so that they are trained here."""
    steps = "- signals: [category]\n- embed: {encoder: demo}\n"
    held = write_tar(tmp_path / "00003.tar", read_tar(clipart_example / "00003.tar")[:170])
    run_here(make_plan(tmp_path / "run", clipart_example / "00000.tar", steps))
    arguments = [str(tmp_path / "run"), *QUICK, "--holdout", str(held)]
    found = told(capsys, *arguments)
    assert found["splits"][0]["tested"] > 100
    embedded = list((tmp_path / "run" / "evaluation").glob("*/tables/embed/vectors/p*.parquet"))
    assert len(embedded) == 1
    written = embedded[0].stat().st_mtime_ns
    assert told(capsys, *arguments) == found
    assert embedded[0].stat().st_mtime_ns == written  # not embedded again
    found = told(capsys, str(tmp_path / "run"), *QUICK, "--classes", "category")
    for point in found["points"]:
        assert 0 <= point["figures"]["zero_shot"]["mean"] <= 1
    best = max(point["figures"]["zero_shot"]["mean"] for point in found["points"])
    assert best > 0.1  # twenty categories
