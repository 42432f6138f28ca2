"""`tamis budget --fit`: heads on buckets of a run whose quality falls as its signal does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.evaluate import quality_buckets
from tamis.pipeline.evaluate.quality_buckets import Measuring, decider, fit
from tamis.pipeline.evaluate.sources import HeldOut, held_out
from tamis.schemas.errors import JobError
from tests.support.running import make_plan, run_here
from tests.support.synthetic import captions, meanings, views, write_input

COUNT = 800

STEPS = """
  - signals: [trust]
  - embed: {encoder: precomputed}
  - score: {name: trusted, signal: trust, keep: 0.5}
  - write
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the less trusted half of the pairs the captions are those of others."""
    folder = tmp_path_factory.mktemp("budget-fit")
    image, caption = views(meanings(COUNT))
    trust = np.random.default_rng(3).permutation(COUNT)
    wrong = np.flatnonzero(trust < COUNT // 2)
    caption[wrong] = caption[np.roll(wrong, 1)]
    entry = write_input(
        folder / "in", image, caption, captions(COUNT).tolist(), trust=trust.tolist()
    )
    run_here(make_plan(folder / "run", "", STEPS, input=[entry], part_samples=250))
    return folder / "run"


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trainings and draws than are of use to a person."""
    monkeypatch.setattr(quality_buckets, "PASSES", (0.5, 1, 4))
    monkeypatch.setattr(quality_buckets, "DRAWS", 40)


def measuring(threads: int = 1, **more: Any) -> Measuring:
    held = HeldOut.parse(["0.2"], None)
    return Measuring(
        **{
            "signal": "trust",
            "best": "highest",
            "buckets": 4,
            "floor": 0.0,
            "held_out": held,
            "seeds": 3,
            "threads": threads,
            **more,
        }
    )


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["budget", *map(str, arguments), "--json"])
    shown = capsys.readouterr()
    assert not ended.value.code, shown.err
    found: dict[str, Any] = json.loads(shown.out)
    return found


def test_what_teaches_more_falls_faster(run: Path) -> None:
    found = fit(open_run(str(run)), measuring())
    b = [bucket.b for bucket in found.law.buckets]
    assert max(b[:2]) < 2 * min(b[2:]), b
    assert sum(bucket.samples for bucket in found.law.buckets) == pytest.approx(COUNT)
    for bucket in found.law.buckets:
        assert bucket.b_interval is not None
        assert bucket.b_interval[0] <= bucket.b <= bucket.b_interval[1]
    assert len(found.draws) == 40


def test_threads_change_nothing(run: Path) -> None:
    opened = open_run(str(run))
    assert fit(opened, measuring()).law == fit(opened, measuring(threads=2)).law


def test_the_command_says_what_to_keep(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, run, "--seen", 4000, "--fit", "--seeds", 3, "--cpus", 1)
    assert found["law"]["signal"] == "trust"
    for pool in found["pools"]:
        assert pool["interval"][0] <= pool["interval"][1]
    assert sum(pool["best_of"] for pool in found["pools"]) == pytest.approx(1)
    best = min(found["pools"], key=lambda pool: pool["error"])
    if found["setting"] is not None:
        assert found["setting"] == f"trusted.keep={best['samples']:.0f}"
        assert whatif(open_run(str(run)), [found["setting"]]).kept_after == round(best["samples"])
    page = report(open_run(str(run))).decode()
    assert "95% interval" in page
    again = asked(capsys, run, "--seen", 4000, "--law", run / "budget.json")
    assert [pool["error"] for pool in again["pools"]] == [pool["error"] for pool in found["pools"]]


def test_one_seed_has_no_intervals(run: Path) -> None:
    found = fit(open_run(str(run)), measuring(seeds=1))
    assert found.draws == []
    assert all(bucket.b_interval is None for bucket in found.law.buckets)


def test_the_step_that_keeps_by_a_signal_says_which_end_is_best(run: Path) -> None:
    opened = open_run(str(run))
    assert decider(opened, None) == ("trust", "highest")
    assert decider(opened, "clip_similarity") == ("clip_similarity", "highest")
    assert fit(opened, measuring(best="lowest", seeds=1)).law.best == "lowest"


def test_buckets_are_in_the_order_of_the_signal(run: Path) -> None:
    for best, sign in (("highest", -1), ("lowest", 1)):
        opened = open_run(str(run))
        division = held_out(opened, HeldOut.parse(["0.2"], None), ["trust"], None, range(2))
        pairs, holdouts = division.pairs, division.holdouts
        trials, size = quality_buckets._trials(pairs, holdouts, measuring(best=best, seeds=2))
        for seed in range(2):
            means = [pairs.signals[t.rows, 0].mean() for t in trials if t.seed == seed]
            assert means == sorted(means, key=lambda mean: sign * mean)
        assert {len(trial.rows) for trial in trials} == {size}
        rows = np.concatenate([trial.rows for trial in trials if trial.seed == 0])
        assert len(np.unique(rows)) == len(rows)
        assert not set(rows.tolist()) & set(
            np.concatenate(list(holdouts[0].tested.values())).tolist()
        )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"buckets": 1}, "--buckets 1: from 2 to 100"),
        ({"buckets": 60}, "--buckets 60: 10 pairs .* take fewer buckets"),
        ({"seeds": 0}, "--seeds 0"),
        ({"floor": 1.0}, "--floor 1"),
        ({"signal": "uid"}, "column `uid` is VARCHAR: name one that holds numbers"),
    ],
)
def test_what_cannot_be_fitted_is_refused(run: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        fit(open_run(str(run)), measuring(**more))


def test_a_law_is_fitted_or_given(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["budget", str(run), "--seen", "10", "--fit", "--law", "x.yaml"])
    assert ended.value.code == 2
    assert "give one of the two" in capsys.readouterr().err
