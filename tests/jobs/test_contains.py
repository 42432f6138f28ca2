"""`tamis contains`: which inputs stand in which others, exactly and by a sample."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.algorithms import containment
from tamis.pipeline.audit.compare import contains
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

STEPS = "- signals: [words]\n- rules: {words: {min: 1}}\n- write"


def write(path: Path, numbers: Sequence[int]) -> int:
    samples = [
        Sample(f"{n}", picture(n), f"Caption {n % 5}", {"url": f"https://example.org/{n}"})
        for n in numbers
    ]
    write_tar(path, samples)
    return path.stat().st_size


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a is inside b; c is half of it, and has a picture twice; d is the same as a; e has none that can be read."""
    folder = tmp_path_factory.mktemp("contains")
    write(folder / "in/a.tar", [1, 2, 3, 4])
    write(folder / "in/b.tar", [1, 2, 3, 4, 5, 6])
    write(folder / "in/c.tar", [3, 4, 7, 8, 8])
    write(folder / "in/d.tar", [4, 3, 2, 1])
    write_tar(folder / "in/e.tar", [Sample("0", b"no picture", "words", {})])
    run_here(make_plan(folder / "run", folder / "in/*.tar", STEPS, part_samples=3))
    return folder / "run"


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["contains", *map(str, arguments)])
    assert not ended.value.code
    return capsys.readouterr().out


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told(capsys, *arguments, "--json"))
    return found


def shares(found: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {
        (pair["a"].removeprefix("input/")[0], pair["b"].removeprefix("input/")[0]): pair["share"]
        for pair in found["pairs"]
    }


def test_shares_of_all_pairs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, run)
    assert shares(found) == {
        ("a", "b"): 1,
        ("a", "c"): 0.5,
        ("a", "d"): 1,
        ("b", "a"): 4 / 6,
        ("b", "c"): 2 / 6,
        ("b", "d"): 4 / 6,
        ("c", "a"): 0.5,
        ("c", "b"): 0.5,
        ("c", "d"): 0.5,
        ("d", "a"): 1,
        ("d", "b"): 1,
        ("d", "c"): 0.5,
    }
    assert [(one["keys"], one["elsewhere"]) for one in found["sets"]] == [
        (4, 4),
        (6, 4),
        (4, 2),
        (4, 4),
        (0, 0),
    ]


def test_what_could_be_deleted(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, run)
    size = (run.parent / "in/a.tar").stat().st_size
    assert found["contained"] == [
        {"name": "input/a.tar", "in": "input/b.tar", "bytes": size},
        {"name": "input/d.tar", "in": "input/b.tar", "bytes": size},
    ]
    said = told(capsys, run)
    assert "input/a.tar (20.5 kB) stands in input/b.tar as a whole" in said
    assert "2 inputs could be deleted, 41.0 kB; the cost of making them again is not" in said
    few = told(capsys, run, "-n", 1)
    assert "the first 1 of 12; -n shows more" in few


def test_by_other_keys(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for on in ("pixels", "url"):
        assert shares(asked(capsys, run, "--on", on)) == shares(asked(capsys, run))
    captions = asked(capsys, run, "--on", "caption")
    assert [one["keys"] for one in captions["sets"]] == [4, 5, 3, 4, 0]
    assert "no two of 5 inputs share a uid" in told(capsys, run, "--on", "uid")


def test_many_keys_are_spilled_and_counted_the_same(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for on in ("sha256", "url", "uid"):
        before = told(capsys, run, "--on", on)
        with monkeypatch.context() as patch:
            patch.setattr(contains, "IN_MEMORY", 2)
            assert told(capsys, run, "--on", on) == before


def test_several_runs_are_compared_as_wholes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in/x.tar", [5, 6, 7])
    run_here(make_plan(tmp_path / "other", tmp_path / "in/x.tar", STEPS))
    found = asked(capsys, run, tmp_path / "other")
    assert found["contained"] == [
        {
            "name": str(tmp_path / "other"),
            "in": str(run),
            "bytes": (tmp_path / "in/x.tar").stat().st_size,
        }
    ]
    by_entry = asked(capsys, run, tmp_path / "other", "--by", "entry")
    assert [one["name"] for one in by_entry["sets"]] == [
        f"{run}: input",
        f"{tmp_path}/other: input",
    ]


def test_a_sample_says_how_sure_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in/a.tar", range(300))
    write(tmp_path / "in/b.tar", range(150, 450))
    run_here(make_plan(tmp_path / "run", tmp_path / "in/*.tar", STEPS))
    found = asked(capsys, tmp_path / "run", "--sample", 0.4)
    for pair in found["pairs"]:
        low, high = pair["interval"]
        assert low < 0.5 < high
        assert low < pair["share"] < high
    assert 80 < found["sets"][0]["keys"] < 160
    said = told(capsys, tmp_path / "run", "--sample", 0.4)
    assert "95% interval" in said
    assert "no input stands in another as a whole, by sha256" in said


def test_a_sample_is_no_proof(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, run, "--sample", 0.99)
    assert "input/a.tar (20.5 kB) may stand in input/b.tar as a whole" in said
    assert "a sample is no proof: without --sample every key is looked at" in said


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["contains", *map(str, arguments)])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_what_cannot_be_compared(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "a directory without files" in refused(capsys, tmp_path)
    write(tmp_path / "in/a.tar", [1])
    run_here(make_plan(tmp_path / "run", tmp_path / "in/a.tar", STEPS))
    shutil.rmtree(tmp_path / "run/tables")
    assert "tables/, which has what is compared, has been cleared" in refused(
        capsys, tmp_path / "run"
    )
    monkeypatch.setattr(containment, "MOST_SETS", 3)
    assert "5 sets are more than the 3 that are compared: count by entry" in refused(capsys, run)


def test_what_is_not_compared_is_not_offered_to_be_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """a has the one address that b has, and three pictures without any; c has a picture that cannot be read."""
    samples = [
        Sample(f"{n}", picture(n), "words", {"url": "https://h.org/1"} if n == 1 else {})
        for n in range(1, 5)
    ]
    write_tar(tmp_path / "in/a.tar", samples)
    write(tmp_path / "in/b.tar", range(1, 9))
    broken = Sample("x", b"no picture", "words", {"url": "https://example.org/1"})
    write_tar(
        tmp_path / "in/c.tar",
        [broken, Sample("1", picture(1), "words", {"url": "https://h.org/1"})],
    )
    run_here(make_plan(tmp_path / "run", tmp_path / "in/*.tar", STEPS))
    found = asked(capsys, tmp_path / "run", "--on", "url")
    assert found["contained"] == []
    assert [one["without"] for one in found["sets"]] == [3, 0, 1]
    said = told(capsys, tmp_path / "run", "--on", "url")
    assert "input/c.tar stands in input/a.tar, but for 1 sample without a url" in said
    assert "could be deleted" not in said
    by_bytes = asked(capsys, tmp_path / "run")["contained"]
    assert [(one["name"], one["in"]) for one in by_bytes] == [("input/a.tar", "input/b.tar")]
    assert "input/c.tar stands in input/b.tar, but for 1 sample" in told(capsys, tmp_path / "run")


def test_a_run_named_twice_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is named twice: it would stand in itself" in refused(capsys, run, run)


# Input files that no run has read.


def test_files_that_no_run_has_read_are_compared_as_a_runs_are(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = asked(capsys, f"{run.parent}/in/*.tar")
    stored = asked(capsys, run)
    names = [one["name"] for one in stored["sets"]]
    assert [f"input/{one['name']}" for one in bare["sets"]] == names
    for one, other in zip(bare["sets"], stored["sets"], strict=True):
        assert {**one, "name": ""} == {**other, "name": ""}
    plain = json.dumps(stored["pairs"] + stored["contained"]).replace("input/", "")
    assert json.dumps(bare["pairs"] + bare["contained"]) == plain
    sampled = asked(capsys, f"{run.parent}/in/*.tar", "--sample", "0.5")
    assert sampled["pairs"] != bare["pairs"]
    assert all(
        pair["interval"][0] <= pair["share"] <= pair["interval"][1] for pair in sampled["pairs"]
    )


def test_each_argument_is_a_set_and_runs_may_stand_beside_files(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, some = f"{run.parent}/in/a.tar", f"{run.parent}/in/[bc].tar"
    found = asked(capsys, a, some, run)
    assert [one["name"] for one in found["sets"]] == [str(run), a, some]
    assert {(pair["a"], pair["b"]): pair["share"] for pair in found["pairs"]}[a, some] == 1
    by_file = asked(capsys, a, some, "--by", "source")
    assert [one["name"] for one in by_file["sets"]] == [
        f"{a}: a.tar",
        f"{some}: b.tar",
        f"{some}: c.tar",
    ]


def test_files_that_cannot_be_compared(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = f"{run.parent}/in/a.tar"
    for arguments, why in [
        ([f"{run.parent}/in/none.tar"], "is not there"),
        ([a, a], "is named twice"),
        ([a, "--by", "entry"], "has no entries: say source or run"),
    ]:
        with pytest.raises(SystemExit) as ended:
            main(["contains", *arguments])
        assert ended.value.code == 2
        assert why in capsys.readouterr().err
