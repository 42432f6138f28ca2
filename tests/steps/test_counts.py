"""`counts`: captions, URLs and domains counted over the pool as brute force counts them, and boilerplate."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.steps.shared import bucket_counts
from tamis.schemas.errors import JobError
from tests.support.running import ledger, make_plan, run_here
from tests.support.tables import table

TAIL = "stock photo royalty free"

ROWS: list[tuple[str | None, str | None]] = [
    *[(f"a {name} on a wall {TAIL}", f"https://www.shop.example/{name}") for name in "abcdefgh"],
    ("A  Cat", "http://cats.example/1"),
    ("a cat", "https://CATS.example/1#top"),
    ("a cat", None),
    ("a dog", "https://shop.example/a"),
    ("once", ""),
    (None, "https://cats.example/2"),
]
"""(caption, URL); the input holds them four times, in files of unlike length."""

STEPS = """
  - counts: [caption_count, url_count, domain_count, boilerplate]
  - rules: {caption_count: {max: 8}, boilerplate: {max: 0.3}}"""


def write(folder: Path, rows: list[tuple[str | None, str | None]], cuts: list[int]) -> str:
    folder.mkdir()
    for number, (start, stop) in enumerate(zip(cuts, [*cuts[1:], len(rows)], strict=True)):
        some = rows[start:stop]
        columns = {
            "text": pa.array([text for text, _ in some], pa.string()),
            "url": pa.array([url for _, url in some], pa.string()),
        }
        pq.write_table(pa.table(columns), folder / f"{number}.parquet")
    return f"{folder}/*.parquet"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four times the rows, in seven parts, three ranges and several buckets."""
    monkeypatch.setattr(bucket_counts.buckets_for, "__defaults__", (15,))
    path = write(tmp_path / "in", ROWS * 4, [0, 9, 30])
    run_here(make_plan(tmp_path / "run", path, STEPS, part_samples=8, range_samples=20))
    return tmp_path / "run"


def host(url: str | None) -> str | None:
    return url.split("//")[1].split("/")[0].lower().removeprefix("www.") if url else None


def test_counts_are_those_of_the_whole_pool(run: Path) -> None:
    rows = ledger(run)
    usable = [row for row in rows if row["reason"] != "missing_caption"]
    assert len(rows) - len(usable) == 4
    captions = Counter(" ".join(row["text"].lower().split()) for row in usable)
    domains = Counter(host(row["url"]) for row in usable)
    for row in usable:
        assert row["caption_count"] == captions[" ".join(row["text"].lower().split())]
        assert row["domain_count"] == (domains[host(row["url"])] if row["url"] else None)
    by_url = {row["url"]: row["url_count"] for row in usable}
    assert by_url["http://cats.example/1"] == by_url["https://CATS.example/1#top"] == 8
    assert by_url["https://www.shop.example/a"] == by_url["https://shop.example/a"] == 4
    assert by_url[None] is None
    assert by_url[""] is None


def test_boilerplate_is_the_tail_that_many_captions_share(run: Path) -> None:
    runs = table(run, "counts", "frequent")
    assert TAIL in runs["text"].to_pylist()
    assert "on a wall stock" in runs["text"].to_pylist()
    by_text = {row["text"]: row["boilerplate"] for row in ledger(run) if row["text"]}
    # All but "a" and the picture's own letter.
    assert by_text[f"a a on a wall {TAIL}"] == 7 / 9
    assert by_text["a cat"] == by_text["once"] == 0


def test_bounds_on_counts_decide_and_are_moved_by_what_if(run: Path) -> None:
    rows = [row for row in ledger(run) if row["reason"] != "missing_caption"]
    for row in rows:
        assert row["kept"] == (row["caption_count"] <= 8 and row["boilerplate"] <= 0.3)
    fallen = next(row for row in rows if row["text"] == "a cat")
    assert (fallen["rule"], fallen["value"], fallen["bound"]) == ("caption_count", 12, 8)
    change = whatif(open_run(str(run)), ["rules.caption_count.max=12"])
    assert (change.came, change.went) == (12, 0)


def test_only_what_reaches_the_step_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "in", ROWS * 4, [0, 30])
    steps = (
        "  - exact_duplicates: {on: url_text}\n  - counts: {name: later, names: [caption_count]}"
    )
    run_here(make_plan(tmp_path / "run", path, steps, part_samples=8))
    rows = ledger(tmp_path / "run")
    alive = [row for row in rows if row["kept"]]
    captions = Counter(" ".join(row["text"].lower().split()) for row in alive)
    for row in rows:
        expected = captions[" ".join(row["text"].lower().split())] if row["kept"] else None
        assert row["later_caption_count"] == expected


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("[url_count]", "counts: url_count: no input has a column of URLs"),
        ("[caption_count, caption_count]", "`caption_count` stands twice"),
        ("[captions]", "caption_count"),
    ],
)
def test_what_cannot_be_counted_is_refused(tmp_path: Path, step: str, said: str) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(JobError, match=said):
        make_plan(tmp_path / "run", tmp_path / "a.parquet", f"  - counts: {step}")


def test_a_caption_in_every_part_travels_once_a_part(tmp_path: Path) -> None:
    rows: list[Any] = [("the same", f"https://a.example/{n}") for n in range(400)]
    path = write(tmp_path / "in", rows, [0, 200])
    steps = "  - counts: [caption_count, url_count]"
    run_here(make_plan(tmp_path / "run", path, steps, part_samples=50))
    found = table(tmp_path / "run", "counts", "totals")
    assert found["total"].to_pylist() == [400] * 8
    assert {row["caption_count"] for row in ledger(tmp_path / "run")} == {400}
    assert {row["url_count"] for row in ledger(tmp_path / "run")} == {1}
