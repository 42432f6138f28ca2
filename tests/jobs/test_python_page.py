"""Every block of the page about Python runs, in the page's order; and a notebook runs a job and shows it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text()

JOB = """
name: mine
input: data/*.tar
output: runs/unused
steps:
  - signals: [words]
  - rules: {words: {min: 1}}
  - embed: {encoder: demo}
  - density: {clusters: 4, neighbours: 3, keep: 0.4}
  - write
"""


def blocks() -> Iterator[str]:
    """The blocks of Python, and behind the one that opens the run the calls of the table, in the page's order."""
    for block, call in re.findall(
        r"^```python\n(.*?)^```|^\| `(run\..*?)` \|", PAGE, re.MULTILINE | re.DOTALL
    ):
        yield block or f"result = {call}\nassert result is not None"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a job and data, in which a person works; datasets keeps its cache there too."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/0.tar").symlink_to(ROOT / "jobs/examples/clipart/00000.tar")
    (tmp_path / "job.yaml").write_text(JOB)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.slow
def test_every_block_runs(folder: Path) -> None:
    names: dict[str, Any] = {}
    found = list(blocks())
    assert len(found) > 20
    for block in found:
        exec(compile(block, "python.md", "exec"), names)  # noqa: S102 - the page is ours
    run, rows = names["run"], names["table"]
    assert names["vectors"].shape == (run.kept, run.embeddings()["image"].type.list_size)
    assert sorted(rows["uid"].to_pylist()) == run.uids()
    assert names["longest"].shape == (5, 2)
    assert names["smaller"].kept < run.kept
    assert run.to_huggingface().num_rows == run.kept == sum(1 for _ in run.to_webdataset())


CELLS = (
    "import sys\nsys.path[:0] = {path!r}",
    "import tamis",
    "run = tamis.run('job.yaml', output='runs/notebook')\nrun",
)


@pytest.mark.slow
def test_a_notebook_runs_a_job_and_shows_it(folder: Path) -> None:
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(cell.format(path=sys.path)) for cell in CELLS]
    client = NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    table, shown = book.cells[-1].outputs
    assert table.output_type == "display_data"
    steps = re.findall(
        r"<tr><td>(\w+)</td><td>(\d*)</td><td>\d*</td><td>(\d*)</td>", table.data["text/html"]
    )
    names = [step for step, _, _ in steps]
    assert names == ["ingest", "signals", "rules", "embed", "density", "write", "ledger"]
    (kept,) = (kept for step, _, kept in steps if step == "density")
    assert f"{kept} of 227 samples kept" in shown.data["text/html"]
    assert "<table" in shown.data["text/html"]
