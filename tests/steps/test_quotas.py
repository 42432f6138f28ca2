"""Quotas over groups through the step: who is kept of which group, what the ledger says, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import group_quotas
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import tell
from tamis.pipeline.steps.selectors.choice import InfeasibleError, Pool
from tamis.pipeline.steps.selectors.quotas import groups
from tamis.pipeline.steps.selectors.quotas.audit import _share
from tamis.pipeline.steps.selectors.quotas.choice import Quotas as QuotasChoice
from tamis.pipeline.steps.selectors.quotas.config import CLUSTER, Quotas
from tamis.schemas.errors import InputError, JobError
from tests.support.embedded import numbered, run_one
from tests.support.running import ledger, materialize
from tests.support.tables import table

LANGUAGE = ["en"] * 20 + ["de"] * 8 + ["fr"] * 2 + [None] * 2
QUALITY = [float(n % 10) for n in range(32)]
SIGNALS = "- signals: [tongue, quality]\n- quotas: "


def samples() -> Any:
    return numbered(32, tongue=LANGUAGE, quality=QUALITY)


def run(folder: Path, settings: str, steps: str = SIGNALS, made: Any = None) -> list[int]:
    return run_one(folder, made or samples(), f"{steps}{{{settings}}}", part_samples=7)


def counted(kept: list[int]) -> dict[str | None, int]:
    return dict(Counter(LANGUAGE[number] for number in kept))


def by_lot(rows: list[int], count: int) -> list[int]:
    uid = np.array([[0, row] for row in rows], np.uint64)
    return [rows[i] for i in np.argsort(order.hashed(uid, 42, "quotas"))[:count]]


def test_equal_weights_are_a_water_level_and_a_lot_decides(tmp_path: Path) -> None:
    kept = run(tmp_path, "by: tongue, keep: 15")
    assert counted(kept) == {"de": 7, "en": 6, "fr": 2}  # of equal remainders the first name
    english, german = list(range(20)), list(range(20, 28))
    assert kept == sorted([*by_lot(english, 6), *by_lot(german, 7), 28, 29])
    rows = {int(row["uid"], 16): row for row in ledger(tmp_path / "run")}
    out = [row for row in rows.values() if row["reason"] == "group_full"]
    assert len(out) == 15
    assert {(row["rule"], row["bound"], row["message"]) for row in out} == {
        ("quota", 6.0, "tongue=en"),
        ("quota", 7.0, "tongue=de"),
    }
    place = by_lot(english, 20)
    assert [rows[number]["value"] for number in place[6:]] == list(range(7, 21))
    assert [(rows[n]["reason"], rows[n]["rule"]) for n in (30, 31)] == [("no_value", "tongue")] * 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("keep: 15, weights: size", {"en": 10, "de": 4, "fr": 1}),
        ("keep: 15, weights: size, power: 0.5", {"en": 8, "de": 5, "fr": 2}),
        ("keep: 0.5, of: input", {"en": 7, "de": 7, "fr": 2}),
        ("keep: 15, most: 7", {"en": 6, "de": 7, "fr": 2}),
        ("keep: 15, cap: 0.5", {"en": 10, "de": 4, "fr": 1}),
        ("most: 3", {"en": 3, "de": 3, "fr": 2}),
        ("cap: 0.25, most: 4", {"en": 4, "de": 2}),
        ("keep: 3, weights: {mean: quality}", {"en": 1, "de": 1, "fr": 1}),
    ],
)
def test_budgets_weights_and_caps(settings: str, expected: dict[str, int], tmp_path: Path) -> None:
    assert counted(run(tmp_path, f"by: tongue, {settings}")) == expected


def test_a_mean_weighs_groups_whatever_the_division(tmp_path: Path) -> None:
    """Means of quality: en 4.5, de 3.5, fr 8.5: of 15 (27, 21 and 51 hundredths of a level) fr has only 2."""
    kept = run(tmp_path, "by: tongue, weights: {mean: quality}, keep: 15")
    assert counted(kept) == {"en": 7, "de": 6, "fr": 2}
    weights = table(tmp_path / "run", "quotas", "quotas")["weight"].to_pylist()
    assert weights == [3.5, 4.5, 8.5]


def test_inside_a_group_the_best_are_kept(tmp_path: Path) -> None:
    kept = run(tmp_path, "by: tongue, keep: 6, score: quality")
    assert kept == [9, 19, 26, 27, 28, 29]  # en: the two nines; de, of 0 to 7: the two largest
    kept = run(tmp_path, "by: tongue, keep: 6, score: quality, best: lowest")
    assert kept == [0, 10, 20, 21, 28, 29]


def test_weights_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("weight,tongue,note\n0,en,\n2,de,x\n1,fr,\n7,it,not here\n")
    settings = f"by: tongue, weights: {{file: {tmp_path}/w.csv}}, keep: "
    assert counted(run(tmp_path, f"{settings}3")) == {"de": 2, "fr": 1}
    with pytest.raises(JobError, match="11 are asked for, and its groups allow 10: keep fewer"):
        run(tmp_path, f"{settings}11")
    rows = {"tongue": ["en", "de", "fr"], "weight": [1, 1, 8]}
    pq.write_table(pa.table(rows), tmp_path / "w.parquet")
    assert counted(run(tmp_path, settings.replace("csv", "parquet") + "10")) == {
        "en": 4,
        "de": 4,
        "fr": 2,
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tongue,weight\nen,1\nde,1\n", "has no row for the group fr: add one; weight 0 keeps"),
        ("tongue,weight\nen,1\nen,1\n", "en: stands there twice"),
        ("tongue,weight\nen,-1\n", "en: its weight is `-1`: a number from 0 on"),
        ("tongue,share\nen,1\n", "has no column `weight`; it has tongue, share"),
        ("", "has no column `tongue`; it has none"),
        ("tongue,weight\nen\n", "a row has 1 of 2 cells"),
    ],
)
def test_wrong_weights(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(InputError, match=why):
        run(tmp_path, f"by: tongue, weights: {{file: {tmp_path}/w.csv}}, keep: 3")


NESTED = {
    "top": ["a"] * 12 + ["b"] * 4,
    "leaf": ["x"] * 8 + ["y"] * 3 + ["z"] + ["x"] * 3 + ["w"],
}


def test_groups_below_groups(tmp_path: Path) -> None:
    steps = "- signals: [top, leaf]\n- quotas: "
    made = numbered(16, **NESTED)
    kept = run(tmp_path, "by: [top, leaf], keep: 10", steps, made)
    found = Counter((NESTED["top"][n], NESTED["leaf"][n]) for n in kept)
    # Of 10 b, which has 4, keeps 4 and a 6; of the 6 of a, z keeps its one, x and y share the rest.
    assert found == {("a", "x"): 3, ("a", "y"): 2, ("a", "z"): 1, ("b", "x"): 3, ("b", "w"): 1}
    out = [row for row in ledger(tmp_path / "run") if not row["kept"]]
    assert {row["message"] for row in out} == {"top=a, leaf=x", "top=a, leaf=y"}
    kept = run(tmp_path, "by: leaf, keep: 10", steps, made)
    assert Counter(NESTED["leaf"][n] for n in kept) == {"x": 5, "y": 3, "w": 1, "z": 1}


def test_true_and_whole_numbers_are_groups_and_fractions_are_none(tmp_path: Path) -> None:
    steps = "- signals: [flag, number, part]\n- quotas: "
    columns: dict[str, list[Any]] = {
        "flag": [True, False] * 5,
        "number": [1.0, 2.0, 3.0, None, 1.0] * 2,
    }
    made = numbered(10, **columns, part=[0.5] * 10)
    kept = run(tmp_path, "by: [flag, number], most: 1", steps, made)
    pairs = [(columns["flag"][n], columns["number"][n]) for n in kept]
    assert len(set(pairs)) == len(pairs) == 6
    groups_made = table(tmp_path / "run", "quotas", "quotas")["group"].to_pylist()
    assert groups_made[:2] == ["flag=false, number=1", "flag=false, number=2"]
    with pytest.raises(JobError, match=r"by: part has fractions \(0.5\): groups are named by text"):
        run(tmp_path, "by: part, most: 1", steps, made)


def test_concepts_of_an_earlier_step(tmp_path: Path) -> None:
    steps = "- semantic_duplicates: {clusters: 2, epsilon: 0.0001}\n- quotas: "
    vectors = np.repeat(np.eye(4), [1, 1, 1, 1], axis=0)
    made = numbered(8, text=[f"{n}" for n in range(8)])
    made = type(made)(made.uid, np.concatenate([vectors, vectors + 0.3]), {})
    kept = run(tmp_path, "by: cluster, most: 1", steps, made)
    sizes = table(tmp_path / "run", "quotas", "quotas")
    assert sizes["group"].to_pylist() == ["cluster=0", "cluster=1"]
    assert len(kept) == 2
    with pytest.raises(
        JobError,
        match="by: cluster is the concept of a step that clusters and chooses, as `index` does not: put one",
    ):
        run(tmp_path, "by: cluster, most: 1", "- quotas: ", made)
    with pytest.raises(JobError, match="as `index` does not"):
        run(tmp_path, "by: cluster, most: 1", "- index: {clusters: 2}\n- quotas: ", made)


def test_the_ledger_has_the_clusters_that_were_chosen_by(tmp_path: Path) -> None:
    first = "- semantic_duplicates: {clusters: 3, epsilon: 0.0001}\n"
    made = numbered(8, text=[f"{n}" for n in range(8)])
    vectors = np.concatenate([np.eye(4), np.eye(4) + 0.3])
    steps = f"{first}- index: {{clusters: 1}}\n- quotas: "
    run(tmp_path, "by: cluster, most: 1", steps, type(made)(made.uid, vectors, {}))
    rows = ledger(tmp_path / "run")
    assert {row["quotas_cluster"] for row in rows} == {0, 1, 2}
    assert sorted(row["quotas_cluster"] for row in rows if row["kept"]) == [0, 1, 2]
    told = {row["quotas_cluster"]: row["message"] for row in rows if row["reason"] == "group_full"}
    assert told == {number: f"cluster={number}" for number in told}


def test_another_budget_is_decided_again_from_stored_ranks(tmp_path: Path) -> None:
    run(tmp_path, "by: tongue, keep: 15", f"{SIGNALS}")
    finished = open_run(str(tmp_path / "run"))
    for setting in ("quotas.keep=9", "quotas.weights=size", "quotas.most=4 quotas.keep=8"):
        asked = setting.split()
        change = whatif(finished, asked)
        folder = tmp_path / setting.replace(" ", "-")
        materialize(finished, asked, folder)
        after = {row["uid"] for row in ledger(folder) if row["kept"]}
        before = {row["uid"] for row in ledger(tmp_path / "run") if row["kept"]}
        assert (change.came, change.went) == (len(after - before), len(before - after))


def test_explain_says_which_budget_reaches_a_sample(tmp_path: Path) -> None:
    run(tmp_path, "by: tongue, keep: 15")
    finished = open_run(str(tmp_path / "run"))
    out = [row for row in ledger(tmp_path / "run") if row["reason"] == "group_full"]
    for row in out:
        told = tell(finished, row)
        (step,) = [step for step in told["steps"] if step["step"] == "quotas"]
        (mend,) = step["passes_with"]
        rank = int(row["value"])
        # At this level every group keeps rank samples, or all it has.
        assert mend["samples"] == sum(min(size, rank) for size in (20, 8, 2))


def test_the_budget_that_reaches_a_sample_is_a_share_of_all_that_reached_the_step(
    tmp_path: Path,
) -> None:
    """Also of those without a value: two of five here, so that a share of the groups alone would ask for too many."""
    made = numbered(30, tongue=(["en"] * 15 + ["de"] * 3 + [None] * 12))
    run(tmp_path, "by: tongue, keep: 0.2", "- signals: [tongue]\n- quotas: ", made)
    finished = open_run(str(tmp_path / "run"))
    out = [row for row in ledger(tmp_path / "run") if row["reason"] == "group_full"]
    assert len(out) == 12
    for row in out:
        (step,) = [step for step in tell(finished, row)["steps"] if step["step"] == "quotas"]
        (mend,) = step["passes_with"]
        change = whatif(finished, [f"quotas.keep={mend['value']}"], 30)
        assert row["uid"] in {sample["uid"] for sample in change.samples}
        assert change.kept_after == mend["samples"]


def test_no_budget_is_named_for_a_group_whose_name_is_cut(tmp_path: Path) -> None:
    """Two groups are called alike then, and the budget of the other one would be wrong."""
    names = ["long " * 20 + "a"] * 20 + ["long " * 20 + "b"] * 6
    made = numbered(26, tongue=names)
    run(tmp_path, "by: tongue, keep: 10", "- signals: [tongue]\n- quotas: ", made)
    finished = open_run(str(tmp_path / "run"))
    out = [row for row in ledger(tmp_path / "run") if row["reason"] == "group_full"]
    assert len(out) == 16
    for row in out:
        (step,) = [step for step in tell(finished, row)["steps"] if step["step"] == "quotas"]
        assert "passes_with" not in step


def test_a_share_is_as_round_as_what_can_be_kept_allows() -> None:
    assert _share(2, 3, 3) == 0.6667
    assert _share(500_000, 1_000_000, 600_000) == 0.5
    assert _share(500_001, 1_000_000, 600_000) == 0.5001
    assert _share(500_001, 1_000_000, 500_001) == 0.500001


def test_what_cannot_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="only 30 of them can be chosen"):
        run(tmp_path, "by: tongue, keep: 31")
    with pytest.raises(JobError, match="30 are asked for, and its groups allow 8"):
        run(tmp_path, "by: tongue, keep: 30, most: 3")
    with pytest.raises(JobError, match="no signal `tonge`"):
        run(tmp_path, "by: tonge, keep: 3")
    with pytest.raises(JobError, match="tongue is text, and a choice by score needs numbers"):
        run(tmp_path, "by: tongue, keep: 3, score: tongue")


def test_a_mean_below_zero_or_of_nothing_is_no_weight(tmp_path: Path) -> None:
    quality = [-1.0 if name == "de" else 1.0 for name in LANGUAGE]
    made = numbered(32, tongue=LANGUAGE, quality=quality)
    settings = "by: tongue, weights: {mean: quality}, keep: 9"
    with pytest.raises(JobError, match="quality has a mean of -1 in the group tongue=de"):
        run(tmp_path, settings, made=made)
    made = numbered(32, tongue=LANGUAGE, quality=[None if n < 20 else 1.0 for n in range(32)])
    with pytest.raises(JobError, match="quality has no value in the group tongue=en"):
        run(tmp_path / "other", settings, made=made)


UNLIKE = [{"en": 0.1, "de": 0.3, "fr": -0.2}.get(str(name), 1.0) for name in LANGUAGE]
"""Of each language the same value, and so its mean."""


def test_groups_of_low_mean_are_left_out_and_explained(tmp_path: Path) -> None:
    made = numbered(32, tongue=LANGUAGE, quality=UNLIKE)
    kept = run(tmp_path, "by: tongue, weights: {mean: quality, least: 0.2}", made=made)
    assert counted(kept) == {"de": 8}
    out = [row for row in ledger(tmp_path / "run") if row["reason"] == "low_mean"]
    assert Counter((row["rule"], row["bound"], row["message"]) for row in out) == {
        ("quality", 0.2, "tongue=en"): 20,
        ("quality", 0.2, "tongue=fr"): 2,
    }
    finished = open_run(str(tmp_path / "run"))
    for row in out:
        assert row["value"] == pytest.approx(UNLIKE[int(row["uid"], 16)])
        (step,) = [step for step in tell(finished, row)["steps"] if step["step"] == "quotas"]
        (mend,) = step["passes_with"]
        assert (mend["setting"], mend["value"]) == ("quotas.weights.least", row["value"])


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("value", [0.26, 0.1, 1e-6, -0.7, 1234.56])
def test_a_mean_of_equal_values_reaches_that_value(value: float, kind: type[np.floating]) -> None:
    number = kind(value)
    size = np.array([1, 3, 1000, 10**9])
    whole = np.floor(np.float64(number))
    part = np.rint((np.float64(number) - whole) * groups.FRACTION)
    summed = pa.table(
        {"whole": size * int(whole), "fraction": size * int(part), "valued": size, "size": size}
    )
    least = value if kind is not np.float16 else float(number)
    if value > 0:
        mean = groups.means(summed, "quotas", "quality", ["a"])
    else:
        mean = (summed["whole"].to_numpy() + summed["fraction"].to_numpy() / 2**30) / size
    assert groups.reaches(mean, least).all()
    assert not groups.reaches(mean, least + abs(least) * 1e-6 + 1e-8).any()


def test_another_least_mean_is_decided_again(tmp_path: Path) -> None:
    made = numbered(32, tongue=LANGUAGE, quality=UNLIKE)
    run(tmp_path, "by: tongue, weights: {mean: quality, least: 0.2}, keep: 4", made=made)
    finished = open_run(str(tmp_path / "run"))
    change = whatif(finished, ["quotas.weights.least=0.05", "quotas.keep=28"])
    assert (change.came, change.went) == (24, 0)
    with pytest.raises(
        JobError, match=r"28 are asked for, and its groups allow 8: .* lower `least`"
    ):
        whatif(finished, ["quotas.keep=28"])


def test_more_groups_than_a_worker_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "MOST_GROUPS", 2)
    with pytest.raises(JobError, match=r"more than 2 groups \(3\): name a coarser column in `by`"):
        run(tmp_path, "by: tongue, keep: 9")


# In memory, for `tamis evaluate`.


def pool(count: int) -> Pool:
    draw = np.random.default_rng(5)
    uid = np.stack([np.zeros(count, np.uint64), np.arange(count, dtype=np.uint64)], axis=1)
    cluster = np.minimum(draw.geometric(0.4, count) - 1, 5).astype(np.int32)
    signal = draw.integers(0, 9, count).astype(np.float64)
    return Pool(uid, cluster, np.zeros(count, np.float32), signal, np.zeros((6, 2), np.float32))


MEAN = {"mean": "quality"}


@pytest.mark.parametrize(
    "settings",
    [{}, {"score": "quality"}, {"weights": "size", "power": 0.5}, {"weights": MEAN, "power": 2.0}],
)
def test_concepts_are_chosen_from_in_memory_as_by_the_step(settings: dict[str, Any]) -> None:
    samples = pool(200)
    config = Quotas.model_validate({"by": (CLUSTER,), "keep": 1.0, **settings})
    chosen = QuotasChoice(config, 42).select(samples, 60)
    sizes = np.bincount(samples.cluster, minlength=6)
    sums = np.bincount(samples.cluster, weights=samples.signal, minlength=6)
    weights = {"size": np.sqrt(sizes), "mean": (sums / sizes) ** 2}
    weight = weights["mean" if config.mean else "size"] if "weights" in settings else np.ones(6)
    quota = group_quotas.quotas(weight, sizes, 60)
    assert np.bincount(samples.cluster[chosen], minlength=6).tolist() == quota.tolist()
    hashes = order.hashed(samples.uid, 42, "quotas")
    first = -samples.signal if "score" in settings else hashes
    for number in range(6):
        rows = np.flatnonzero(samples.cluster == number)
        expected = sorted(rows, key=lambda row: (first[row], row))[: quota[number]]
        assert sorted(expected) == np.flatnonzero(chosen & (samples.cluster == number)).tolist()


def test_other_groups_are_not_compared() -> None:
    weights = {"weights": {"mean": "quality"}, "score": "other"}
    for settings in ({"by": ("tongue",)}, {"by": (CLUSTER,), **weights}):
        config = Quotas.model_validate({**settings, "keep": 1.0})
        with pytest.raises(InfeasibleError, match="quotas of concepts alone"):
            QuotasChoice(config, 42).select(pool(20), 5)
    few = QuotasChoice(Quotas(by=(CLUSTER,), keep=1.0, most=1), 42)
    with pytest.raises(InfeasibleError, match="20 are asked for, and its groups allow"):
        few.select(pool(40), 20)
