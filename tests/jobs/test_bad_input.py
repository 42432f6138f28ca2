"""Bad input gets one line that says what, where and how to mend; exit code 2; no traceback."""

from __future__ import annotations

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
        ("words needs text", "the input has columns sha, words_of"),
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


@pytest.mark.parametrize("bad", [*PLANNED, *RUNNING], ids=lambda bad: bad.name)
def test_one_line_and_exit_code_2(bad: Bad, folder: Path) -> None:
    def filled(text: str) -> str:
        return text.replace("FOLDER", str(folder))

    job = folder / "job.yaml"
    job.write_text(
        f"name: other\ninput: [{{{filled(bad.entry)}}}]\noutput: {filled(bad.output)}\n"
        f"{bad.rest}steps:{filled(bad.steps)}"
    )
    command = [sys.executable, "-c", "from tamis.jobs.cli import main; main()", "run", str(job)]
    done = subprocess.run(
        [*command, "--cpus", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("tamis: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for words in bad.says:
        assert filled(words) in done.stderr
