"""Whatever is given to a command, it ends with one line, and with an exit code that says whose the fault is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.schemas import yaml12
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.parse import apply_setting, dump, parse_job
from tests.conftest import ROOT
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

STEPS = "  - signals: [words]\n  - rules: {words: {min: 1}}\n  - exact_duplicates\n  - write"
JOB = "name: odd\ninput: [{path: 'x/{0..1}.tar'}]\noutput: out\nseed: 7\nsteps: [write]\n"


def deep(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


ODD = {
    **{f"seed: {value[:40]}": JOB.replace("7", value) for value in (
        "1" * 5000, "1" * 400, "-" + "1" * 5000, "!!int abc", "!!float abc", "!!bool abc", "!!null x",
        "!!timestamp abc", "!!timestamp 2020-13-45", "!!timestamp 2020-01-01", '!!binary "@@"', "!!set {a, b}",
        "!!omap [a: 1]", "!!pairs [a: 1]", "!!omap 3", "!!set 3", "!!seq 3", "!!map 3", "!!str [1]", "!!merge 3",
        "!!int []", "!!float {}", "!!bool []", "!x 3", "!!python/name:os.system", "0x" + "f" * 9000, "0o" + "7" * 9000,
        "1e999999999", ".nan", "-.inf", "!!float 1:2:3", "!!int 1:2:3", "*unknown", "&a *a", '"\\ud800"',
        '"\\U00110000"',
        deep(900), deep(100), deep(20000), deep(5000, "{a: ", "}"), deep(300, "[[", "]]"), "? [a]\n: 3", "{[a]: 3}",
        "{{a: 1}: 3}", "'", '"', "|", ">-", "%", "@", "`", "\t", "!!python/object/apply:os.system [id]",
    )},
    "deep blocks": JOB + "extra:\n" + "".join("  " * (i + 1) + "a:\n" for i in range(600)),
    "a list that holds itself": JOB + "extra: &r [*r]\n",
    "a map that holds itself": JOB + "extra: &r {a: *r}\n",
    "a key that is a list": JOB + "? [a, b]\n: 3\n",
    "a merge of a number": JOB + "<<: 3\n",
    "a merge of itself": JOB + "extra: &r {<<: *r}\n",
    "laughs": "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8))
    .join(["a: &a [x,x,x,x,x,x,x,x,x,x]\n", JOB]),
    "a set for the input": JOB.replace("[{path: 'x/{0..1}.tar'}]", "!!set {a}"),
    "nothing": "", "a comment": "# x", "a word": "x", "two documents": f"{JOB}---\n{JOB}", "a NUL": f"{JOB}\0",
    "an escape in the output": JOB.replace("output: out", r'output: "o\e[31mut"'),
    "a NUL in the output": JOB.replace("output: out", r'output: "o\0ut"'),
    "a NUL in a path": JOB.replace("'x/{0..1}.tar'", r'"x\0.tar"'),
    "too many names": JOB.replace("{0..1}", "{0..99999999999}"),
    "braces in braces": JOB.replace("{0..1}", deep(2000, "{", "}")),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_job_file(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(ODD[kind])
    ends_in_one_line(capfd, "plan", "job.yaml")
    assert os.listdir(tmp_path) == ["job.yaml"]


@pytest.mark.parametrize("kind", [kind for kind in ODD if kind.startswith("seed")])
def test_an_odd_setting(kind: str) -> None:
    value = kind.removeprefix("seed: ")
    raw = yaml12.load(JOB)
    with suppress(JobError):
        apply_setting(raw, f"seed={value}")
        assert isinstance(parse_job(JOB, "job", [f"seed={value}"]).seed, int)
        dump(parse_job(JOB, "job", [f"seed={value}"]))


def ends_in_one_line(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capfd.readouterr()
    assert ended.value.code == 2, told.err
    (line,) = told.err.splitlines()
    return line


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    samples = [Sample(f"k{i}", picture(i // 2 * 999), "two words", {}) for i in range(8)]
    write_tar(folder / "in/0.tar", samples)
    run_here(make_plan(folder / "run", folder / "in/0.tar", STEPS))
    return folder / "run"


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "other": lambda path: path.write_bytes(b"PAR1" + b"\xff" * 99 + b"PAR1"),
    "gone": lambda path: path.unlink(),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_beside_a_damaged_table(
    damage: str,
    finished: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Of every phase one table, and its index."""
    run = shutil.copytree(finished, tmp_path / "run")
    for phase in sorted(run.glob("tables/*/*")):
        for path in (next(phase.glob("*.parquet")), phase / "_index.parquet"):
            sound = path.read_bytes()
            DAMAGES[damage](path)
            with pytest.raises(SystemExit) as ended:
                main(["audit", str(run), "--sql", "select 1"])
            told = capfd.readouterr()
            assert ended.value.code in (0, 2), told.err
            assert len(told.err.splitlines()) == (ended.value.code == 2)
            path.write_bytes(sound)


NUMBERS = ("9" * 400, "-" + "9" * 400, "1e300", "1e999", "nan", "inf", "-inf", "1e", "", " 1", "0x1", "1_0", "9" * 5000,
           str(2**63), str(-(2**63)), "1.5", "٣")  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", ["after", "cluster", "min.words", "max.words", "min.distance"])
def test_numbers_that_a_browser_may_send(name: str, number: str, finished: Path) -> None:
    browser = Browser(open_run(str(finished)), lambda story: story)
    for ask in (browser.samples, browser.counts):
        with suppress(InputError):
            json.dumps(ask({name: number}), default=str)


LONG = {
    "counting": "select count(*) from range(10000000000) a, range(10000000000) b where a.range % 7 = b.range % 11",
    "one value, which DuckDB does not leave": "select levenshtein(repeat('ab', 90000), repeat('ba', 90000))",
    "sorting": "select max(h) from (select hash(range) h from range(3000000000) order by 1)",
}  # fmt: skip


PROGRAM = """
import duckdb
from tamis.jobs.cli.app import main
from tamis.jobs.commands import audit
print("imported", flush=True)
main()
"""

AT_WORK = 1.0
"""Seconds of processor time after the imports, by which the command is at the query."""


def busy(process: subprocess.Popen[str]) -> float:
    """Seconds of processor time that it has had."""
    return float(psutil.Process(process.pid).cpu_times().user)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("query", LONG)
def test_a_long_query_ends_at_a_signal(query: str, number: signal.Signals, finished: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "audit", str(finished), "--sql", LONG[query]]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as asking:
        try:
            assert asking.stdout is not None
            assert asking.stdout.readline() == "imported\n"
            begun = busy(asking)
            while busy(asking) - begun < AT_WORK:
                assert asking.poll() is None
                time.sleep(0.05)
            asking.send_signal(number)
            _, said = asking.communicate(timeout=180)
        finally:
            asking.kill()
    assert asking.returncode in (128 + number, 130, -number)
    assert "Traceback" not in said


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB.replace("x/{0..1}.tar", "hf://datasets/a/b/*.parquet"))
    done = subprocess.run(
        [sys.executable, "-m", "tamis.jobs", "plan", str(tmp_path / "job.yaml")],
        cwd=ROOT, env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hf://datasets/a/b" in done.stderr
