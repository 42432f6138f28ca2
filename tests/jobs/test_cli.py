"""What the commands print, for people and for machines, and the one line that bad input gets."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.planning.where import LOCAL_SAMPLES
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

STEPS = """
  - signals: [words, min_side]
  - rules: {words: {min: 2}, min_side: {min: 8}}
  - exact_duplicates: {on: image}
  - write: {samples_per_shard: 3}
"""

NASTY = "[bold red]not markup[/] \x1b[31mred\x1b[0m\nline two \u202edesrever :smile:"


def samples(first: int) -> list[Sample]:
    url = "https://example.org/{}.png"
    return [
        Sample("twice", picture(first), "stands in both files", {"url": url.format(first)}),
        Sample("short", picture(first + 1), "word", {"url": url.format("short")}),
        Sample("copy", picture(7), "the same picture", {"url": url.format("copy")}),
        Sample("small", picture(first + 2, 4, 4), "too small a picture", {}),
        Sample("nasty", picture(first + 3), NASTY, {}),
    ]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job file whose run is finished: its output is `run`, beside it."""
    folder = tmp_path_factory.mktemp("cli")
    write_tar(folder / "data" / "0.tar", samples(100))
    write_tar(folder / "data" / "1.tar", samples(200))
    path = folder / "job.yaml"
    path.write_text(
        f"name: test\ninput: [{{path: '{folder}/data/*.tar'}}]\noutput: {folder}/run\nsteps: {STEPS}"
    )
    run_here(make_plan(folder / "run", folder / "data" / "*.tar", STEPS))
    return path


@pytest.fixture
def run(job: Path) -> str:
    return str(job.parent / "run")


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints; it ends well, and says nothing on standard error."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert (ended.value.code, captured.err) == (0, "")
    return captured.out


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command which cannot be done prints; it ends with 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert captured.out == ""
    assert captured.err.startswith("tamis: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("tamis: ").strip()


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(out(capsys, *arguments, "--json"))


def test_run_prints_the_funnel_and_the_balance(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = out(capsys, "run", str(job))
    lines = [line.split() for line in text.splitlines()]
    assert ["ingest", "10", "0", "0.0%", "10", "100.0%"] in lines
    assert ["rules", "10", "4", "40.0%", "6", "60.0%"] in lines
    assert ["exact_duplicates", "6", "1", "16.7%", "5", "50.0%"] in lines
    assert "10 in = 5 kept + 5 dropped" in text
    assert "nothing was left to do" in text
    assert f"{job.parent}/run/shards: the result; 6 files" in text


def test_run_as_json_is_one_object(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "run", str(job))
    assert (told["rows_in"], told["kept"], told["dropped"], told["computed"]) == (10, 5, 5, 0)
    assert told["steps"][1] == {
        "step": "rules",
        "entered": 10,
        "dropped": {"below_minimum": 4},
        "kept": 6,
    }


def test_plan_says_what_is_read_and_made(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "plan", str(job), "--set", "rules.words.min=3")
    assert told["samples"] == 10
    assert told["local"] == {"by_itself": True, "below": LOCAL_SAMPLES}
    assert [(entry["files"], entry["format"]) for entry in told["inputs"]] == [(2, "webdataset")]
    by_name = {step["step"]: step for step in told["steps"]}
    assert by_name["signals"]["makes"] == ["signal:words", "signal:min_side"]
    assert by_name["rules"]["reads"] == ["signal:words", "signal:min_side"]
    assert by_name["rules"]["settings"]["bounds"]["words"]["min"] == 3
    assert "words min 2; min_side min 8" in out(capsys, "plan", str(job))


def test_plan_says_which_column_was_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.table(
        {"URL": ["u"], "TEXT": ["two words"], "WIDTH": [300], "HEIGHT": [200], "pwatermark": [0.1]}
    )
    pq.write_table(table, tmp_path / "laion.parquet")
    job = tmp_path / "job.yaml"
    job.write_text(
        f"name: x\ninput: [{{path: {tmp_path}/laion.parquet}}]\noutput: {tmp_path}/run\n"
        "steps: [{signals: [watermark]}, {rules: {watermark: {max: 0.8}}}]"
    )
    told = answer(capsys, "plan", str(job))
    (entry,) = told["inputs"]
    assert entry["samples"] == 1
    assert entry["columns"] == {"text": "TEXT", "url": "URL", "width": "WIDTH", "height": "HEIGHT"}
    assert told["notes"] == ["signals: watermark is the column pwatermark of `input`"]
    text = out(capsys, "plan", str(job))
    assert "input: text is the column TEXT" in text


def test_audit_counts_reasons_by_rule(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [" ".join(line.split()) for line in out(capsys, "audit", run).splitlines()]
    assert "10 in = 5 kept + 5 dropped" in lines
    assert "rules words < 2 2 20.0% the value is below the rule's minimum" in lines
    assert "rules min_side < 8 2 20.0% the value is below the rule's minimum" in lines
    told = {tuple(one.values()) for one in answer(capsys, "audit", run)["reasons"]}
    assert ("rules", "below_minimum", "words", 2.0, 2) in told


def test_audit_by_source(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = answer(capsys, "audit", run, "--by", "source")["rows"]
    assert [row["source"] for row in rows] == ["input/0.tar", "input/1.tar"]
    assert [row["samples"] for row in rows] == [5, 5]
    assert [row["words < 2"] for row in rows] == [1, 1]
    assert [row["min_side < 8"] for row in rows] == [1, 1]
    assert sum(row["same_image"] for row in rows) == 1
    assert sum(row["kept"] for row in rows) == 5


@pytest.mark.parametrize(
    ("chosen", "keys"),
    [
        ("same_image", ["copy"]),
        ("below_minimum", ["short", "short", "small", "small"]),
        ("rules", ["short", "short", "small", "small"]),
        ("kept", ["copy", "nasty", "nasty", "twice", "twice"]),
    ],
)
def test_audit_samples(
    chosen: str, keys: list[str], run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer(capsys, "audit", run, "--sample", chosen)
    assert sorted(row["key"] for row in told["rows"]) == keys
    assert [row["uid"] for row in told["rows"]] == sorted(row["uid"] for row in told["rows"])


def test_audit_says_where_there_is_more(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the first 2; -n 20 shows more" in out(
        capsys, "audit", run, "--sample", "kept", "-n", "2"
    )
    assert "shows more" not in out(capsys, "audit", run, "--sample", "kept", "-n", "5")


def test_audit_sql_joins_tables_and_ledger_by_sid(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    query = """
        SELECT l.key, s.words FROM ledger l JOIN signals.values s USING (sid)
        JOIN ingest.files f USING (sid) WHERE f.key = l.key AND f.uid = unhex(l.uid)
        AND s.words IS NOT DISTINCT FROM l.words ORDER BY sid
    """
    rows = answer(capsys, "audit", run, "--sql", query)["rows"]
    assert [row["key"] for row in rows] == [sample.key for sample in samples(0)] * 2
    assert rows[0]["words"] == 4


def test_captions_are_never_markup(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = r"[bold red]not markup[/] \x1b[31mred\x1b[0m\nline two \u202edesrever :smile:"
    told = answer(capsys, "audit", run, "--sample", "kept")
    uid = next(row["uid"] for row in told["rows"] if row["key"] == "nasty")
    assert f"caption  {shown}" in out(capsys, "explain", run, uid)
    assert answer(capsys, "explain", run, uid)["samples"][0]["text"] == NASTY
    assert shown[:40] in out(capsys, "audit", run, "--sample", "kept")


def test_explain_names_rule_value_and_bound(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "explain", run, "https://example.org/100.png")
    assert "twice: kept" in text
    assert "words 4 >= 2" in text
    shorts = answer(capsys, "explain", run, "short")
    assert shorts["found"] == 2
    story = shorts["samples"][0]
    (step,) = [step for step in story["steps"] if step["outcome"] == "dropped"]
    assert (step["step"], step["rule"], step["value"], step["bound"]) == ("rules", "words", 1, 2)
    assert [rule["passes"] for rule in step["rules"]] == [False, True]
    assert [s["outcome"] for s in story["steps"]] == [
        "passed",
        "computed",
        "dropped",
        "not reached",
        "not reached",
    ]


def test_explain_lists_all_that_have_a_key(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "explain", run, "twice")
    assert "2 samples have that name" in text
    assert "input/0.tar" in text
    assert "input/1.tar" in text


def test_explain_tells_the_partners_fate(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "explain", run, "copy")["samples"]
    (lost,) = [story for story in told if not story["kept"]]
    (kept,) = [story for story in told if story["kept"]]
    dropped = next(step for step in lost["steps"] if step["outcome"] == "dropped")
    assert dropped["reason"] == "same_image"
    assert dropped["partner"]["uid"] == dropped["survivor"]["uid"] == kept["uid"] < lost["uid"]
    assert dropped["partner"]["kept"]
    text = out(capsys, "explain", run, lost["uid"].upper())
    assert f"partner copy in {kept['source']}, kept" in text


def test_explain_tells_where_a_kept_sample_went(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (story,) = answer(capsys, "explain", run, "https://example.org/200.png")["samples"]
    (part,) = [m for m in story["read"]["members"] if m["suffix"] == "png"]
    raw = (Path(run).parent / "data" / "1.tar").read_bytes()
    assert raw[part["offset"] :][: part["size"]] == picture(200)
    text = out(capsys, "explain", run, story["uid"])
    assert f"written to shard {story['shard']} as {story['shard_key']}" in text


def test_init_writes_a_job_that_can_be_planned(
    tmp_path: Path, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    assert str(path) in out(capsys, "init", str(path))
    shown = out(capsys, "init", "-")
    assert path.read_text() == shown
    assert "is there already" in complaint(capsys, "init", str(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing.yaml"], "no file `nothing.yaml`: "),
        (["run", "DIR"], "DIR: is a directory: name a job file in it (a run's own is job.yaml)"),
        (
            ["run", "JOB", "--output", "/proc/run"],
            "`/proc/run/run.lock` cannot be written: no such file or directory",
        ),
        (
            ["run", "JOB", "--output", "JOB"],
            "output: JOB: is a file: give another `output:`",
        ),
        (
            ["run", "JOB", "--local", "--address", "auto"],
            "--local and --address auto: a local run is without Ray: leave one of the two out",
        ),
        (["run", "dpb"], "dpb: no such preset; did you mean `dbp`?"),
        (["run", "dbp"], "dbp: has no input: add --input 'data/{00000..00007}.tar'"),
        (["run", "dbp", "--input", "x"], "dbp: has no output: add --output runs/dbp"),
        (
            ["run", "JOB", "--set", "rulse.words.min=3"],
            "--set rulse.words.min=3: no such step or key",
        ),
        (
            ["run", "JOB", "--set", "rules.wrods.min=3"],
            "rules: no signal `wrods` at this point; did you mean `words`?",
        ),
        (["run", "JOB", "--set", "seed=many"], "JOB: seed: wanted a whole number, got 'many'"),
        (
            ["plan", "JOB", "--input", "DIR/data/*.tra"],
            "`DIR/data/*.tra` matches nothing: the nearest directory",
        ),
        (
            ["plan", "JOB", "--input", "DIR/job.yaml"],
            "input `input`: DIR/job.yaml: neither .tar nor .parquet",
        ),
        (
            ["run", "JOB", "--set", "name=other"],
            "DIR/run: belongs to the job `test`, not `other`: give another `output:`",
        ),
        (
            ["run", "JOB", "--set", "part_samples=3"],
            "DIR/run: was made with part_samples 10000, not 3",
        ),
        (
            ["run", "JOB", "--input", "DIR/data/0.tar"],
            "input/1.tar: was an input of DIR/run and is no longer",
        ),
        (["audit", "DIR"], "DIR: no run is here: name a run directory, which holds manifest.json"),
        (
            ["audit", "RUN", "--sample", "same_imag"],
            "--sample same_imag: nothing was dropped for it; did you mean `same_image`?",
        ),
        (["audit", "RUN", "--sql", "SELECT nothing"], "--sql: Binder Error"),
        (
            ["audit", "RUN", "--by", "source", "--sample", "kept"],
            "--by and --sample are two questions: ask one at a time",
        ),
        (["explain", "RUN", "nobody"], "nobody: no sample of this run has that uid, key or URL"),
    ],
)
def test_bad_input_gets_one_line(
    arguments: list[str], message: str, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"JOB": str(job), "RUN": str(job.parent / "run"), "DIR": str(job.parent)}

    def fill(text: str) -> str:
        for name, path in names.items():
            text = text.replace(name, path)
        return text

    assert complaint(capsys, *map(fill, arguments)).startswith(fill(message))


def test_a_job_that_is_not_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"name: \xff\xfe")
    assert "is no text in UTF-8" in complaint(capsys, "plan", str(path))


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--nope"])
    assert ended.value.code == 2
    assert "No such option: --nope" in capsys.readouterr().err


def test_an_unfinished_run_is_not_audited(
    job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_plan(tmp_path / "run", job.parent / "data" / "*.tar", STEPS)
    run_here(made)
    (tmp_path / "run" / "manifest.json").unlink()
    assert "is not finished: `tamis run" in complaint(capsys, "audit", str(tmp_path / "run"))
    assert "is not finished" in complaint(capsys, "explain", str(tmp_path / "run"), "twice")


def test_the_runs_own_job_file_does_nothing_more(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer(capsys, "run", f"{run}/job.yaml", "--progress", "none")
    assert told["computed"] == 0


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["plan", "JOB"], ["audit", "RUN"], ["explain", "RUN", "copy"], ["run", "JOB"]],
)
def test_only_work_imports_ray_and_torch(arguments: list[str], job: Path) -> None:
    names = {"JOB": str(job), "RUN": str(job.parent / "run")}
    code = (
        "import sys\nfrom tamis.jobs.cli.app import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as ended:\n    assert not ended.code, ended\n"
        "print(sorted({'ray', 'torch'} & set(sys.modules)), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, *(names.get(word, word) for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


def test_explain_imports_what_it_needs_alone(run: str) -> None:
    """Half of what a short command takes is imports."""
    code = (
        "import sys; from tamis.jobs.cli.app import main\n"
        f"try: main(['explain', {run!r}, 'short'])\n"
        "except SystemExit as ended: print(ended.code)\n"
        "print(*sorted({'duckdb', 'fsspec', 'pandas', 'ray', 'ruamel.yaml', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["0", ""]
