"""The program that prints the files which a reader passes sees the project's functions, by stage."""

from __future__ import annotations

import re

from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tests.conftest import ROOT
from tests.support.walks import Recorder, dying, naming


def test_what_is_entered_belongs_to_its_stage() -> None:
    recorder = Recorder()
    storage.join("before", "file")
    with recorder.at("outer stage"):
        paths.folder("step", "phase")
        with recorder.at("inner"):
            storage.join("folder", "file")
        paths.address("tables/step/phase/task.parquet")
    storage.join("after", "file")
    assert recorder.files(["outer"]) == {"pipeline/tables/paths.py": "folder"}
    assert recorder.files(["inner"]) == {"pipeline/store/storage.py": "join"}
    assert [*recorder.files(["inner", "outer"])] == [
        "pipeline/store/storage.py",
        "pipeline/tables/paths.py",
    ]


def test_a_task_that_dies_is_found_by_words() -> None:
    assert {"pipeline/runs/isolate.py", "pipeline/runs/ray_engine.py"} <= set(dying())


def test_few_files_name_a_threshold_on_its_way() -> None:
    """As the page of the architecture tells it; the other files would carry any other setting as well."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    life = page.split("## The life of a threshold")[1].split("\nOf these")[0]
    passed = dict.fromkeys(
        path for path in re.findall(r"`([\w/]+\.py)`", life) if (ROOT / path).exists()
    )
    assert len(passed) > 15
    assert naming(passed) == [
        "pipeline/steps/selectors/config.py",
        "pipeline/steps/selectors/density/step.py",
        "pipeline/algorithms/choosing/density.py",
        "pipeline/steps/concepts/ranking.py",
        "pipeline/steps/ledger.py",
    ]
