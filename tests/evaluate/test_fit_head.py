"""``tamis fit head``: a head that tells trusted pairs from a pool, stored, measured, applied and asked what-if."""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.evaluate import fit_head, head_kinds
from tamis.pipeline.evaluate.fit_head import Request
from tamis.pipeline.evaluate.pairs import read
from tamis.pipeline.evaluate.trusted import Marked, read_sets, split
from tamis.pipeline.signals.heads import LayeredHead, read_head
from tamis.schemas.errors import JobError
from tamis.schemas.head_card import Area
from tests.support.running import ledger, make_plan, run_here
from tests.support.synthetic import captions, meanings, pairs, views, write_input

COUNT = 900

STEPS = """
  - signals: [verdict, topic, shape, worth]
  - embed: {encoder: precomputed}
  - write
"""


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """900 pairs, a third of them good, which mean something else. Half of the others have another pair's caption."""
    folder = tmp_path_factory.mktemp("pool")
    good = np.arange(COUNT) % 3 == 0
    meaning = meanings(COUNT)
    meaning[good, 0] += 1.5
    image, caption = views(meaning)
    wrong = np.flatnonzero(np.arange(COUNT) % 3 == 1)
    caption[wrong] = caption[np.roll(wrong, 1)]
    # `topic` is as good as known from the verdict, `shape` has nothing to do with it.
    columns = {
        "verdict": ["good" if one else "any" for one in good],
        "topic": ["birds" if one else "ships" for one in good],
        "worth": [float(n % 5 + 2 * one) if n % 50 else None for n, one in enumerate(good)],
        "shape": [f"s{number % 2}" for number in range(COUNT)],
    }
    return write_input(folder / "in", image, caption, captions(COUNT).tolist(), **columns)


@pytest.fixture(scope="module")
def pool(entry: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pool") / "run"
    run_here(make_plan(root, "", STEPS, input=[entry], part_samples=250, name="pool"))
    return root


@pytest.fixture(scope="module")
def trusted(entry: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has kept the good ones alone."""
    root = tmp_path_factory.mktemp("trusted") / "run"
    steps = STEPS.replace("- write", "- rules: {verdict: {in: [good]}}\n  - write")
    run_here(make_plan(root, "", steps, input=[entry], name="good"))
    return root


def fit(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["fit", "head", *arguments, "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    found: dict[str, Any] = json.loads(said.out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["fit", "head", *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err


GOOD = ("--where", "verdict = 'good'", "--by", "shape")


@pytest.mark.parametrize("kind", ["classifier", "pair"])
def test_the_same_run_and_seed_give_the_same_files(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    written = []
    for name in ("a", "b"):
        head = tmp_path / name / "good.safetensors"
        card = fit(capsys, str(pool), *GOOD, "--kind", kind, "--as", str(head))
        assert card["sha256"] == hashlib.sha256(head.read_bytes()).hexdigest()
        assert json.loads(head.with_suffix(".json").read_text()) == card
        written.append((head.read_bytes(), head.with_suffix(".json").read_bytes()))
    assert written[0] == written[1]
    other = tmp_path / "other.safetensors"
    fit(capsys, str(pool), *GOOD, "--kind", kind, "--as", str(other), "--seed", "7")
    assert other.read_bytes() != written[0][0]


@pytest.mark.parametrize("kind", ["classifier", "pair"])
def test_it_tells_good_pairs_from_others(pool: Path, kind: Any) -> None:
    """The two views are rotated against each other, so their own cosine says nothing of it."""
    run = open_run(str(pool))
    found = fit_head.fit_head(run, Request(Marked(where="verdict = 'good'"), kind, by="shape"))
    card = found.card
    similarity = card.beside["similarity of picture and caption"]
    assert card.auc.low > 0.6
    assert card.auc.low > similarity.high
    assert card.auc.low <= card.auc.value <= card.auc.high
    assert 0.4 < card.beside["the source"].value < 0.65
    assert card.within_sources == pytest.approx(card.auc.value, abs=0.05)
    assert not card.warnings


def test_the_auc_is_that_of_the_file_on_pairs_that_were_held_out(pool: Path) -> None:
    run, marked = open_run(str(pool)), Marked(where="verdict = 'good'")
    found = fit_head.fit_head(run, Request(marked, "classifier", by="shape"))
    head = read_head(found.data, "fitted")
    assert isinstance(head, LayeredHead)
    sets = read_sets(run, marked, [], "shape", fit_head.MOST, run.seed)
    counts = found.card.counts
    assert (sets.held & sets.tunes).sum() == 0
    assert counts.trusted + counts.trusted_held == COUNT // 3
    assert counts.pool + counts.pool_held == COUNT - COUNT // 3
    scores = head.score(sets.pairs.image, sets.pairs.caption)
    good, other = (scores[sets.held & (sets.trusted == kind)] for kind in (True, False))
    right = (good[:, None] > other[None, :]).mean() + (good[:, None] == other[None, :]).mean() / 2
    assert found.card.auc.value == pytest.approx(right, abs=1e-4)
    tenth = np.sort(other)[-found.card.most.pairs :]
    assert len(tenth) == round(0.1 * len(other))
    best = {
        str(text)
        for text in sets.pairs.text[sets.held & ~sets.trusted & (scores >= tenth[0])].tolist()
    }
    assert set(found.card.most.captions) <= best


def test_a_mix_is_a_logistic_function_of_stored_signals(
    pool: Path, entry: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = tmp_path / "mixed.safetensors"
    mixed = ("--kind", "mix", "--signals", "worth,clip_similarity")
    card = fit(capsys, str(pool), *GOOD, *mixed, "--as", str(head))
    assert card["signals"] == ["worth", "clip_similarity"]
    assert card["auc"]["low"] > 0.6
    steps = f"""
  - embed: {{encoder: precomputed}}
  - signals: {{name: first, names: [worth]}}
  - signals: {{names: [mixed], heads: {{mixed: {head}}}, reads: {{mixed: [worth, clip_similarity]}}}}
  - rules: {{mixed: {{min: 0.5}}}}
  - write"""
    root = tmp_path / "run"
    run_here(make_plan(root, "", steps, input=[entry], part_samples=250))
    arrays = load(head.read_bytes())
    for row in ledger(root):
        if row["worth"] is None:
            assert (row["mixed"], row["reason"]) == (None, "no_value")
            continue
        given = np.array([row["worth"], row["clip_similarity"]], np.float64)
        scaled = (given - arrays["mean"]) / np.sqrt(arrays["variance"].astype(np.float64))
        score = float(arrays["weight_0"][0] @ scaled + arrays["bias_0"][0])
        assert row["mixed"] == pytest.approx(1 / (1 + np.exp(-score)), rel=1e-5)
        assert row["kept"] == (row["mixed"] >= 0.5)
    with pytest.raises(SystemExit):
        main(["whatif", str(root), "--set", "rules.mixed.min=0.6", "--json"])
    went = sum(0.5 <= (row["mixed"] or 0) < np.float32(0.6) for row in ledger(root))
    assert json.loads(capsys.readouterr().out)["went"] == went > 0


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        ("reads: {mixed: [worth]}", "the head takes 48 numbers, and 1 signals are named"),
        ("reads: {other: [worth]}", "`other`: is a signal of `heads`"),
        ("reads: {mixed: [worht]}", "the head takes 48 numbers|no signal `worht`"),
    ],
)
def test_a_head_takes_the_signals_that_the_job_names(
    entry: dict[str, Any], tmp_path: Path, reads: str, said: str
) -> None:
    head = tmp_path / "mixed.safetensors"
    head.write_bytes(save({"weight": np.ones((1, 48)), "bias": np.zeros(1)}))
    steps = f"""
  - signals: {{name: first, names: [worth]}}
  - signals: {{names: [mixed], heads: {{mixed: {head}}}, {reads}}}"""
    with pytest.raises(JobError, match=said):
        make_plan(tmp_path / "run", "", steps, input=[entry])


def test_a_pair_is_fitted_on_trusted_pairs_alone() -> None:
    """With half of the pool it is the same."""
    every = pairs(*views(meanings(600)))
    good, other = every.take(np.arange(200)), every.take(np.arange(200, 600))
    whole = head_kinds.pair(split(good, other, 0), 0)
    half = head_kinds.pair(split(good, other.take(np.arange(0, 400, 2)), 0), 0)
    assert whole.arrays["image"].shape == whole.arrays["text"].shape == (48, 48)
    assert whole.chosen == half.chosen > 0
    for side in ("image", "text"):
        assert whole.arrays[side].tobytes() == half.arrays[side].tobytes()


def test_groups_of_alike_pairs_are_held_out_as_one() -> None:
    every = pairs(*views(meanings(600)))
    twice = replace(every, text=np.concatenate([every.text[:300], every.text[:300]]))
    sets = split(twice.take(np.arange(0, 600, 3)), twice.take(np.arange(1, 600, 3)), 0)
    there: dict[str, set[tuple[bool, bool]]] = {}
    for text, held, tunes in zip(sets.pairs.text, sets.held, sets.tunes, strict=True):
        there.setdefault(text, set()).add((bool(held), bool(tunes)))
    assert sum(count > 1 for count in Counter(sets.pairs.text.tolist()).values()) > 30
    assert {len(parts) for parts in there.values()} == {1}


def test_a_head_that_could_have_learned_the_source_says_so(pool: Path) -> None:
    run = open_run(str(pool))
    request = Request(Marked(where="verdict = 'good'"), "classifier", by="topic")
    card = fit_head.fit_head(run, request).card
    assert card.beside["the source"].value == 1
    assert card.within_sources is None
    assert any(one.startswith("the source alone tells the two sets") for one in card.warnings)
    assert any(one.startswith("no source has pairs of both sets") for one in card.warnings)
    assert card.most.sources == {"ships": 1.0}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.249, 0.391, "it ranks the other way round"),
        (0.4, 0.5, "it does not tell the trusted set from the pool: its interval holds .5"),
        (0.5, 0.6, "it does not tell the trusted set from the pool: its interval holds .5"),
        (0.51, 0.6, None),
    ],
)
def test_an_interval_is_said_to_hold_chance_where_it_does(
    low: float, high: float, said: str | None
) -> None:
    area = Area(value=(low + high) / 2, low=low, high=high)
    told = list(fit_head._warnings(area, {}, set(), area.value, None))
    assert [one.startswith(said) for one in told] == [True] if said else not told


def test_a_measure_whose_lowest_values_are_trusted_is_not_to_be_chosen_by_its_highest() -> None:
    head, plain = (Area(value=value, low=0.6, high=0.8) for value in (0.7, 0.71))
    beside = {fit_head.SIMILARITY: plain}
    (told,) = fit_head._warnings(head, beside, {fit_head.SIMILARITY}, 0.7, None)
    assert "choose by its lowest values" in told
    (told,) = fit_head._warnings(head, beside, set(), 0.7, None)
    assert "choose by it, and no head" in told


def test_whole_numbers_of_a_column_are_written_without_a_point(pool: Path) -> None:
    found = read(open_run(str(pool)), [], origin="worth")
    assert set(found.origin.tolist()) == {None, *map(str, range(7))}
    similarity = read(open_run(str(pool)), [], origin="clip_similarity").origin.tolist()
    assert len(set(similarity)) > COUNT / 2
    assert all("." in one or one in {"0", "1", "-1"} for one in similarity)


def test_another_run_is_trusted_and_taken_out_of_the_pool(
    pool: Path, trusted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = tmp_path / "good.safetensors"
    card = fit(capsys, str(pool), "--trusted", str(trusted), "--as", str(head))
    assert card["counts"]["overlap"] == COUNT // 3
    assert card["trusted"]["job"] == "good"
    assert card["auc"]["low"] > 0.6
    assert any(one.startswith("the two sets are different runs") for one in card["warnings"])
    with pytest.raises(SystemExit) as ended:
        main(["fit", "head", str(pool), "--trusted", str(trusted), "--as", str(head)])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"{card['auc']['value']:.3f}" in shown
    assert "kept first, of the pool" in shown
    assert "- score: {signal: good, keep: 0.3}" in shown


def test_it_is_stored_applied_explained_and_asked_what_if(
    pool: Path, entry: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = tmp_path / "good.safetensors"
    fit(capsys, str(pool), *GOOD, "--as", str(head))
    steps = f"""
  - embed: {{encoder: precomputed}}
  - signals: {{names: [good], heads: {{good: {head}}}}}
  - rules: {{good: {{min: 0.5}}}}
  - write"""
    root = tmp_path / "run"
    run_here(make_plan(root, "", steps, input=[entry], part_samples=250))
    rows = ledger(root)
    stored = read(open_run(str(root)), ["good"])
    again = read_head(head.read_bytes(), "good").score(stored.image, stored.caption)
    assert stored.signals[:, 0].astype(np.float32).tobytes() == again.tobytes()
    assert [row["kept"] for row in rows] == [row["good"] >= 0.5 for row in rows]
    dropped = next(row for row in rows if not row["kept"])
    with pytest.raises(SystemExit):
        main(["whatif", str(root), "--set", "rules.good.min=0.8", "--json"])
    changed = json.loads(capsys.readouterr().out)
    expected = sum(0.5 <= row["good"] < np.float32(0.8) for row in rows)
    assert changed["went"] == expected > 0
    head.unlink()  # a story is told without it
    with pytest.raises(SystemExit):
        main(["explain", str(root), dropped["uid"], "--json"])
    story = json.loads(capsys.readouterr().out)["samples"][0]
    assert story["dropped_by"] == "rules"


@pytest.mark.parametrize(
    ("name", "options", "second"),
    [
        (
            "007",
            ["--kind", "pair"],
            "\n  - embed: {name: second, encoder: precomputed, as: second}",
        ),
        ("a, b: c", ["--kind", "mix", "--signals", "worth"], ""),
        ("worth", ["--kind", "mix", "--signals", "worth"], ""),
        ("Kept", ["--kind", "pair"], ""),
    ],
)
def test_the_steps_that_it_prints_are_a_job_for_that_pool(
    entry: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    options: list[str],
    second: str,
) -> None:
    steps = STEPS.replace("- write", "- rules: {verdict: {in: [good]}}\n  - write")
    steps = steps.replace("precomputed}", "precomputed}" + second)
    run_here(make_plan(tmp_path / "run", "", steps, input=[entry]))
    head = str(tmp_path / f"{name}.safetensors")
    with pytest.raises(SystemExit):
        main(["fit", "head", str(tmp_path / "run"), *GOOD, *options, "--as", head])
    printed = capsys.readouterr().out.splitlines()[-2:]
    job = steps.replace("- write", "") + "\n".join(printed)
    run_here(make_plan(tmp_path / "scored", "", job, input=[entry]))
    assert sum(row["kept"] for row in ledger(tmp_path / "scored")) == round(0.3 * COUNT / 3)


def test_only_a_head_and_its_card_are_replaced(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [str(pool), *GOOD, "--kind", "pair", "--as"]
    for _ in range(2):
        fit(capsys, *options, str(tmp_path / "good.safetensors"))
    others = {"data.json": "and is something else", "model.safetensors": "its card is missing"}
    for name, said in others.items():
        (tmp_path / name).write_bytes(b"[1]")
        head = (tmp_path / name).with_suffix(".safetensors")
        assert said in refused(capsys, *options, str(head))
        assert (tmp_path / name).read_bytes() == b"[1]"


def test_a_run_may_trust_what_it_has_kept_itself(
    trusted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for number, which in enumerate((["--trusted", str(trusted)], ["--where", "kept"])):
        head = str(tmp_path / f"{number}.safetensors")
        told.append(fit(capsys, str(trusted), *which, "--kind", "pair", "--as", head))
    assert told[0] == told[1]
    assert not any("different runs" in warning for warning in told[0]["warnings"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--as", "heads/.safetensors"], "the file's name is the signal's: write good.safetensors"),
        (["--as", "good.npz"], "--as good.npz: a fitted head is a safetensors file"),
        ([], "say what is trusted, one of the two"),
        (["--where", "kept", "--kind", "mix"], "--kind mix and --signals belong together"),
        (["--where", "verdict ="], "--where: Parser Error"),
        (["--where", "veridct = 'good'"], "--where: Binder Error"),
        (["--where", "false"], "--where false: none of the 900 embedded pairs of"),
        (["--where", "verdict = '{}'"], "--where verdict = '{}': none of the 900 embedded pairs"),
        (["--where", "verdict = NULL"], "none of the 900 embedded pairs"),
        (["--where", "1=1"], "--where 1=1: all of the 900 embedded pairs of"),
        (["--where", "uid < '05'"], "the trusted set has"),
        (["--where", "kept", "--by", "colour"], "the ledger has no column `colour`"),
    ],
)
def test_what_does_not_fit_is_one_line(
    pool: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    arguments = (
        options if "--as" in options else ["--as", str(tmp_path / "x.safetensors"), *options]
    )
    told = refused(capsys, str(pool), *arguments)
    assert said in told
    assert len(told.strip().splitlines()) == 1
