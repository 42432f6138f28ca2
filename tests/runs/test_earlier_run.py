"""A run that an earlier version made: it is gone on with, or refused in one line."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import tell
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.runs import plan, walk
from tamis.pipeline.runs.account import Result
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.layout import LAYOUT
from tamis.schemas.parse import parse_job

ARCHIVE = Path(__file__).with_name("earlier_run.tar.gz")
"""A job over 40 rows of metadata with embeddings, its input, and its run directory, made by version 0.1.0."""


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run directory, beside an input that is no newer than it was."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    (known,) = json.loads((tmp_path / "run" / "plan.json").read_bytes())["inputs"]
    stamp = int(known["stamp"])
    os.utime(tmp_path / "pairs.parquet", ns=(stamp, stamp))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def go_on(accept_changed: bool = False) -> Result:
    """The same job again."""
    made = plan.make(parse_job(Path("job.yaml").read_text(), "job.yaml"), accept_changed)
    return walk.run(made, executor=Here(made.root))


def kept(run: Path) -> bytes:
    return (run / "subset.npy").read_bytes()


def test_it_is_gone_on_with(earlier: Path) -> None:
    """Signals are taken over. Ingest, which reads more kinds of files now, is done again, and comes to the same; so is
    the part of the embedding files, which are newer here.
    """
    ledger, subset = (earlier / "ledger" / "part-00000.parquet").read_bytes(), kept(earlier)
    files = {path: path.stat().st_mtime_ns for path in earlier.glob("tables/*/*/*.parquet")}
    go_on()
    same = {path for path, stamp in files.items() if path.stat().st_mtime_ns == stamp}
    for phase in ("signals/values", "rules/verdict", "exact_duplicates/verdict"):
        assert list(same & set(earlier.glob(f"tables/{phase}/*.parquet"))), phase
    assert (earlier / "ledger" / "part-00000.parquet").read_bytes() == ledger
    assert kept(earlier) == subset
    assert go_on().tasks_run == 0
    assert json.loads((earlier / "plan.json").read_bytes())["layout"] == LAYOUT


def test_it_can_be_read_as_it_is(earlier: Path) -> None:
    """Its own job file too, with settings that are gone since."""
    run = open_run(str(earlier))
    assert run.manifest.kept == 7
    assert [step.name for step in run.steps][-3:] == ["score", "density", "write"]
    assert parse_job((earlier / "job.yaml").read_text(), "job.yaml").name == "earlier"
    seen = Seen()
    assert [fault for fault in verify(run, seen) if fault.path == "job.yaml"] == []
    ledger = pq.read_table(earlier / "ledger" / "part-00000.parquet").to_pylist()
    dropped = next(row for row in ledger if row["step"] == "density")
    (row,) = run.find(dropped["uid"])
    assert tell(run, row)["dropped_by"] == "density"


def test_a_retired_setting_that_said_something_is_unknown(earlier: Path) -> None:
    text = (earlier / "job.yaml").read_text().replace("object_store: 268435456", "object_store: 1")
    with pytest.raises(JobError, match="unknown key `object_store`"):
        parse_job(text, "job.yaml")


def test_one_of_a_later_version_is_refused_in_one_line(earlier: Path) -> None:
    path = earlier / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"layout": LAYOUT + 1}))
    for ask in (go_on, lambda: open_run(str(earlier)).parts):
        with pytest.raises(
            StateError, match=r"layout 3, and this version reads 1 to 2: use the v.*$"
        ):
            ask()
