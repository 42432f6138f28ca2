"""Each selector through its step, against its paper's definition on a case that can be done by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tamis.pipeline.algorithms import order
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.prototypes.config import Prototypes
from tamis.schemas.errors import JobError, StateError
from tests.support.embedded import Samples, blobs, by_uid, numbered, run_one, run_steps, write_input
from tests.support.running import ledger, make_plan, run_here
from tests.support.tables import table


def by_hash(rows: list[int], purpose: str, count: int, seed: int = 42) -> list[int]:
    """The ``count`` of these numbered samples whose hashes are the smallest."""
    uid = np.array([[0, row] for row in rows], np.uint64)
    key = order.hashed(uid, seed, purpose)
    return sorted(rows[i] for i in np.argsort(key)[:count])


# score: the best of a signal

SCORES = [0.5, 0.9, 0.1, 0.5, 0.5, 0.7, 0.5, 0.3]
SIGNAL = "- signals: [quality]\n- score: {signal: quality, "


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("keep: 4", [0, 1, 3, 5]),  # of the four halves the two smallest uids
        ("keep: 0.5", [0, 1, 3, 5]),
        ("keep: 2, best: lowest", [2, 7]),
        ("keep: 3, best: lowest", [0, 2, 7]),
        ("keep: 4, ties: keep", [0, 1, 3, 4, 5, 6]),
        # DataComp: the sorted scores are .9 .7 .5 .5 .5 .5 .3 .1, and descending[int(8 * f)] is the threshold
        ("keep: 0.125, ties: keep", [1, 5]),
        ("keep: 0.25, ties: keep", [0, 1, 3, 4, 5, 6]),
        ("keep: 0.75, ties: keep", [0, 1, 3, 4, 5, 6, 7]),
        ("keep: 1.0, ties: keep", list(range(8))),
        ("keep: 8", list(range(8))),
    ],
)
def test_score(tmp_path: Path, settings: str, expected: list[int]) -> None:
    made = numbered(8, quality=SCORES)
    assert run_one(tmp_path, made, f"{SIGNAL}{settings}}}", part_samples=3) == expected


def test_ties_are_counted_as_datacomp_does(tmp_path: Path) -> None:
    """int(100 * 0.29) is 28: the scores at places 0 to 28 are kept."""
    made = numbered(100, quality=[float(i) for i in range(100)])
    found = run_one(tmp_path, made, SIGNAL + "keep: 0.29, ties: keep}", part_samples=40)
    assert found == list(range(71, 100))


def test_score_tells_value_and_bound(tmp_path: Path) -> None:
    run_one(tmp_path, numbered(8, quality=SCORES), SIGNAL + "keep: 2}", part_samples=3)
    rows = [row for row in ledger(tmp_path / "run") if not row["kept"]]
    assert {(row["reason"], row["rule"], row["bound"]) for row in rows} == {
        ("not_chosen", "quality", 0.7)
    }
    assert all(row["value"] == SCORES[int(row["uid"], 16)] for row in rows)


def test_a_sample_without_a_score_is_dropped_for_that(tmp_path: Path) -> None:
    made = numbered(6, quality=[0.1, None, 0.3, float("nan"), 0.5, 0.6])
    assert run_one(tmp_path, made, SIGNAL + "keep: 3}") == [2, 4, 5]
    told = {int(r["uid"], 16): r["reason"] for r in ledger(tmp_path / "run") if not r["kept"]}
    assert told == {0: "not_chosen", 1: "no_value", 3: "no_value"}
    message = (
        "keep 5 asks for 5 samples, but only 6 reach the step, and only 4 of them can be chosen"
    )
    with pytest.raises(JobError, match=re.escape(message)):
        run_one(tmp_path, made, SIGNAL + "keep: 5}")


@pytest.mark.parametrize("step", ["score: {signal: tag, ", "coverage: {score: tag, "])
def test_text_is_no_score(tmp_path: Path, step: str) -> None:
    made = numbered(3, tag=["a", "b", "c"])
    with pytest.raises(JobError, match="tag is text, and a choice by score needs numbers"):
        run_one(tmp_path, made, f"- signals: [tag]\n- {step}keep: 1}}")
    assert not (tmp_path / "run").exists()  # planning refused it


@pytest.mark.parametrize(
    "step",
    [
        "density: {clusters: 2, neighbours: 1, keep: 0.5}",
        "density: {keep: 0.5}",
        "prototypes: {clusters: 2, keep: 0.5}",
        "semantic_duplicates: {clusters: 2}",
        "semantic_duplicates",
        "random: {keep: 0.5}",
        "score: {signal: quality, keep: 0.5}",
        "coverage: {score: quality, keep: 3}",
    ],
)
def test_where_nothing_is_left_it_is_said(tmp_path: Path, step: str) -> None:
    before = "- signals: [quality]\n- rules: {quality: {min: 9}}\n- "
    with pytest.raises(StateError, match=r"^rules: drops all 4 samples .*, 4 for below_minimum"):
        run_one(tmp_path, numbered(4, quality=[1.0] * 4), before + step)


def test_infinite_scores_have_their_place(tmp_path: Path) -> None:
    made = numbered(4, quality=[float("-inf"), 0.0, float("inf"), 1.0])
    assert run_one(tmp_path, made, SIGNAL + "keep: 1}") == [2]
    assert run_one(tmp_path, made, SIGNAL + "keep: 3}") == [1, 2, 3]


# random


def test_random_is_the_smallest_hashes(tmp_path: Path) -> None:
    assert run_one(tmp_path, numbered(40), "- random: {keep: 12}") == by_hash(
        list(range(40)), "random/0", 12
    )
    rows = ledger(tmp_path / "run")
    dropped = [row for row in rows if not row["kept"]]
    assert {row["rule"] for row in dropped} == {"random"}
    assert all(row["value"] > row["bound"] for row in dropped)
    assert not (tmp_path / "run/subsets").exists()


def test_epochs_are_drawn_independently_and_listed(tmp_path: Path) -> None:
    found = run_one(tmp_path, numbered(40), "- random: {keep: 0.2, epochs: 5}")
    lists = []
    for epoch in range(5):
        held = np.load(tmp_path / f"run/subsets/epoch-{epoch:03d}.npy")
        assert held.dtype == np.dtype("u8,u8")
        assert held.tolist() == sorted(held.tolist())
        lists.append([int(low) for _, low in held])
        assert lists[-1] == by_hash(list(range(40)), f"random/{epoch}", 8)
    assert found == sorted(set().union(*lists))
    assert len({tuple(rows) for rows in lists}) == 5
    for row in ledger(tmp_path / "run"):
        if not row["kept"]:
            assert re.fullmatch("epoch-00[0-4]", row["rule"])
            assert row["value"] > row["bound"]
    run_one(tmp_path, numbered(40), "- random: {keep: 0.2, epochs: 2}")
    assert (
        len(list((tmp_path / "run/subsets").iterdir())) == 2
    )  # lists that nobody asked for are gone


@pytest.mark.parametrize("after", ["embed: {encoder: precomputed}", "random: {name: b, keep: 1}"])
def test_nothing_that_drops_stands_after_epochs(tmp_path: Path, after: str) -> None:
    entry = write_input(tmp_path / "in", numbered(9))
    steps = f"- random: {{keep: 0.2, epochs: 5}}\n- signals: [words]\n- {after}"
    with pytest.raises(JobError, match=r"random: `\w+` stands after it and could drop"):
        make_plan(tmp_path / "run", "", steps, input=[entry])


# coverage


def test_coverage_visits_strata_by_size(tmp_path: Path) -> None:
    # The hardest tenth is the 10; the rest spans 0..9, so three strata are 3 wide and hold 8, 0 and 1.
    scores = [0.0, 0.1, 0.2, 0.3, 10.0, 0.4, 0.5, 0.6, 0.7, 9.0]
    steps = "- signals: [score]\n- coverage: {score: score, beta: 0.1, strata: 3, keep: 5}"
    # Budgets: the empty one 0, the one of one sample min(1, 5 // 2) = 1, the last min(8, 4) = 4.
    easy = by_hash([0, 1, 2, 3, 5, 6, 7, 8], "coverage", 4)
    assert run_one(tmp_path, numbered(10, score=scores), steps, part_samples=3) == sorted(
        [*easy, 9]
    )
    rows = {int(row["uid"], 16): row for row in ledger(tmp_path / "run")}
    assert (rows[4]["reason"], rows[4]["rule"], rows[4]["value"], rows[4]["bound"]) == (
        "not_chosen",
        "hardest",
        10.0,
        10.0,
    )
    for number in set(range(9)) - set(easy) - {4}:
        assert rows[number]["rule"] == "stratum-000"
        assert rows[number]["value"] > rows[number]["bound"]


def test_coverage_where_low_scores_are_hard(tmp_path: Path) -> None:
    scores = [0.0, 0.1, 0.5, 0.6, 1.0, None]
    steps = "- signals: [score]\n- coverage: {score: score, hard: low, beta: 0.4, strata: 2, keep: "
    # The hardest two are 0.0 and 0.1; of 0.5..1.0 the halves hold 0.5, 0.6 and 1.0.
    assert run_one(tmp_path, numbered(6, score=scores), steps + "3}", part_samples=2) == [2, 3, 4]
    told = {
        int(r["uid"], 16): (r["rule"], r["value"], r["bound"]) for r in ledger(tmp_path / "run")
    }
    assert told[0] == ("hardest", 0.0, 0.1)
    assert told[5] == ("score", None, None)
    one = by_hash([2, 3], "coverage", 1)
    assert run_one(tmp_path, numbered(6), steps + "2}", part_samples=2) == [*one, 4]
    with pytest.raises(
        JobError, match=r"keep 4 asks for 4 .* only 6 reach the step, and only 3 of them"
    ):
        run_one(tmp_path, numbered(6), steps + "4}", part_samples=2)


def test_coverage_of_equal_scores_is_random(tmp_path: Path) -> None:
    steps = "- signals: [score]\n- coverage: {score: score, keep: 4}"
    found = run_one(tmp_path, numbered(9, score=[2.5] * 9), steps)
    assert found == by_hash(list(range(9)), "coverage", 4)


# prototypes

ANGLES = [-13, -9, -5, -3, 4, 26, 90, 94, 98, 78]
"""Degrees of two clusters, of 0..5 round 0 and of 6..9 round 90: from the farthest on 5, 0, 9, 1, 8, 2, ..."""


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("keep: 2", [0, 5]),
        ("keep: 3", [0, 5, 9]),
        ("keep: 4, floor: 0.5", [0, 1, 5, 9]),  # one for each, and the two farthest of the others
        ("keep: 2, floor: 1.0", [5, 9]),  # half of 2 for each cluster
        ("keep: 5, floor: 1.0", [0, 1, 5, 8, 9]),
    ],
)
def test_prototypes(tmp_path: Path, settings: str, expected: list[int]) -> None:
    radians = np.radians(ANGLES)
    made = replace(numbered(10), vectors=np.stack([np.cos(radians), np.sin(radians)], axis=1))
    steps = f"- prototypes: {{clusters: 2, {settings}}}"
    assert run_one(tmp_path, made, steps, part_samples=3) == expected
    rows = {int(row["uid"], 16): row for row in ledger(tmp_path / "run")}
    for group in ([5, 0, 1, 2, 4, 3], [9, 8, 7, 6]):
        assert [rows[n]["rank"] for n in group] == list(range(1, len(group) + 1))
        assert {rows[n]["quota"] for n in group} == {len(set(group) & set(expected))}
    for number in set(rows) - set(expected):
        row = rows[number]
        assert row["reason"] == "not_chosen"
        if settings == "keep: 2, floor: 1.0":
            assert (row["rule"], row["value"], row["bound"]) == ("quota", row["rank"], row["quota"])
        else:
            assert (row["rule"], row["value"]) == ("distance", row["distance"])
            assert row["value"] < row["bound"] < 0.11


# What they have in common

ALL = """
- signals: [quality]
- prototypes: {clusters: 4, keep: 0.9, floor: 0.3}
- score: {signal: quality, keep: 0.8}
- coverage: {score: quality, keep: 0.8, beta: 0.1, strata: 4}
- importance: {target: TARGET, keep: 0.8}
- random: {keep: 0.3, epochs: 3}"""


def varied(count: int = 300) -> Samples:
    """Blobs with scores of which many are equal, and captions of a few words."""
    random = np.random.default_rng(5)
    words = np.array(["red", "blue", "cat", "dog", "tree"])
    text = [" ".join(random.choice(words, 3)) for _ in range(count)]
    quality = [float(n) for n in random.integers(0, 9, count)]
    return replace(
        blobs((count // 2, count // 2), (0.5, 1.0)), columns={"quality": quality, "text": text}
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, one after another, in one part."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "target.txt").write_text("a red cat\nblue tree\n")
    steps = ALL.replace("TARGET", f"{folder}/target.txt")
    run_steps(folder / "run", [write_input(folder / "in", varied())], steps)
    return folder


@pytest.mark.parametrize("rows", [1, 40, 10**6])
def test_no_division_order_or_bracket_shows(
    tmp_path: Path, plain: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_cut, "SORTED_ROWS", rows)
    monkeypatch.setattr(budget_cut, "SAMPLED_ROWS", 60)
    made = varied()
    shuffled = made.take(np.random.default_rng(8).permutation(len(made)))
    steps = ALL.replace("TARGET", f"{plain}/target.txt")
    entry = write_input(tmp_path / "in", shuffled, 2)
    run_steps(tmp_path / "run", [entry], steps, part_samples=80, range_samples=170)
    assert by_uid(tmp_path / "run") == by_uid(plain / "run")
    for epoch in range(3):
        name = f"run/subsets/epoch-{epoch:03d}.npy"
        assert (tmp_path / name).read_bytes() == (plain / name).read_bytes()
    if rows == 1:
        near = table(tmp_path / "run", "random", "near")
        assert near.num_rows > 0


def test_each_keeps_exactly_its_share(plain: Path) -> None:
    rows = by_uid(plain / "run").values()
    left = 300
    for step, keep in [("prototypes", 0.9), ("score", 0.8), ("coverage", 0.8), ("importance", 0.8)]:
        dropped = sum(row["step"] == step for row in rows)
        assert left - dropped == int(left * keep + 1e-9)
        left -= dropped
    for row in rows:
        if not row["kept"]:
            assert row["reason"] == "not_chosen"
            assert None not in (row["rule"], row["value"], row["bound"])


@pytest.mark.parametrize(
    "settings",
    [
        "random: {keep: 10",
        "score: {signal: quality, keep: 10",
        "coverage: {score: quality, keep: 10",
        "prototypes: {clusters: 2, keep: 10",
        "importance: {target: TARGET, keep: 10",
    ],
)
def test_more_than_there_is_is_an_error(tmp_path: Path, settings: str) -> None:
    (tmp_path / "target.txt").write_text("caption")
    steps = f"- signals: [quality]\n- {settings.replace('TARGET', f'{tmp_path}/target.txt')}}}"
    made = replace(blobs((9,), (0.5,)), columns={"quality": [0.5] * 9})
    with pytest.raises(
        JobError, match="keep 10 asks for 10 samples, but only 9 reach the step"
    ) as caught:
        run_one(tmp_path, made, steps)
    assert "\n" not in str(caught.value)


def test_a_bracket_that_misses_is_an_error_and_no_wrong_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_cut, "SORTED_ROWS", 1)
    monkeypatch.setattr(budget_cut, "SAMPLED_ROWS", 100)
    monkeypatch.setattr(budget_cut, "DEVIATIONS", 0)
    with pytest.raises(StateError, match="missed its cut"):
        run_one(tmp_path, numbered(300), "- random: {keep: 150}", part_samples=100)


def test_a_selector_may_stand_twice(tmp_path: Path) -> None:
    entry = write_input(tmp_path / "in", numbered(30))
    steps = "- random: {keep: 20}\n- random: {name: again, keep: 0.5}"
    result = run_here(make_plan(tmp_path / "run", "", steps, input=[entry]))
    assert [account.kept for account in result.accounts[-2:]] == [20, 10]


@pytest.mark.parametrize(("samples", "warned"), [(None, True), (90_158, True), (10**6, False)])
def test_prototypes_are_advised_against_where_the_pool_may_be_small(
    samples: int | None, warned: bool
) -> None:
    step = Prototypes.model_validate({"keep": 0.5, "clusters": 8})
    notes = list(step.notes(samples, lambda _: 16))
    assert any(note.startswith("prototypes keeps what is farthest") for note in notes) == warned
