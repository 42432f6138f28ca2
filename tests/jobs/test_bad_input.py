"""Bad input gets one line that says what, where and how to mend; exit code 2; no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.demo_run import ROOT
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

pytestmark = pytest.mark.slow

STEPS = """
  - signals: [words]
  - rules: {words: {min: 1}}
  - write
"""


@dataclass(frozen=True)
class Bad:
    """A job in a folder of good input, what is wrong with it, and what the line has to say of it."""

    name: str
    says: tuple[str, ...]
    steps: str = STEPS
    entry: str = "path: FOLDER/data/*.tar"
    output: str = "FOLDER/new"
    rest: str = ""


EMBED = "\n  - embed: {{encoder: '{}'}}\n  - rules: {{clip_similarity: {{min: 0.1}}}}\n  - write\n"

PLANNED = [
    Bad(
        "a key with a typo",
        ("rules: no signal `wrods`", "did you mean `words`?"),
        STEPS.replace("words: {min", "wrods: {min"),
    ),
    Bad(
        "a step with a typo", ("`rulse`", "did you mean `rules`?"), STEPS.replace("rules", "rulse")
    ),
    Bad("a job's key with a typo", ("`sead`", "did you mean `seed`?"), rest="sead: 1\n"),
    Bad("a wrong type", ("job.yaml: seed", "wanted a whole number", "'many'"), rest="seed: many\n"),
    Bad(
        "a glob that matches nothing",
        ("FOLDER/data/*.tra", "matches nothing", "nearest directory", "FOLDER/data"),
        entry="path: FOLDER/data/*.tra",
    ),
    Bad(
        "a signal that is no column",
        ("`quality`", "no signal"),
        STEPS.replace("words: {min", "quality: {min"),
    ),
    Bad(
        "an encoder that is none",
        ("no encoder `clip:ViT-B-32`", "open_clip:MODEL/PRETRAINED"),
        EMBED.format("clip:ViT-B-32"),
    ),
    Bad(
        "a model that is none",
        ("`ViT-B-23`", "open_clip"),
        EMBED.format("open_clip:ViT-B-23/openai"),
    ),
    Bad(
        "a checkpoint that is not there",
        ("FOLDER/none.pt",),
        EMBED.format("open_clip:ViT-B-32/FOLDER/none.pt"),
    ),
    Bad(
        "another job's output",
        ("FOLDER/done", "belongs to the job `test`, not `other`", "give another `output:`"),
        output="FOLDER/done",
    ),
]

RUNNING = [
    Bad(
        "a column that is missing",
        ("has no column for `text`", "it has sha (string), words_of (int64)", "name it"),
        entry="path: FOLDER/data/0.parquet",
    ),
    Bad(
        "a checkpoint of another kind",
        ("FOLDER/bad.pt", "ViT-B-32"),
        EMBED.format("open_clip:ViT-B-32/FOLDER/bad.pt"),
    ),
    Bad(
        "more kept than there is",
        ("random: keep 100 asks for 100 samples, but only 5 reach the step", "keep fewer"),
        "\n  - random: {keep: 100}\n  - write\n",
    ),
]


EACH = """
import contextlib, io, json, sys
from tamis.jobs.cli.app import main
for job in sys.argv[1:]:
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            main(["run", job, "--cpus", "1"])
            code = 0
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, out.getvalue(), error.getvalue()]))
"""
"""Runs each job, one after another, and prints its answer."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good input, a finished run of the job `test`, a checkpoint that is none, a table without captions."""
    made = tmp_path_factory.mktemp("bad")
    samples = [Sample(f"k{i}", picture(i), f"caption number {i}", {}) for i in range(5)]
    write_tar(made / "data" / "0.tar", samples)
    (made / "bad.pt").write_bytes(b"no weights")
    table = pa.table({"sha": ["a"], "words_of": [3]})
    pq.write_table(table, made / "data" / "0.parquet")
    run_here(make_plan(made / "done", made / "data" / "*.tar", STEPS))
    return made


def write_job(bad: Bad, folder: Path, below: str) -> Path:
    job = folder / below / bad.name / "job.yaml"
    job.parent.mkdir(parents=True)
    text = (
        f"name: other\ninput: [{{{bad.entry}}}]\noutput: {bad.output}\n{bad.rest}steps:{bad.steps}"
    )
    job.write_text(text.replace("FOLDER", str(folder)))
    return job


def process(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


Answer = tuple[int, str, str]
"""Exit code, standard output, standard error."""


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, Answer]:
    """The answers to the jobs that fail before they run, by one process: most of the time goes into imports."""
    done = process(EACH, *(write_job(bad, folder, "planned") for bad in PLANNED))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    return {bad.name: json.loads(line) for bad, line in zip(PLANNED, lines, strict=True)}


PROGRESS = ("tamis: other: ", "tamis: step ", "tamis: at work", "tamis: looking for the weights ")
"""How lines begin about what takes some seconds."""


def check(bad: Bad, folder: Path, answer: Answer) -> None:
    code, out, error = answer
    assert (code, out) == (2, ""), error
    *progress, told = error.splitlines()
    assert told.startswith("tamis: ")
    assert all(line.startswith(PROGRESS) for line in progress), error
    for words in bad.says:
        assert words.replace("FOLDER", str(folder)) in told


@pytest.mark.parametrize("bad", PLANNED, ids=lambda bad: bad.name)
def test_before_it_runs_one_line_and_exit_code_2(
    bad: Bad, folder: Path, answers: dict[str, Answer]
) -> None:
    check(bad, folder, answers[bad.name])


@pytest.mark.parametrize("bad", [PLANNED[0], *RUNNING], ids=lambda bad: bad.name)
def test_in_a_process_of_its_own_one_line_and_exit_code_2(bad: Bad, folder: Path) -> None:
    """The other jobs fail in their phases, in worker processes."""
    code = "from tamis.jobs.cli.app import main; main()"
    done = process(code, "run", write_job(bad, folder, "alone"), "--cpus", "1")
    check(bad, folder, (done.returncode, done.stdout, done.stderr))
