"""`tamis clean`: the tables that only an exchange needed go, and every later question has its answer or its reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tamis.jobs.commands.clean import clean_run
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.runs import cleaning
from tamis.pipeline.runs.plan import Plan
from tamis.schemas.errors import StateError
from tests.support.embedded import blobs, write_input
from tests.support.running import contents, make_plan, materialize, run_here

CAPTIONS = [
    f"the picture {i // 2 * 2654435761 % 2**32:08x} of a {i // 2 * 40503 % 2**16:04x} by lake {i % 2}"
    for i in range(60)
]
"""Two and two alike."""

STEPS = """
  - exact_duplicates: {on: url_text}
  - near_duplicates: {jaccard: JACCARD, agree: none}
  - embed: {encoder: precomputed}
  - semantic_duplicates: {clusters: 2, epsilon: EPSILON}
  - density: {clusters: 2, neighbours: 1, keep: KEEP}
  - write: {format: parquet}
"""


def plan_of(
    folder: Path, run: str, jaccard: float = 0.9, epsilon: float = 0.02, keep: float = 0.5
) -> Plan:
    """The job over ``in`` into ``run``."""
    steps = STEPS.replace("JACCARD", str(jaccard)).replace("EPSILON", str(epsilon))
    entry = {
        "path": str(folder / "in" / "*.parquet"),
        "image_embeddings": str(folder / "in" / "img_emb_*.npy"),
    }
    steps = steps.replace("KEEP", str(keep))
    return make_plan(folder / run, "", steps, input=[entry], part_samples=8)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input ``in`` and a finished run over it."""
    folder = tmp_path_factory.mktemp("finished")
    urls = [f"http://x/{i // 3}" for i in range(60)]
    samples = blobs([30, 30], [0.9, 0.9], dim=8, text=CAPTIONS, url=urls)
    write_input(folder / "in", samples, files=2)
    run_here(plan_of(folder, "run"))
    return folder


@pytest.fixture
def cleaned(finished: Path, tmp_path: Path) -> Path:
    """The same, cleaned."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    clean(tmp_path)
    return tmp_path


def clean(folder: Path) -> list[cleaning.Passing]:
    """What goes of ``run``."""
    found = list(cleaning.passing(str(folder / "run"), plan_of(folder, "run").steps))
    cleaning.clear(str(folder / "run"), found)
    return found


def test_what_only_an_exchange_needed_goes(finished: Path, tmp_path: Path) -> None:
    """And nothing else: the result stays as it was, byte for byte."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path / "run")
    found = clean(tmp_path)
    after = contents(tmp_path / "run")
    gone = before.keys() - after.keys()
    assert sum(len(before[path]) for path in gone) == sum(phase.bytes for phase in found) > 0
    assert {path: before[path] for path in before.keys() & after.keys()} == {
        path: data for path, data in after.items() if not path.endswith("/_cleared")
    }
    phases = {f"{phase.step}/{phase.phase}" for phase in found}
    assert {"ingest/uids", "exact_duplicates/keys", "near_duplicates/texts"} <= phases
    assert {"semantic_duplicates/members", "density/ranked", "ledger/hashes"} <= phases
    assert clean(tmp_path) == []


def test_a_cleaned_run_is_finished_and_sound(cleaned: Path) -> None:
    """A run has nothing to do, verify finds no fault and says what went, and whatif decides again."""
    assert run_here(plan_of(cleaned, "run")).tasks_run == 0
    run, seen = open_run(str(cleaned / "run")), Seen()
    assert list(verify(run, seen, deep=True)) == []
    assert [note for note in seen.notes if "tamis clean" in note]
    change = whatif(run, ["density.keep=0.25"])
    assert change.kept_after < change.kept_before


@pytest.mark.parametrize("settings", [{"epsilon": 0.05}, {"jaccard": 0.6}, {"keep": 0.3}], ids=str)
def test_other_settings_make_what_they_read_again(
    cleaned: Path, settings: dict[str, float]
) -> None:
    """The result is that of a run from scratch."""
    run_here(plan_of(cleaned, "run", **settings))
    run_here(plan_of(cleaned, "scratch", **settings))
    results = [
        {path: data for path, data in contents(cleaned / run).items() if path.startswith(folder)}
        for run in ("run", "scratch")
        for folder in ("ledger/", "shards/", "subset.npy", "manifest")
    ]
    assert results[:4] == results[4:]
    left = (cleaned / "run").rglob("_cleared")
    for marker in left:
        assert [path.name for path in marker.parent.iterdir() if path.name != "_cleared"] == [
            "_index.parquet"
        ]


def test_more_input_makes_what_it_reads_again(cleaned: Path) -> None:
    """A file more; the run is as one that was never cleaned."""
    urls = [f"http://y/{i // 3}" for i in range(20)]
    samples = blobs([20], [0.3], dim=8, seed=1, text=CAPTIONS[:20], url=urls)
    write_input(cleaned / "more", samples)
    for name in ("00000.parquet", "img_emb_00000.npy"):
        shutil.copy(cleaned / "more" / name, cleaned / "in" / name.replace("00000", "00009"))
    run_here(plan_of(cleaned, "run"))
    assert list(verify(open_run(str(cleaned / "run")), Seen())) == []


def test_whatif_says_what_has_gone(cleaned: Path) -> None:
    """In one line, where a question needs it."""
    run = open_run(str(cleaned / "run"))
    with pytest.raises(
        StateError, match=r"near_duplicates/\w+: `tamis clean` has removed"
    ) as caught:
        whatif(run, ["near_duplicates.jaccard=0.6"])
    assert "\n" not in str(caught.value)


def test_materialize_takes_what_is_there(cleaned: Path) -> None:
    """Another run over the tables of a cleaned one."""
    materialize(open_run(str(cleaned / "run")), ["density.keep=0.25"], cleaned / "new")
    assert list(verify(open_run(str(cleaned / "new")), Seen())) == []


def test_the_command_removes_nothing_unasked(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what may go; with ``yes`` it goes."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    run = tmp_path / "run"
    before = contents(run)
    clean_run(str(run), yes=False, json=False)
    assert contents(run) == before
    assert "may go" in capsys.readouterr().out
    clean_run(str(run), yes=True, json=True)
    assert contents(run).keys() < before.keys() | {"_cleared"} or list(run.rglob("_cleared"))
    clean_run(str(run), yes=True, json=False)
    assert "nothing to remove" in capsys.readouterr().out
