"""A run that an earlier version made: it is gone on with, or refused in one line."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.runs import plan, walk
from tamis.pipeline.runs.account import Result
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.errors import StateError
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
    """Ingest and signals are taken over. The embedding files are newer here, so their part is done again."""
    ledger, subset = (earlier / "ledger" / "part-00000.parquet").read_bytes(), kept(earlier)
    files = {path: path.stat().st_mtime_ns for path in earlier.glob("tables/*/*/*.parquet")}
    go_on()
    same = {path for path, stamp in files.items() if path.stat().st_mtime_ns == stamp}
    for phase in ("ingest/files", "signals/values", "rules/verdict", "exact_duplicates/verdict"):
        assert list(same & set(earlier.glob(f"tables/{phase}/*.parquet"))), phase
    assert (earlier / "ledger" / "part-00000.parquet").read_bytes() == ledger
    assert kept(earlier) == subset
    assert go_on().tasks_run == 0
    assert json.loads((earlier / "plan.json").read_bytes())["layout"] == LAYOUT


def test_it_can_be_read_as_it_is(earlier: Path) -> None:
    run = open_run(str(earlier))
    assert run.manifest.kept == 7
    assert len(run.find("https://example.org/none.png")) == 0
    with pytest.raises(StateError, match="its job has settings that this version does not know: "):
        run.steps  # noqa: B018 - asked for its error


def test_one_of_a_later_version_is_refused_in_one_line(earlier: Path) -> None:
    path = earlier / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"layout": LAYOUT + 1}))
    for ask in (go_on, lambda: open_run(str(earlier)).parts):
        with pytest.raises(
            StateError, match=r"layout 3, and this version reads 1 to 2: use the v.*$"
        ):
            ask()
