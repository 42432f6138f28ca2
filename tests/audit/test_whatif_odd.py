"""What ``whatif`` says where something is odd: nothing left, a setting that no run would take, a damaged table."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.again.frozen_job import borrowing
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.runs import walk
from tamis.pipeline.runs.plan import make
from tamis.pipeline.tasks.perform import Here
from tamis.pipeline.tasks.sources import INDEX
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.parse import parse_job
from tests.support.embedded import blobs, write_input
from tests.support.running import contents, make_plan, materialize, run_here
from tests.support.tables import small_bundles

SHORT = 40
"""The first samples, whose captions a rule drops: whole parts of them."""

STEPS = """
  - signals: [words]
  - rules: {words: {min: 2}}
  - signals: {name: more, names: [characters, kind]}
  - embed: {encoder: precomputed}
  - rules: {name: late, characters: {min: 8}}
  - density: {clusters: 3, neighbours: 2, keep: 0.5}
  - write: {format: parquet}
"""


@pytest.fixture(scope="module", autouse=True)
def several_bundles() -> Iterator[None]:
    """Of five parts each."""
    with pytest.MonkeyPatch.context() as patch:
        small_bundles(patch, 5)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of parts of 10; of the first four nothing reaches the later steps."""
    folder = tmp_path_factory.mktemp("odd")
    text = [f"a caption {'x' * (i % 9)}" if i >= SHORT else "word" for i in range(120)]
    samples = blobs([70, 50], [0.5, 1.0], text=text, kind=["7"] * 120)
    entry = write_input(folder / "in", samples, 2)
    run_here(make_plan(folder / "run", "", STEPS, input=[entry], part_samples=10))
    return folder / "run"


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The run, to be damaged; its job still names the same input."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize("setting", ["late.characters.min=15", "density.which=hard"])
def test_parts_of_which_nothing_is_left(
    finished: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbouring ones are looked at together: all of a chunk may be gone."""
    monkeypatch.setattr("tamis.pipeline.tasks.chunks.CHUNK_ROWS", 20)
    here = whatif(open_run(str(finished)), [setting], 1000)
    monkeypatch.setattr("tamis.pipeline.audit.again.whatif.first_of", lambda *_: None)
    assert here == whatif(open_run(str(finished)), [setting], 1000)
    assert here.samples


@pytest.mark.parametrize("setting", ["write.samples_per_shard=7", "name=another"])
def test_other_shards_and_another_name_move_nobody(finished: Path, setting: str) -> None:
    change = whatif(open_run(str(finished)), [setting])
    assert change.before == change.after
    assert (change.came, change.went, change.kept_after) == (0, 0, change.kept_before)


@pytest.mark.parametrize(
    "setting",
    [
        "late.nosuch.min=1",
        "late.kind.min=1",
        "rules.kind.in=[7]",
        "rules.characters.min=1",
        "density.neighbours=3",
        "density.keep=1",
    ],
)
def test_what_no_run_would_take_is_refused_in_the_words_of_a_run(
    finished: Path, tmp_path: Path, setting: str
) -> None:
    """A signal that is nowhere, or not yet; text below a number."""
    text = (finished / "job.yaml").read_text()
    job = borrowing(parse_job(text, "x", [setting, f"output={tmp_path}"]), str(finished))
    with pytest.raises(JobError) as refused:
        walk.run(make(job), executor=Here(str(tmp_path)))
    with pytest.raises(JobError, match=f"^{re.escape(str(refused.value))}$"):
        whatif(open_run(str(finished)), [setting])


def test_a_rule_that_leaves_nothing_is_refused(finished: Path, tmp_path: Path) -> None:
    """A run stops at the rule, and says why it dropped them; what-if names the step that has nothing to decide."""
    setting = "late.characters.min=1000"
    job = parse_job((finished / "job.yaml").read_text(), "x", [setting, f"output={tmp_path}"])
    with pytest.raises(StateError, match=r"^late: drops all .* for below_minimum"):
        walk.run(make(borrowing(job, str(finished))), executor=Here(str(tmp_path)))
    with pytest.raises(JobError, match="no sample reaches the step"):
        whatif(open_run(str(finished)), [setting])


def flip(path: Path, column: int = 0) -> None:
    """One bit, at the end of what a column stores."""
    there = pq.read_metadata(path).row_group(0).column(column)
    start = there.dictionary_page_offset or there.data_page_offset
    data = bytearray(path.read_bytes())
    data[start + there.total_compressed_size - 1] ^= 16
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("setting", "table"),
    [
        ("density.keep=0.3", "density/assign/bundle-00001.parquet"),
        ("density.keep=0.3", "rules/verdict/bundle-00000.parquet"),
        ("late.characters.min=11", "more/values/part-00007.parquet"),
        ("rules.words.min=3", "signals/values/part-00007.parquet"),
    ],
)
def test_a_damaged_table_is_named_with_its_mend(copy: Path, setting: str, table: str) -> None:
    """In one line, by both ways to decide; what it says to do helps."""
    path = copy / "tables" / table
    flip(path)
    with pytest.raises(StateError, match=r"is damaged.*: remove it, and `tamis run`") as told:
        whatif(open_run(str(copy)), [setting], 0)
    assert str(path) in str(told.value)
    path.unlink()
    job = parse_job((copy / "job.yaml").read_text(), "x", [f"output={copy}"])
    walk.run(make(job), executor=Here(str(copy)))
    assert whatif(open_run(str(copy)), [setting], 0).went


def test_rows_that_cannot_be_taken_over_are_named_at_once(copy: Path, tmp_path: Path) -> None:
    """The finished run is not made again a hundred times."""
    path = copy / "tables" / "more" / "values" / "part-00007.parquet"
    flip(path)
    new = str(tmp_path / "new")
    with pytest.raises(StateError, match=f"^{re.escape(str(path))} is damaged"):
        materialize(open_run(str(copy)), ["rules.words.max=2"], new)


def test_an_index_that_is_damaged_is_left_as_it_is(copy: Path) -> None:
    """What only reads a finished run removes nothing there."""
    path = copy / "tables" / "density" / "assign" / INDEX
    flip(path)
    before: dict[str, Any] = contents(copy)
    assert whatif(open_run(str(copy)), ["density.keep=0.3"]).went
    assert contents(copy) == before
