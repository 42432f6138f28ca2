"""A materialized set is the set of a run of its own with the same settings and centroids, made from what is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tamis.jobs.cli.app import main
from tamis.jobs.job_files.load import Request, load
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.runs import walk
from tamis.pipeline.runs.plan import make
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.events import Event, TaskDone
from tests.support.embedded import blobs, write_input
from tests.support.running import contents, make_plan, materialize, run_here
from tests.support.tables import INDEX, small_bundles

STEPS = """
  - signals: [words, width]
  - rules: {words: {min: 2}}
  - exact_duplicates: {on: url_text}
  - embed: {encoder: precomputed}
  - rules: {name: late, width: {min: 20}}
  - semantic_duplicates: {clusters: 3, epsilon: 0.05, full_iterations: 2}
  - density: {clusters: 5, neighbours: 2, keep: 0.4}
  - write: {samples_per_shard: 30}
"""


@pytest.fixture(scope="module", autouse=True)
def several_bundles() -> Iterator[None]:
    """Of two parts each."""
    with pytest.MonkeyPatch.context() as patch:
        small_bundles(patch, 2)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over 150 samples in parts of 32."""
    folder = tmp_path_factory.mktemp("materialize")
    random = np.random.default_rng(1)
    text = [" ".join(["word"] * int(random.integers(1, 6)) + [str(i)]) for i in range(150)]
    text[:10] = ["single"] * 10
    samples = blobs(
        [50, 40, 60],
        [0.3, 0.5, 0.2],
        seed=4,
        text=text,
        url=[f"https://example.org/{i % 140}" for i in range(150)],
        width=list(range(150)),
    )
    entry = write_input(folder / "input", samples, files=2)
    run_here(make_plan(folder / "run", "", STEPS, input=[entry], part_samples=32))
    return folder / "run"


def here(finished: Path, output: Path, *settings: str) -> list[tuple[str, str]]:
    """Materialize in this process; the (step, task) of what was computed."""
    events: list[Event] = []
    made = materialize(open_run(str(finished)), settings, output, [events.append])
    done = [(e.step, e.task) for e in events if isinstance(e, TaskDone)]
    assert made.tasks_run == len(done)
    return done


def own_run(finished: Path, output: Path, *settings: str) -> None:
    """What `tamis run --centroids` does, from the beginning."""
    job = load(
        Request(
            str(finished / "job.yaml"),
            output=str(output),
            settings=settings,
            centroids=str(finished),
        )
    )
    plan = make(job)
    walk.run(plan, executor=Here(plan.root))


def assert_same_result(made: Path, own: Path) -> None:
    for folder in ("shards", "ledger", "ledger_index"):
        assert contents(made / folder) == contents(own / folder)
    for name in ("subset.npy", "manifest.json"):
        assert (made / name).read_bytes() == (own / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "decided"),
    [
        (["density.keep=0.7"], {"density", "write", "ledger"}),
        (
            ["semantic_duplicates.epsilon=0.2", "density.balance=0.5"],
            {"semantic_duplicates", "density", "write", "ledger"},
        ),
        (["rules.words.min=3"], None),
    ],
)
def test_it_is_what_a_run_of_its_own_makes(
    finished: Path, tmp_path: Path, settings: list[str], decided: set[str] | None
) -> None:
    before = contents(finished)
    done = here(finished, tmp_path / "new", *settings)
    own_run(finished, tmp_path / "own", *settings)
    assert_same_result(tmp_path / "new", tmp_path / "own")
    assert contents(finished) == before
    if decided is not None:
        borrowed = {("semantic_duplicates", "centroids"), ("density", "centroids")}
        assert borrowed <= set(done)
        assert {step for step, _ in set(done) - borrowed} == decided
    assert list(verify(open_run(str(tmp_path / "new")), Seen(), deep=True)) == []


def test_the_new_run_stands_on_its_own_and_nothing_is_left_to_do(
    finished: Path, tmp_path: Path
) -> None:
    here(finished, tmp_path / "new", "density.keep=0.5")
    plan = make(load(Request(str(tmp_path / "new" / "job.yaml"))))
    assert walk.run(plan, executor=Here(plan.root)).tasks_run == 0
    folders = {path.parent for path in (tmp_path / "new" / "tables").rglob("*.parquet")}
    assert all((folder / INDEX).exists() for folder in folders)
    assert not (tmp_path / "new" / "tables" / "density" / "sample").exists()


def test_stopped_it_goes_on(finished: Path, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, TaskDone) and event.step == "density" and event.task == "bundle-00001":
            raise StoppedError

    root = tmp_path / "new"
    with pytest.raises(StoppedError):
        materialize(open_run(str(finished)), ["density.keep=0.6"], root, [stop])
    again = here(finished, tmp_path / "new", "density.keep=0.6")
    assert ("density", "centroids") not in again
    own_run(finished, tmp_path / "own", "density.keep=0.6")
    assert_same_result(tmp_path / "new", tmp_path / "own")


def test_a_damaged_table_is_not_taken_over(finished: Path, tmp_path: Path) -> None:
    """A byte that was flipped in the first run's decision: it is decided again, not copied."""
    table = finished / "tables" / "late" / "verdict" / "bundle-00000.parquet"
    sound = table.read_bytes()
    table.write_bytes(sound[:60] + bytes([sound[60] ^ 1]) + sound[61:])
    try:
        done = here(finished, tmp_path / "new", "density.keep=0.7")
    finally:
        table.write_bytes(sound)
    assert ("late", "bundle-00000") in done
    own_run(finished, tmp_path / "own", "density.keep=0.7")
    assert_same_result(tmp_path / "new", tmp_path / "own")


def test_what_cannot_be_is_refused(finished: Path, tmp_path: Path) -> None:
    one = open_run(str(finished))
    with pytest.raises(StateError, match="embed: 10 samples that would be alive now were never"):
        materialize(one, ["rules.words.min=1"], tmp_path / "a")
    with pytest.raises(StateError, match="a finished run is there already"):
        materialize(one, ["density.keep=0.7"], finished)
    with pytest.raises(JobError, match="--as is empty"):  # no run in the current directory
        materialize(one, ["density.keep=0.7"], "")
    with pytest.raises(JobError, match="neighbours"):
        materialize(one, ["density.neighbours=50"], tmp_path / "b")
    with pytest.raises(JobError, match=r"density\.clusters=7: asks for other concepts"):
        materialize(one, ["density.clusters=7"], tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_centroids_of_a_run_that_lacks_them_are_refused(finished: Path, tmp_path: Path) -> None:
    def asked(*settings: str) -> Request:
        job = str(tmp_path / "job.yaml")
        return Request(job, settings=settings, centroids=str(finished))

    text = (finished / "job.yaml").read_text()
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(JobError, match="no centroids of a step `other`"):
        load(asked("density.name=other"))
    other = load(asked("density.clusters=9"))
    with pytest.raises(JobError, match="density: clusters is 9, but"):
        make(other)
    (tmp_path / "job.yaml").write_text(
        f"name: t\ninput: [{{path: '{tmp_path}/*.tar'}}]\noutput: x\nsteps: [signals: [words]]"
    )
    with pytest.raises(JobError, match="no step of the job clusters"):
        load(asked())


@pytest.mark.slow
def test_the_command_on_ray(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = str(tmp_path / "new")
    with pytest.raises(SystemExit) as ended:
        main(["materialize", str(finished), "--as", new, "--set", "density.keep=0.7", "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    here(finished, tmp_path / "here", "density.keep=0.7")
    assert_same_result(tmp_path / "new", tmp_path / "here")
    assert told["kept"] == json.loads((tmp_path / "here" / "manifest.json").read_text())["kept"]
    with pytest.raises(SystemExit) as ended:
        main(["materialize", str(finished), "--as", new])
    assert ended.value.code == 2
    assert "no settings: add --set" in capsys.readouterr().err
