"""A run that another version made, in another layout: it is refused in one line, whatever it is asked."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.runs import plan, walk
from tamis.schemas.errors import StateError
from tamis.schemas.layout import RUN_LAYOUT
from tamis.schemas.parse import parse_job
from tests.support.executors import Never
from tests.support.running import contents

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


ASKED = {
    "run": ["run", "job.yaml"],
    "audit": ["audit", "run"],
    "explain": ["explain", "run", "0"],
    "verify": ["verify", "run"],
    "whatif": ["whatif", "run", "--set", "rules.words.min=3"],
    "materialize": ["materialize", "run", "--set", "rules.words.min=3", "--as", "other"],
}


@pytest.mark.parametrize("command", ASKED)
def test_it_is_refused_in_one_line(
    command: str, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(earlier)
    with pytest.raises(SystemExit) as ended:
        main(ASKED[command])
    assert ended.value.code not in (0, None)
    said = capsys.readouterr().err.strip()
    assert (
        f"plan.json: layout 1, and this version reads and goes on with layout {RUN_LAYOUT} alo"
        in said
    )
    assert "use the version that made the run, or run the job into another `output:`" in said
    assert "\n" not in said
    assert contents(earlier) == before
    assert not (earlier.parent / "other").exists()


@pytest.mark.parametrize("layout", [RUN_LAYOUT - 1, RUN_LAYOUT + 1, "3", None])
def test_so_is_any_other_layout(layout: object, earlier: Path) -> None:
    path = earlier / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"layout": layout}))

    def go_on() -> None:
        made = plan.make(parse_job(Path("job.yaml").read_text(), "job.yaml"))
        walk.run(made, executor=Never(made.root))

    for ask in (go_on, lambda: open_run(str(earlier))):
        with pytest.raises(StateError, match=rf"layout {layout!r}, and this version reads .*`$"):
            ask()
