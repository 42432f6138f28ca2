"""``tamis tag``: the list that it writes, what a job makes of it, and the one line that bad input gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tamis.schemas import yaml12
from tests.support.embedded import blobs, run_steps, write_input
from tests.support.running import ledger, make_plan, run_here, subset_uids

STEPS = "- signals: [words]\n- rules: {words: {min: 2}}\n- write"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, `run`, of two files; a third of the captions are too short."""
    path = tmp_path_factory.mktemp("tag")
    texts = ["one", "a red bird", "two blue birds"] * 20
    entry = write_input(path / "in", blobs([60], [0.3], dim=8, text=texts), 2)
    run_steps(path / "run", [entry], STEPS)
    return path


def said(
    capsys: pytest.CaptureFixture[str], folder: Path, name: str, *arguments: str
) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["tag", str(folder / "run"), str(folder / name), *arguments])
    out, err = capsys.readouterr()
    assert ended.value.code == (2 if err else 0)
    return out, err


@pytest.mark.parametrize("among", ["kept", "dropped", "all"])
def test_the_list_holds_what_is_meant_in_the_order_of_the_input(
    capsys: pytest.CaptureFixture[str], folder: Path, among: str
) -> None:
    name, where = f"{among}.txt", "contains(text, 'o')"  # in `one` and in `two`
    out, _ = said(capsys, folder, name, "--where", where, "--among", among, "--json")
    meant = [
        row["uid"]
        for row in ledger(folder / "run")
        if "o" in row["text"] and (among == "all" or row["kept"] == (among == "kept"))
    ]
    assert (folder / name).read_text().split() == meant
    assert json.loads(out)["samples"] == len(meant) > 0


def test_a_job_keeps_the_list_alone_or_all_but_it(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    out, _ = said(capsys, folder, "birds.txt", "--where", "contains(text, 'red')")
    assert f"  - exclude: {{list: {folder}/birds.txt, on: uid}}\n" in out
    listed = (folder / "birds.txt").read_text().split()
    kept = [row["uid"] for row in ledger(folder / "run") if row["kept"]]
    for all_but, expected in (
        ("true", sorted(listed)),
        ("false", sorted(set(kept) - set(listed))),
    ):
        step = f"- exclude: {{list: {folder}/birds.txt, on: uid, all_but: {all_but}}}\n- write"
        entry = {"path": f"{folder}/in/*.parquet"}
        output = folder / f"again-{all_but}"
        run_here(make_plan(output, "", STEPS.replace("- write", step), input=[entry]))
        assert sorted(subset_uids(output)) == expected


def test_the_step_can_be_read_whatever_the_list_is_called(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    name = "my list, second: birds #1.txt"
    out, _ = said(capsys, folder, name, "--where", "contains(text, 'red')")
    (step,) = yaml12.load("\n".join(line for line in out.split("\n") if line.startswith("  - ")))
    assert step == {"exclude": {"list": f"{folder}/{name}", "on": "uid"}}


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("a.parquet", [], "a.parquet: a job reads a table there"),
        ("a.JSONL", [], "call it .txt"),
        ("a.txt", ["--where", "nothing > 1"], "--where: "),
        ("a.txt", ["--where", "text = 'no such'"], "no sample of this run is meant"),
        ("run/manifest.json", [], "manifest.json: is there already: name a new file"),
        ("run/a.txt", [], "run"),
    ],
)
def test_what_cannot_be_listed_is_one_line(
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    name: str,
    arguments: list[str],
    expected: str,
) -> None:
    out, err = said(capsys, folder, name, *arguments)
    assert not out
    assert err.startswith("tamis: ")
    assert expected in err
    assert err.count("\n") == 1
    assert not [path for path in folder.glob("a.*") if path.is_file()]
    assert not (folder / "run/a.txt").exists()


def test_a_list_has_a_name(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    with pytest.raises(SystemExit):
        main(["tag", str(folder / "run"), ""])
    assert capsys.readouterr().err == "tamis: LIST is empty: name a new file\n"
