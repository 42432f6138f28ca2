"""``tamis search``: what it prints, and the one line that bad input gets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tamis
from tamis.jobs.cli.app import main
from tamis.jobs.commands import search
from tamis.schemas.errors import JobError
from tests.support.embedded import blobs, run_steps, write_input
from tests.support.running import ledger, make_plan, run_here

DIM = 16
CONCEPTS = "- semantic_duplicates: {clusters: 4, epsilon: 0.001}\n- density: {keep: 0.5}\n- write"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, `run`, and vectors to search it by."""
    path = tmp_path_factory.mktemp("search")
    samples = blobs([30] * 5, [0.3] * 5, dim=DIM, text=["<script>alert(1)</script>"] * 150)
    entry = write_input(path / "in", samples, 2)
    run_steps(path / "run", [entry], CONCEPTS)
    np.save(path / "query.npy", np.arange(1, DIM + 1))
    np.save(path / "long.npy", np.ones(DIM + 3))
    (path / "words.txt").write_text("no array")
    return path


def said(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> tuple[str, str]:
    """What the command prints on standard output and standard error; `@` before a name stands for the folder."""
    named = [argument.replace("@", f"{folder}/") for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["search", str(folder / "run"), *named])
    out, err = capsys.readouterr()
    assert ended.value.code in {0, 2}, err
    return out, err


def test_a_table_says_what_was_searched(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    out, _ = said(capsys, folder, "--vector", "@query.npy", "-n", "3", "--probes", "2")
    lines = out.splitlines()
    assert lines[0].endswith("query.npy:")
    assert lines[1].split() == ["cosine", "key", "fate", "caption", "uid"]
    assert len(lines) == 3 + 3 + 2
    assert lines.pop() == "recall: not measured: `index` measures it"
    words = lines[-1].split()
    assert words[0] == "searched"
    assert 0 < int(words[1]) < int(words[3]) == 150
    assert lines[-1].endswith("in 2 of 4 concepts; --probes searches more")


def test_a_search_by_a_vector_imports_no_encoder_and_nothing_that_runs_a_job(folder: Path) -> None:
    heavy = {"pandas", "torch", "ray", "duckdb", "faiss", "PIL", "tamis.pipeline.runs"}
    code = (
        "import sys; from tamis.jobs.cli.app import main\n"
        "try: main(['search', *sys.argv[1:], '--json'])\n"
        f"except SystemExit: print(*sorted({heavy} & set(sys.modules)))"
    )
    asked = [str(folder / "run"), "--vector", str(folder / "query.npy")]
    done = subprocess.run(
        [sys.executable, "-c", code, *asked], capture_output=True, text=True, check=True
    )
    answer, imported = done.stdout.splitlines()
    assert len(json.loads(answer)["samples"]) == 20
    assert not imported


@pytest.mark.parametrize("more", [{"n": 9}, {"above": 0.1}, {"n": 9, "among": "all"}])
def test_an_answer_becomes_a_run_in_python(
    folder: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    run, vector = tamis.open(folder / "run"), np.arange(1, DIM + 1)
    found = run.search(vector=vector, where="true", **{"n": 150, **more})
    made = run.search_as(tmp_path / "new", vector=vector, **more)
    assert made.uids() == sorted(found["uid"])
    assert 0 < made.kept < run.total
    with pytest.raises(JobError, match="give one of --text"):
        run.search_as(tmp_path / "other")
    with pytest.raises(TypeError, match="no option `vectors` of a search: there are text, image,"):
        run.search(vectors=vector)  # type: ignore[call-arg]


def test_the_same_answer_as_json_and_in_python(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    out, _ = said(capsys, folder, "--vector", "@query.npy", "--above", "0.1", "--json")
    told = json.loads(out)
    table = tamis.open(folder / "run").search(vector=np.arange(1, DIM + 1), above=0.1)
    assert table.to_dict("records") == told["samples"]
    assert table.attrs == {name: told[name] for name in ("searched", "of", "above")}
    assert told["above"] > len(told["samples"]) == 20
    kept = {row["uid"] for row in ledger(folder / "run") if row["kept"]}
    assert {row["uid"] for row in told["samples"]} <= kept


def test_a_page_escapes_what_it_shows(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    page = folder / "page.html"
    out, _ = said(capsys, folder, "--vector", "@query.npy", "-n", "2", "--html", str(page))
    assert out.startswith(str(page))
    written = page.read_text()
    assert written.count('class="sample was-kept"') == 2
    assert "<script" not in written
    assert written.count("&lt;script&gt;alert(1)") == 2
    assert "in 4 of 4 concepts" in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no query: give one of --text, --image, --uid, --vector and --like-run"),
        (["--text", "a", "--uid", "b"], "--text and --uid are 2 queries: give one of"),
        (["--text", " "], "--text is empty"),
        (["--text", "a cat"], "say with --encoder which model made them"),
        (["--text", "a cat", "--encoder", "none:x"], "no encoder `none:x`"),
        (["--image", "@words.txt", "--encoder", "demo"], "cannot be searched for"),
        (["--image", "@nowhere.png"], "nowhere.png`: the nearest directory is"),
        (["--uid", "f" * 32], "no sample of this run has that uid"),
        (["--vector", "@long.npy"], f"has {DIM + 3} numbers, the run's embeddings have {DIM}"),
        (["--vector", "@words.txt"], "is no .npy file of numbers"),
        (["--vector", "@nowhere.npy"], "nowhere.npy`: the nearest directory is"),
        (["--vector", "@query.npy", "--encoder", "demo"], "nothing is encoded for --vector"),
        (["--vector", "@query.npy", "--side", "text"], "has embedded pictures alone"),
        (["--vector", "@query.npy", "--where", "kept ="], "--where: "),
        (["--vector", "@query.npy", "--embedding", "other"], "--embedding other: this run has"),
        (["--vector", "@query.npy", "--json", "--html", "x"], "are two answers"),
        (["--vector", "@query.npy", "--above", "0.1", "--probes", "2"], "leave the option out"),
        (["--vector", "@query.npy", "--dedup", "94"], "--dedup 94: is a cosine"),
        (["--vector", "@query.npy", "--like-run", "@run"], "--vector and --like-run are 2 queries"),
        (["--like-run", "@query.npy"], "is a file: name the directory of a finished run"),
        (["--like-run", "@nowhere"], "is no finished run"),
        (["--like-run", "@run", "--probes", "2"], "--like-run compares all vectors"),
        (["--vector", "@query.npy", "--as", "@new", "--html", "x"], "are two answers"),
        (["--vector", "@query.npy", "--as", "@new", "--where", "kept"], "--where has no step"),
        (
            ["--vector", "@query.npy", "--as", "@new", "-n", "3", "--above", "0.1"],
            "--as: -n and --above both say how many: leave one of them out",
        ),
        (["--vector", "@query.npy", "--as", "@run"], "a finished run is there already"),
        (["--vector", "@query.npy", "--as", ""], "--as is empty: name a new directory"),
        (["--vector", "@query.npy", "--as", "@words.txt"], "is a file: name a new directory"),
        (["--vector", "@query.npy", "--as", "@new", "-n", str(2**64)], "cannot have keep"),
        (["--image", "/dev/zero", "--encoder", "demo"], "`/dev/zero` is a device: name a file"),
    ],
)
def test_bad_input_gets_one_line(
    capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str], message: str
) -> None:
    out, err = said(capsys, folder, *arguments)
    assert out == ""
    assert message in err
    assert err.startswith("tamis: ")
    assert err.count("\n") == 1


def test_a_search_that_reads_very_much_says_for_how_long(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LARGE", 150 * DIM * 2)
    length = r"note: reading up to 150 vectors, 4\.8 kB, in about [0-9.]+ s, as long as the first \d+ take\n"
    for streams in (["--where", "true"], ["--above", "0.5"]):
        out, err = said(capsys, folder, "--vector", "@query.npy", *streams)
        assert re.search(length, err)
        assert "recall" not in out
    out, err = said(capsys, folder, "--vector", "@query.npy", "--probes", "2")
    assert err == ""
    out, err = said(capsys, folder, "--vector", "@query.npy", "--probes", "4")
    assert "recall" not in out
    monkeypatch.setattr(search, "LARGE", 150 * DIM * 2 + 1)
    assert said(capsys, folder, "--vector", "@query.npy", "--where", "true")[1] == ""


def test_what_is_found_is_written_as_a_run(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    asked = ["--vector", "@query.npy", "--above", "0.1", "--dedup", "0.9"]
    out, _ = said(capsys, folder, *asked, "-n", "100", "--json")
    shown = json.loads(out)
    assert shown["copies"] > 0
    all_shown, _ = said(capsys, folder, *asked, "-n", "100")
    assert "shows all" not in all_shown
    some, _ = said(capsys, folder, *asked, "-n", "1", "--json")
    hint = f"-n {shown['above'] - json.loads(some)['copies']} shows all"
    assert hint in said(capsys, folder, *asked, "-n", "1")[0]
    out, _ = said(capsys, folder, *asked, "--as", "@new", "--local", "--json")
    told = json.loads(out)
    assert told["run"] == str(folder / "new")
    assert told["kept"] == len(shown["samples"])
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(folder / "new"), "--deep"])
    assert ended.value.code == 0
    kept = {row["uid"] for row in ledger(folder / "new") if row["kept"]}
    assert kept == {row["uid"] for row in shown["samples"]}


def test_a_run_without_embeddings_says_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    entry: dict[str, Any] = {"path": f"{folder}/in/*.parquet"}
    run_here(make_plan(tmp_path / "run", "", "- signals: [words]\n- write", input=[entry]))
    _, err = said(capsys, tmp_path, "--text", "a cat")
    assert err.endswith("has no embeddings: put an `embed` step into its job\n")
