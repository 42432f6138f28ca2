"""`tamis budget`: passes over what was kept, and the pool that a law says to keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tamis
from tamis.jobs.cli.app import main
from tamis.pipeline.algorithms.scaling import effective
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.report.report import report
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar

STEPS = "- signals: [words]\n- score: {name: best, signal: words, keep: 20}\n- write"

LAW = """
a: 1.0
buckets:
  - {samples: 10, b: -0.1, tau: 4}
  - {samples: 10, b: -0.3, tau: 1}
  - {samples: 10, b: -0.2, tau: 2}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that keeps 20 of 40 samples, those with the most words."""
    folder = tmp_path_factory.mktemp("budget")
    samples = [Sample(f"{n}", picture(n), "word " * (n + 1), {}) for n in range(40)]
    write_tar(folder / "in/0.tar", samples)
    run_here(make_plan(folder / "run", folder / "in/*.tar", STEPS))
    return folder / "run"


@pytest.fixture
def law(tmp_path: Path) -> Path:
    (tmp_path / "law.yaml").write_text(LAW)
    return tmp_path / "law.yaml"


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["budget", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert not call(*arguments, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_it_counts_the_passes_over_what_was_kept(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(capsys, run, "--seen", 160)
    assert (found["kept"], found["passes"]) == (20, 8)
    assert found["worth"] == pytest.approx(20 * 6.6251, abs=1e-2)
    assert any("8 passes" in note for note in found["notes"])
    assert not asked(capsys, run, "--seen", 80)["notes"]


def test_python_is_told_the_same(run: Path, law: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = tamis.open(run)
    asked_for = asked(capsys, run, "--seen", 160, "--set", "best.keep=40", "--law", law)
    assert opened.budget(160, {"best.keep": 40}, str(law)).model_dump(mode="json") == asked_for
    assert opened.budget(160).passes == 8


def test_another_keep_is_asked_of_what_is_stored(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(capsys, run, "--seen", 160, "--set", "best.keep=40")
    assert (found["kept"], found["passes"]) == (40, 4)
    assert found["notes"] == ["this is under best.keep=40; the run itself keeps 20 samples"]
    assert open_run(str(run)).manifest.kept == 20


def test_a_law_says_which_pool_to_keep(
    run: Path, law: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best bucket first, however the file has them; with more compute the best pool grows."""
    short = asked(capsys, run, "--seen", 20, "--law", law)
    assert [pool["error"] for pool in short["pools"]] == pytest.approx(
        [0.451695, 0.472871, 0.549280], abs=1e-6
    )
    assert [pool["passes"] for pool in short["pools"]] == pytest.approx([2, 1, 2 / 3])
    assert short["setting"] == "best.keep=10"
    assert asked(capsys, run, "--seen", 640, "--law", law)["setting"] == "best.keep=20"


def test_the_setting_is_one_that_whatif_takes(
    run: Path, law: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = asked(capsys, run, "--seen", 20, "--law", law)["setting"]
    assert asked(capsys, run, "--seen", 20, "--set", setting)["kept"] == 10


def test_steps_behind_the_selector_are_told_of(
    entry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They leave less of the best pool than its number: 10 are kept by `score`, of which a rule drops 4."""
    root = tmp_path / "run"
    steps = "- signals: [words]\n- score: {signal: words, keep: 20}\n- rules: {words: {max: 36}}\n- write"
    run_here(make_plan(root, entry, steps))
    law = _law(tmp_path / "law.yaml", "signal: words")
    found = asked(capsys, root, "--seen", 20, "--law", law)
    assert found["setting"] == "score.keep=10"
    assert found["notes"][-1].startswith(
        "`rules` behind `score` dropped 4 of the 20 that it kept: fewer than the best pool will be left"
    )
    assert asked(capsys, root, "--seen", 20, "--set", "score.keep=10")["kept"] == 6
    found = asked(capsys, root, "--seen", 20, "--law", law, "--set", "rules.words.max=40")
    assert not any("behind" in note for note in found["notes"])


def test_a_law_is_taken_from_another_budget_and_drawn_in_the_report(
    run: Path, law: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = asked(capsys, run, "--seen", 640, "--law", law)
    stored = run / "budget.json"
    assert json.loads(stored.read_bytes()) == first
    assert asked(capsys, run, "--seen", 640, "--law", stored) == first
    page = report(open_run(str(run))).decode()
    assert "predicted error against samples seen, 4 lines" in page
    assert "<b>0.3555</b>" in page


def test_people_see_a_table_and_the_mend(
    run: Path, law: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not call(run, "--seen", "6.4e2", "--law", law)
    shown = capsys.readouterr().out
    assert "640 samples seen, 20 kept: 32 passes over each" in shown
    assert "0.3555   least" in shown
    assert "--set best.keep=20" in shown


def test_a_law_of_a_larger_pool_gives_no_setting(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "law.yaml").write_text("{a: 1, buckets: [{samples: 12.8e6, b: -.2, tau: 3}]}")
    found = asked(capsys, run, "--seen", 1e8, "--law", tmp_path / "law.yaml")
    assert found["setting"] is None
    assert "40 samples reach `best`" in found["notes"][-1]


@pytest.mark.parametrize(
    ("law", "words"),
    [
        ("{a: 1, buckets: []}", "buckets"),
        ("{a: 1, buckets: [{samples: 1, b: .2, tau: 3}]}", "buckets.0.b"),
        ("a: [", "not YAML"),
        ("word", "the file"),
        (None, "no such file"),
    ],
)
def test_a_file_that_is_no_law_gets_one_line(
    run: Path, tmp_path: Path, law: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "law.yaml"
    if law is not None:
        path.write_text(law)
    assert call(run, "--seen", 1e3, "--law", path) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("seen", ["0", "0.4", "-5", "inf", "nan"])
def test_a_budget_is_a_number_of_samples(
    run: Path, seen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(run, "--seen", seen) == 2
    assert "--seen" in capsys.readouterr().err


def test_a_pool_that_no_keep_makes_gives_no_setting(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By words the second bucket comes first; at a budget at which both are best together, a `keep` makes them."""
    (tmp_path / "law.yaml").write_text(LAW.replace("a: 1.0", "a: 1.0\nsignal: words"))
    found = asked(capsys, run, "--seen", 20, "--law", tmp_path / "law.yaml")
    assert found["setting"] is None
    assert "so no `keep` makes it" in found["notes"][-1]
    assert found["pools"][0]["error"] == pytest.approx(0.451695, abs=1e-6)
    ordered = LAW.replace("-0.1", "x").replace("-0.3", "-0.1").replace("x", "-0.3")
    ordered = ordered.replace("tau: 4", "tau: 1", 1)
    (tmp_path / "law.yaml").write_text(ordered.replace("a: 1.0", "a: 1.0\nsignal: words"))
    found = asked(capsys, run, "--seen", 20, "--law", tmp_path / "law.yaml")
    assert found["setting"] == "best.keep=10"


@pytest.fixture(scope="module")
def entry(run: Path) -> Path:
    return run.parent / "in/*.tar"


def _law(path: Path, more: str, samples: float = 10) -> Path:
    path.write_text(f"{{a: 1, {more}, buckets: [{{samples: {samples}, b: -.2, tau: 3}}]}}")
    return path


def test_a_law_keeps_from_the_end_that_it_says(
    entry: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The advice for a step that keeps the lowest by a threshold, and one that keeps the other end."""
    cut = "score: {name: cut, signal: words, threshold: {share: 0.5}, best: lowest}"
    root = tmp_path / "run"
    run_here(make_plan(root, entry, f"- signals: [words]\n- {cut}\n- write"))
    instead = "write `score: {signal: words, best: lowest, keep: 10}` in its place"
    for more in ("signal: words, best: lowest", "signal: words"):
        found = asked(capsys, root, "--seen", 20, "--law", _law(tmp_path / "law.yaml", more))
        assert found["setting"] is None
        assert found["notes"][-1].endswith(instead)
    law = _law(tmp_path / "law.yaml", "signal: words, best: lowest")
    found = asked(capsys, run, "--seen", 20, "--law", law)
    assert found["setting"] is None
    assert "add `score: {signal: words, best: lowest, keep: 10}`" in found["notes"][-1]
    assert asked(capsys, run, "--seen", 20, "--law", run / "budget.json")["law"]["best"] == "lowest"
    law = _law(tmp_path / "law.yaml", "signal: words, best: highest")
    assert asked(capsys, run, "--seen", 20, "--law", law)["setting"] == "best.keep=10"
    found = asked(capsys, root, "--seen", 20, "--law", law)
    assert "add `score: {signal: words, keep: 10}` to its job" in found["notes"][-1]


def test_no_step_is_advised_that_cannot_keep_so_many(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    law = _law(tmp_path / "law.yaml", "signal: w", 12.8e6)
    found = asked(capsys, run, "--seen", 1e8, "--law", law)
    assert found["setting"] is None
    assert "has 12,800,000 samples, and 20 samples are kept by the run" in found["notes"][-1]
    assert "score:" not in found["notes"][-1]
    tiny = _law(tmp_path / "law.yaml", "d: 0", 0.3)
    assert asked(capsys, run, "--seen", 1, "--law", tiny)["setting"] == "best.keep=1"


def test_a_setting_is_compared_with_what_reaches_the_step_under_the_others(
    entry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "run"
    steps = "- signals: [words]\n- rules: {words: {max: 30}}\n- score: {signal: words, keep: 5}\n- write"
    run_here(make_plan(root, entry, steps))
    law = _law(tmp_path / "law.yaml", "signal: words", 12)
    assert asked(capsys, root, "--seen", 20, "--law", law)["setting"] == "score.keep=12"
    stricter = ("--set", "rules.words.max=10")
    found = asked(capsys, root, "--seen", 20, "--law", law, *stricter)
    assert found["setting"] is None
    assert "10 samples reach `score`" in found["notes"][-1]


def test_worth_counts_how_often_each_sample_is_repeated(
    entry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "run"
    steps = "- signals: [words]\n- repeat: {signal: words, total: 60, temperature: 10}\n- write: {times: repeat}"
    run_here(make_plan(root, entry, steps))
    times = [row["repeat"] for row in ledger(root) if row["kept"]]
    assert sum(times) == 60
    assert len(set(times)) > 1
    found = asked(capsys, root, "--seen", 6000)
    each = [effective(1, 6000 * one / 60) for one in times]
    assert found["worth"] == pytest.approx(sum(each))
    assert found["worth"] < effective(len(times), 6000)
    assert "subset.npy has 60 uids, 100 passes over it" in found["notes"][-1]
    assert f"seen {100 * min(times)} to {100 * max(times):,} times" in found["notes"][-1]
    other = asked(capsys, root, "--seen", 6000, "--set", "repeat.total=50")
    assert "how often under other settings is not counted" in other["notes"][-1]


@pytest.mark.parametrize(
    "option",
    [
        ("--buckets", "1000"),
        ("--buckets", "4"),
        ("--seeds", "0"),
        ("--floor", "0"),
        ("--signal", "nope"),
        ("--holdout", "0.2"),
        ("--cpus", "1"),
    ],
)
def test_what_only_a_fit_takes_is_refused_without_it(
    run: Path, option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(run, "--seen", 100, *option) == 2
    said = capsys.readouterr().err
    assert f"{option[0]}: belongs to --fit" in said
    assert said.count("\n") == 1
