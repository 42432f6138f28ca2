"""Two runs compared sample by sample: the same as the two ledgers compared in plain Python."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.compare import by_part
from tamis.pipeline.audit.compare.diff import _joined, diff
from tamis.pipeline.audit.reading.finished_run import open_run
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar

STEPS = """
  - signals: [words]
  - rules: {{words: {{min: {least}}}}}
  - exact_duplicates: {{on: image}}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs: the second has another rule, and a file more."""
    folder = tmp_path_factory.mktemp("diff")
    for number in range(3):
        samples = [
            Sample(f"{number}-{k:02d}", picture(k % 9), " ".join(["word"] * (1 + k % 4)), {})
            for k in range(12)
        ]
        write_tar(folder / "data" / f"{number}.tar", samples)
    for name, pattern, least in (("one", "{0..1}.tar", 2), ("two", "*.tar", 3)):
        steps = STEPS.format(least=least)
        run_here(make_plan(folder / name, folder / "data" / pattern, steps, part_samples=8))
    return folder / "one", folder / "two"


def fates(run: Path) -> dict[str, str]:
    return {
        row["uid"]: "kept" if row["kept"] else f"{row['step']}: {row['reason']}"
        for row in ledger(run)
    }


def test_moves_are_those_of_the_two_ledgers(runs: tuple[Path, Path]) -> None:
    one, two = (fates(run) for run in runs)
    expected = Counter(
        (one.get(uid), two.get(uid)) for uid in one | two if one.get(uid) != two.get(uid)
    )
    found = diff(open_run(str(runs[0])), open_run(str(runs[1])), 1000)
    assert Counter({(was, now): n for was, now, n in found.moves}) == expected
    assert ("kept", "rules: below_minimum") in expected
    assert {(s["before"], s["after"]) for s in found.samples} == set(expected)
    assert [s["uid"] for s in found.samples] == sorted(s["uid"] for s in found.samples)
    assert len(found.samples) == sum(expected.values())
    assert found.rows == (24, 36)
    assert found.only == (0, 12)
    assert found.kept[1] - found.kept[0] == found.came - found.went


def test_the_same_samples_are_compared_part_by_part(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    """As the join of the ledgers does it; where a part has other samples, the join does."""
    one, two = map(str, runs)
    before = open_run(two)
    run_here(
        make_plan(
            tmp_path / "run", f"{runs[0].parent}/data/*.tar", STEPS.format(least=4), part_samples=8
        )
    )
    after = open_run(str(tmp_path / "run"))
    assert by_part.moved(open_run(one), before, 5) is None
    assert by_part.moved(before, after, 5) is not None
    for count in (3, 1000):
        found = diff(before, after, count)
        assert found.moves
        assert (found.moves, found.samples) == _joined(before, after, count)


def test_what_was_asked_differently_is_named(runs: tuple[Path, Path]) -> None:
    found = diff(open_run(str(runs[0])), open_run(str(runs[1])))
    assert found.settings == {"rules.bounds.words.min": (2, 3)}
    assert list(found.inputs) == ["input/2.tar"]
    assert found.versions == {}


def test_a_run_and_itself(runs: tuple[Path, Path]) -> None:
    found = diff(open_run(str(runs[0])), open_run(str(runs[0])))
    assert (found.moves, found.samples, found.settings, found.inputs) == ([], [], {}, {})


def test_the_command(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    one, two = map(str, runs)

    def told(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["diff", *arguments])
        assert ended.value.code == 0
        return capsys.readouterr().out

    shown = told(one, two)
    assert "rules.bounds.words.min" in shown
    assert "only in the first 0, only in the second 12" in shown
    answer = json.loads(told(one, two, "-n", "2", "--json"))
    assert answer["only"] == [0, 12]
    assert len(answer["samples"]) == 2
    assert sum(samples for _, _, samples in answer["moves"]) > 12
    assert "no sample has another fate" in told(one, one)
