"""The sizes that `tamis plan` foresees, beside those of a run."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.planning import stores
from tamis.pipeline.planning.preview import few_files
from tamis.pipeline.planning.sizes import sizes
from tamis.schemas.errors import JobError
from tamis.schemas.parse import parse_job
from tests.simulate import _job, _plan, simulate
from tests.support.embedded import blobs, write_input
from tests.support.running import make_plan, run_here

WORDS = [a + b + c for a in "bdfgklmnprst" for b in ("a", "ee", "ou") for c in "nrstlm"]

STEPS = """
  - exact_duplicates: {on: url_text}
  - embed: {encoder: precomputed}
  - density: {clusters: 2, neighbours: 1, keep: 0.5}
  - write: {format: parquet}
"""


def test_parts_are_foreseen_from_footers_and_then_counted(tmp_path: Path) -> None:
    """Files of 20 rows, at most 8 a part: three a file."""
    samples = blobs([30, 30], [0.9, 0.9], dim=8, url=[f"http://x/{i}" for i in range(60)])
    entry = write_input(tmp_path / "in", samples, files=3)
    plan = make_plan(tmp_path / "run", "", STEPS, input=[entry], part_samples=8)
    before = sizes(plan)
    assert (before.samples, before.parts, before.bundles, before.counted) == (60, 9, 1, False)
    done = run_here(plan)
    after = sizes(plan)
    assert after == replace(before, counted=True)
    assert done.tasks_run <= after.tasks


def test_tables_take_no_more_than_is_foreseen(tmp_path: Path) -> None:
    """Of parts so long that the tables' own frames weigh little."""
    rows = 20_000
    draw = random.Random(0)
    words = [" ".join(draw.sample(WORDS, 9)) for _ in range(rows)]
    uid = [f"{(7919 * row) % 2**128:032x}" for row in range(rows)]
    url = [f"https://example.org/pictures/{row}.jpg" for row in range(rows)]
    pq.write_table(pa.table({"uid": uid, "url": url, "text": words}), tmp_path / "a.parquet")
    steps = "  - signals: [words]\n  - near_duplicates: {agree: none}"
    plan = make_plan(tmp_path / "run", tmp_path / "a.parquet", steps)
    foreseen = sizes(plan).table_bytes
    run_here(plan)
    taken = stored(tmp_path / "run" / "tables") + stored(tmp_path / "run" / "ledger")
    assert foreseen / 8 < taken < foreseen


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_requests_have_their_price() -> None:
    assert stores.request_dollars(*stores.requests(parts=1000, steps=10, tasks=1_000_000)) == 5.048


def test_a_run_without_data_has_no_more_than_is_foreseen(tmp_path: Path) -> None:
    """Of the whole preset: tasks, and bytes of a description."""
    cost = simulate(6_000_000, 10_000, str(tmp_path / "run"))
    made = _plan(_job(str(tmp_path / "run"), 10_000), str(tmp_path / "run"), 600)
    found = sizes(made)
    assert (found.parts, found.counted) == (cost.parts, True)
    assert cost.tasks <= found.tasks <= 2 * cost.tasks
    assert cost.largest_task_bytes <= found.task_bytes <= 2 * cost.largest_task_bytes
    assert cost.requests <= found.puts + found.gets <= 2 * cost.requests
    assert cost.largest_task_memory <= found.task_memory <= 4 * cost.largest_task_memory


def test_what_no_memory_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, with the mend."""
    made = _plan(_job(str(tmp_path / "run"), 10_000), str(tmp_path / "run"), 100)
    real = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: 1 if name == "SC_PHYS_PAGES" else real(name))
    with pytest.raises(
        JobError, match=r"parts: the driver would hold .*: set part_samples above 10000"
    ):
        sizes(made)


@pytest.mark.parametrize(
    ("files", "size", "cpus", "told"),
    [
        (1, 1 << 30, 8, "1 of 8 processors have work"),
        (7, 1 << 26, 8, "7 of 8 processors have work"),
        (8, 1 << 30, 8, None),
        (1, 1 << 20, 8, None),
        (3, 1 << 30, 2, None),
    ],
)
def test_large_files_in_a_small_number_are_told_of(
    files: int, size: int, cpus: int, told: str | None
) -> None:
    job = parse_job(
        f"name: a\ninput: [{{path: a.tar}}]\noutput: b\nresources: {{cpus: {cpus}}}\nsteps: [write]",
        "job",
    )
    inputs = [InputFile("a", f"{n}.tar", f"{n}.tar", "tar", size) for n in range(files)]
    notes = list(few_files(job, inputs))
    assert len(notes) == (told is not None)
    assert all(told is not None and told in note for note in notes)
