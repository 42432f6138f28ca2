"""Questions about a run on an object store, of few parts and of ten times as many: requests and bytes are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

import tests.support.object_store as stores
from tamis.jobs.commands.audit import audit_run
from tamis.jobs.commands.explain import explain_sample, in_words
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.reading import pairs
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.reading.funnel import losses
from tests.support.object_store import BUCKET, ObjectStore
from tests.support.running import make_plan, run_here
from tests.support.tables import small_bundles

FEW, MANY = 10, 100
ROWS = 2
SIZE = 4
"""Parts of a bundle here, so that 10 parts fill two, as 1,000 do of 128."""

STEPS = """
  - signals: [words]
  - rules: {words: {min: 3}}
  - exact_duplicates: {on: url_text}
  - write: {format: parquet}
"""

Asked = tuple[int, int]
"""Requests, and bytes of their answers."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Finished runs by their parts; each part is a file of its own."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        small_bundles(patch, SIZE)
        for parts in (FEW, MANY):
            folder = tmp_path_factory.mktemp(f"of-{parts}")
            for part in range(parts):
                rows = range(ROWS * part, ROWS * part + ROWS)
                columns = {
                    "uid": [f"{row:032x}" for row in rows],
                    "url": [f"http://x/{row}" for row in rows],
                    "text": ["two words" if row % 7 == 1 else "a picture of it" for row in rows],
                }
                (folder / "in").mkdir(exist_ok=True)
                pq.write_table(pa.table(columns), folder / "in" / f"{part:05d}.parquet")
            run_here(make_plan(folder / "run", folder / "in" / "*.parquet", STEPS))
            found[parts] = folder / "run"
    return found


@pytest.fixture(scope="module")
def uploaded(runs: dict[int, Path]) -> Iterator[ObjectStore]:
    """Both runs, each below a folder named by its parts; no question changes them."""
    with stores.object_store() as made:
        for parts, run in runs.items():
            for path in run.rglob("*"):
                if path.is_file():
                    stores.put(made, f"{parts}/{path.relative_to(run)}", path.read_bytes())
        stores.written_long_ago()
        yield made


@pytest.fixture
def store(uploaded: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """As a process finds it that has asked nothing yet."""
    small_bundles(monkeypatch, SIZE)
    monkeypatch.setattr(pairs, "GROUPED", 1)  # as of a run with very many parts
    for name, value in uploaded.environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    uploaded.requests.clear()
    return uploaded


def asked(store: ObjectStore, question: Callable[[str, int], object]) -> dict[int, Asked]:
    """What a question asks the store for, by the parts of the run."""
    found = {}
    for parts in (FEW, MANY):
        store.requests.clear()
        question(f"s3://{BUCKET}/{parts}", parts)
        found[parts] = len(store.requests), sum(request.size for request in store.requests)
    return found


def explain(url: str, parts: int) -> None:
    explain_sample(url, f"{parts:032x}", count=1, json=True, html=None)


def audit(url: str, parts: int) -> None:
    audit_run(url, by=None, sample=None, count=None, sql=None, edges=None, html=None, json=False)


def browse(url: str, parts: int) -> None:
    """The page, as it opens: its overview, and one sample."""
    browser = Browser(open_run(url), in_words)
    assert browser.overview["rows_in"] == ROWS * parts
    browser.story_at((parts // 2) << 32)


QUESTIONS = {"explain": explain, "audit": audit, "browse": browse}


@pytest.mark.parametrize("name", QUESTIONS)
def test_requests_do_not_grow_with_parts_and_bytes_hardly(name: str, store: ObjectStore) -> None:
    """A part may cost the bytes that a plan takes to list it, and no request."""
    found = asked(store, QUESTIONS[name])
    (few, few_bytes), (many, many_bytes) = found[FEW], found[MANY]
    assert few > 5
    assert many <= few + 2  # a larger file is fetched in two pieces, or not
    assert many_bytes - few_bytes < 200 * (MANY - FEW)


def test_the_account_is_told_without_the_ledger(store: ObjectStore) -> None:
    audit(f"s3://{BUCKET}/{MANY}", MANY)
    assert not [one for one in store.reads(f"{MANY}/ledger/bundle") if "00003" in one.key]


def test_the_manifest_tells_what_the_ledger_comes_to(runs: dict[int, Path]) -> None:
    run = open_run(str(runs[MANY]))
    untold = run.manifest.model_copy(update={"losses": None, "ranges": None})
    earlier = FinishedRun(run.root, untold)  # as of a version that did not count them
    assert losses(run) == losses(earlier) != []
    told, asked = (Browser(one, in_words).overview["signals"] for one in (run, earlier))
    assert told == asked != []
