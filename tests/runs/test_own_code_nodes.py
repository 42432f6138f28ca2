"""A signal, an encoder and a selector of the user's own on two nodes, which have their sources from the run alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tamis.pipeline.plugins import sources
from tamis.pipeline.runs import plan
from tamis.schemas.parse import parse_job
from tests.conftest import ROOT
from tests.support.own_encoders import write_encoder
from tests.support.running import Sample, contents, ledger, picture, run_here, write_tar

SIGNALS = """
import time

import ray

import letters

def letters_known(text: str) -> int:
    return sum(letter in letters.ALL for letter in text)

def node(text: str) -> str:
    time.sleep(0.3)
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
"""

WORTH = "def worth(letters_known: int, picture) -> float:\n    return letters_known + float(picture[0])\n"


def job(folder: Path, inputs: Path, where: bool) -> Path:
    folder.mkdir()
    encoder = write_encoder(folder)
    (folder / "signals.py").write_text(SIGNALS)
    (folder / "worth.py").write_text(WORTH)
    with_letters = f"with: [{folder}/letters.py]"
    placed = f"\n  - signals: {{name: placed, names: [{{file: {folder}/signals.py, name: node, {with_letters}}}]}}"
    text = f"""
name: own
input: [{{path: {inputs}/*.tar}}]
output: {folder}/run
steps:
  - signals: [{{file: {folder}/signals.py, name: letters_known, {with_letters}}}]{placed if where else ""}
  - embed: {{encoder: {encoder}}}
  - choose: {{keep: 0.5, by: {{file: {folder}/worth.py, name: worth}}}}
"""
    (folder / "job.yaml").write_text(text)
    return folder / "job.yaml"


@pytest.mark.slow
def test_two_nodes_do_what_one_process_does(tmp_path: Path) -> None:
    captions = ["a cab", "sky", "fed 12", "no", "beg", "had", "zzz", "cafe 21"]
    for number, text in enumerate(captions):
        sample = Sample(f"{number}", picture(0x201008 * number), text, {})
        write_tar(tmp_path / "in" / f"{number}.tar", [sample])
    command = [sys.executable, "-m", "tests.support.own_code_nodes"]
    asked = job(tmp_path / "nodes", tmp_path / "in", where=True)
    done = subprocess.run(
        [*command, str(asked)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len({row["node"] for row in ledger(tmp_path / "nodes" / "run")}) == 2
    sources.load.cache_clear()
    alone = job(tmp_path / "alone", tmp_path / "in", where=False)
    run_here(plan.make(parse_job(alone.read_text(), str(alone))))
    for step in ("signals", "embed", "choose"):
        found, expected = (
            contents(tmp_path / place / "run" / "tables" / step) for place in ("nodes", "alone")
        )
        assert found == expected, step
