"""The report: one file that asks for nothing, holds what the run says, and treats captions as words."""

import hashlib
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tamis.jobs.cli.app import main
from tamis.jobs.observers.journal import Journal
from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.concepts import (
    Concept,
    concepts,
    galleries,
    mean_fits,
    spread,
)
from tamis.pipeline.audit.reading.distributions import BINS, histogram
from tamis.pipeline.audit.reading.duplicates import duplicates
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.reading.pictures import SIDE, Album, Pictures, shrink
from tamis.pipeline.audit.report import dropped, sections
from tamis.pipeline.audit.report.report import report
from tamis.schemas.costs import PREDICTION, Cost, Prediction
from tamis.schemas.events import PhaseEnded, PhaseStarted, Spent, TaskDone
from tamis.schemas.scope import Scope
from tests.audit.conftest import COPIES, HOSTILE, SHORT
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar


class Page(HTMLParser):
    """What a browser would find: tags, attributes, and the words between."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def check_closed(page: Page) -> None:
    """Nothing runs, and nothing is asked of any network."""
    assert not page.tags.keys() & {"script", "iframe", "object", "embed", "link", "form", "base"}
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name != "style", tag
        if name == "src":
            assert value.startswith("data:image/webp;base64,")
        if name == "href":
            assert value.startswith("#")


def test_captions_are_words(hostile: Path) -> None:
    page = Page(report(open_run(str(hostile))))
    check_closed(page)
    shown = [words for words in page.words if "pwned" in words or "onload" in words]
    assert all(words in HOSTILE for words in shown)
    assert HOSTILE[1] in shown  # one of the copies' group


def test_the_numbers_are_the_runs(hostile: Path) -> None:
    run = open_run(str(hostile))
    data = report(run)
    words = " ".join(Page(data).words)
    total, kept = run.manifest.rows_in, run.manifest.kept
    assert f"{total} in = {kept} kept + {len(SHORT) + COPIES} dropped." in words
    assert "words < 2" in words
    assert f"one of a group of {COPIES + 1}" in words
    assert f"{COPIES:,} duplicates in 1 groups." in words
    assert f"{total} samples" in words
    assert len(data) < 5_000_000


def test_the_same_run_gives_the_same_file(hostile: Path) -> None:
    run = open_run(str(hostile))
    assert report(run) == report(run)


def test_the_command_writes_it_into_the_run(hostile: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(hostile, tmp_path / "run")
    for arguments, target in (
        ([], copy / "report.html"),
        (["--output", str(tmp_path / "here.html")], tmp_path / "here.html"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["report", str(copy), *arguments])
        assert ended.value.code == 0
        assert target.read_bytes() == report(open_run(str(hostile)))


def test_without_its_inputs_it_says_so_and_shows_the_rest(hostile: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(hostile, tmp_path / "run")
    job = (copy / "job.yaml").read_text().replace(str(hostile.parent / "in"), str(tmp_path / "no"))
    (copy / "job.yaml").write_text(job)
    page = Page(report(open_run(str(copy))))
    assert not page.tags["img"]
    words = " ".join(page.words)
    assert "the input `input` is not where the job found it" in words
    assert "no picture" in words
    assert "one of a group of" in words


def test_a_changed_input_shows_no_wrong_picture(hostile: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(hostile.parent, tmp_path / "all")
    job = (copy / "run" / "job.yaml").read_text().replace(str(hostile.parent), str(copy))
    (copy / "run" / "job.yaml").write_text(job)
    tar = copy / "in" / "0.tar"
    data = tar.read_bytes()
    tar.write_bytes(data.replace(b"IDAT", b"IDaT"))
    pictures = Pictures(open_run(str(copy / "run")))
    assert pictures.encoded([0, 1, 2]) == {}
    assert "has changed since it was ingested" in pictures.notes[0]


def test_an_album_keeps_its_bound(hostile: Path) -> None:
    album = Album(Pictures(open_run(str(hostile))), 1000)
    album.fetch(range(12))
    written = [uri for sid in range(12) if (uri := album.uri(sid))]
    assert 0 < len(written) < 12
    assert sum(map(len, written)) <= 1000
    assert album.notes == [f"{12 - len(written)} pictures are left out, to keep this file small"]


def test_a_thumbnail_is_small_and_what_is_no_picture_has_none() -> None:
    small = shrink(picture(0xFF0000, 400, 100), SIDE)
    assert small is not None
    assert small[8:12] == b"WEBP"
    assert len(small) < 500
    assert shrink(b"no picture", SIDE) is None


def test_concepts_are_the_ledgers(embedded: Any) -> None:
    root = embedded()
    run, rows = open_run(str(root)), ledger(root)
    with sql.connect(run, tables=False) as connection:
        found = concepts(run, connection)
        shown = galleries(run, connection, found, 3)
    order = [c.complexity or 0.0 for c in found]
    assert order == sorted(order, reverse=True)
    for concept in found:
        assigned = [row for row in rows if row["cluster"] == concept.cluster]
        ranked = [row for row in assigned if row["rank"] is not None]
        assert concept.samples == len(assigned)
        assert concept.size == len(ranked)
        assert concept.kept == sum(row["kept"] for row in ranked)
        assert concept.d_intra is not None
        assert concept.d_inter is not None
        assert concept.complexity == pytest.approx(concept.d_intra * concept.d_inter)
        outwards = [row["uid"] for row in sorted(ranked, key=lambda r: (r["distance"], r["uid"]))]
        gallery = shown[concept.cluster]
        assert [example.uid for example in gallery.nearest] == outwards[:3]
        assert [example.uid for example in gallery.farthest] == outwards[::-1][:3]


@pytest.mark.parametrize("which", ["random", "hard"])
def test_a_concept_has_the_mean_similarity_of_what_it_keeps_and_drops(
    embedded: Any, which: str
) -> None:
    root = embedded(which=which)
    run, rows = open_run(str(root)), ledger(root)
    with sql.connect(run, tables=False) as connection:
        found = concepts(run, connection)
    ranked = [row for row in rows if row["rank"] is not None]
    for concept in found:
        mine = [row for row in ranked if row["cluster"] == concept.cluster]
        for fit, kept in ((concept.fit_kept, True), (concept.fit_dropped, False)):
            values = [row["clip_similarity"] for row in mine if row["kept"] == kept]
            assert fit == (pytest.approx(np.mean(values), abs=1e-6) if values else None)
        every = [row["clip_similarity"] for row in mine]
        assert concept.fit == pytest.approx(np.mean(every), abs=1e-6)
    by_fate = [
        np.mean([row["clip_similarity"] for row in ranked if row["kept"] == kept])
        for kept in (True, False)
    ]
    assert mean_fits(found) == pytest.approx(by_fate, abs=1e-6)
    words = " ".join(Page(report(run)).words)
    kept, others = by_fate
    assert f"{kept:.3f} of what is kept, {others:.3f} of the others" in words
    # Drawn by lot they differ by chance, and nothing is to be mended.
    by_lot = any(step.by_lot for step in run.steps)
    assert ("fit worse what was kept" in words) == (kept < others and not by_lot)
    least = min(found, key=lambda concept: concept.fit or 0.0)
    named = rf"fit least: {least.cluster}, [^;()]+ \({least.fit:.3f}\)"
    assert re.search(named, words)


def test_a_report_without_pictures_shows_the_concepts(embedded: Any) -> None:
    run = open_run(str(embedded()))
    page = Page(report(run))
    check_closed(page)
    words = " ".join(page.words)
    assert "Complexity and keep rate" in words
    assert "Size and quota" in words
    assert page.tags["circle"] == 16
    assert page.tags["article"] == 8
    assert not page.tags["img"]


def test_shown_duplicates_are_the_ledgers(embedded: Any) -> None:
    root = embedded()
    run, rows = open_run(str(root)), ledger(root)
    dropped = [row for row in rows if row["step"] == "semantic_duplicates"]
    groups = Counter(row["survivor_uid"] for row in dropped)
    with sql.connect(run, tables=False) as connection:
        (found,) = duplicates(run, connection, 3)
    assert (found.dropped, found.groups) == (len(dropped), len(groups))
    assert [case.group for case in found.largest] == [n + 1 for _, n in groups.most_common(3)]
    nearest = sorted(dropped, key=lambda r: (abs(r["partner_value"] - r["bound"]), r["uid"]))
    assert [case.dropped["uid"] for case in found.borderline] == [r["uid"] for r in nearest[:3]]
    for case in (*found.largest, *found.borderline):
        assert case.partner is not None
        assert case.survivor is not None
        assert case.partner["uid"] == case.dropped["partner_uid"]
        assert case.survivor["uid"] == case.dropped["survivor_uid"]


def test_concepts_are_spread_evenly() -> None:
    found = [Concept(cluster, 1, 1, 1, 1) for cluster in range(101)]
    assert spread(found[:7], 10) == found[:7]
    assert [concept.cluster for concept in spread(found, 5)] == [0, 25, 50, 75, 100]


def test_an_empty_category_is_said() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE ledger (kind VARCHAR, kept BOOLEAN)")
        rows = [("birds", True)] * 3 + [("", False)] * 2 + [(" ", True), (None, True)]
        connection.executemany("INSERT INTO ledger VALUES (?, ?)", rows)
        words = [word for word in Page(sections._values(connection, "kind").encode()).words if word]
    assert words == ["kind", "value", "samples", "birds", "3", "empty", "2", "empty", "1"]


VALUES = st.lists(
    st.tuples(st.floats(-1e6, 1e6) | st.integers(-5, 50).map(float) | st.none(), st.booleans()),
    min_size=1,
    max_size=200,
)


@given(VALUES, st.booleans(), st.lists(st.integers(-10, 60).map(float), max_size=2))
@example([(835505.0, False), (213.72995928360615, False)], False, [])  # the upper edge is rounded
def test_a_histogram_counts_everything_once(
    rows: list[tuple[float | None, bool]], whole: bool, bounds: list[float]
) -> None:
    rows = [(None if v is None else float(round(v)) if whole else v, k) for v, k in rows]
    with duckdb.connect(":memory:") as connection:
        connection.execute("CREATE TABLE ledger (value DOUBLE, kept BOOLEAN)")
        connection.executemany("INSERT INTO ledger VALUES (?, ?)", rows)
        shown = histogram(connection, "value", whole, bounds)
    values = np.array([v for v, _ in rows if v is not None])
    if not len(values):
        assert shown is None
        return
    assert shown is not None
    inside = set(values[(values >= shown.low) & (values <= shown.high)])
    assert shown.only is None or inside == {shown.only}
    assert shown.only is not None or len(set(values)) > 1
    assert shown.total == len(values)
    assert shown.missing == len(rows) - len(values)
    assert len(shown.bins) <= BINS
    assert sum(map(sum, shown.bins)) + shown.below + shown.above == len(values)
    assert shown.below == (values < shown.low).sum()
    assert shown.below + shown.above <= 0.01 * len(values)
    assert all(shown.low <= bound <= shown.high for bound in bounds)


@pytest.mark.browser
def test_a_browser_shows_it_and_runs_nothing(hostile: Path, tmp_path: Path, chromium: Any) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(report(open_run(str(hostile))))
    chromium.get(path.as_uri())
    assert chromium.title == "hostile: what was kept"
    pictures = chromium.find_elements("tag name", "img")
    assert pictures
    for shown in pictures:
        chromium.execute_script("arguments[0].scrollIntoView()", shown)
    loaded = (
        "return [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )
    assert chromium.execute_script(loaded)
    blocked = [line for line in chromium.get_log("browser") if line["level"] == "SEVERE"]
    assert blocked == []  # the style sheet's hash is right, and nothing else was tried
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert chromium.execute_script(wide) <= 0
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_costs_stand_beside_what_was_predicted(hostile: Path, tmp_path: Path) -> None:
    """Actual figures are the journal's sums; the prediction, where there is one, stands below them in brackets."""
    root = tmp_path / "run"
    shutil.copytree(hostile, root)
    (root / "events.jsonl").unlink(missing_ok=True)
    assert "Nothing was predicted" not in " ".join(Page(report(open_run(str(root)))).words)
    told = Journal(str(root), {})
    told(PhaseStarted("signals", "values", tasks=1, found=0, rows=1))
    told(
        TaskDone(
            "signals",
            "values",
            "part-00000",
            Scope.PART,
            1,
            1,
            5,
            8.0,
            Spent(3.25, 7_000_000, 10, 5),
        )
    )
    told(PhaseEnded("signals", "values", 9.0))
    words = Page(report(open_run(str(root)))).words
    assert {"3.2 s", "7.0 MB"} <= set(words)
    assert "Nothing was predicted" in " ".join(words)
    said = Prediction(50, 5, "2 processors", {"signals": Cost(4.5)}, {"signals": (2, 3)}, 1.0, 1e6)
    (root / PREDICTION).write_text(json.dumps(said.to_json()))
    words = Page(report(open_run(str(root)))).words
    assert "[4.5 s]" in words
    assert any("Predicted: 3.0 s to 4.0 s" in word for word in words)
    (root / "events.jsonl").write_text("{")
    assert "cannot be told" in " ".join(Page(report(open_run(str(root)))).words)


def test_each_reason_is_shown_by_samples_of_its_own(hostile: Path) -> None:
    run = open_run(str(hostile))
    rows = [row for row in ledger(hostile) if not row["kept"]]
    album = Album(Pictures(run), 1 << 20)
    with sql.connect(run, tables=False) as connection:
        shown = dropped.dropped_section(run, connection, album)
    page = Page(shown.encode())
    check_closed(page)
    words = "".join(page.words)
    for step, reason in {(row["step"], row["reason"]) for row in rows}:
        own = [row for row in rows if (row["step"], row["reason"]) == (step, reason)]
        assert f"{step}: {reason.replace('_', ' ')}, {len(own)}" in words
        drawn = sorted(own, key=lambda row: hashlib.md5(row["uid"].encode()).hexdigest())
        told = [value for _, name, value in page.attributes if name == "title"]
        for row in drawn[: dropped.EACH]:
            assert f"{row['key']} in {row['source']}, uid {row['uid']}" in told
            assert row["text"] in words
    assert page.tags["img"] == min(len(SHORT), dropped.EACH) + min(COPIES, dropped.EACH)
    assert "words 1, bound 2" in words


def test_where_nothing_was_dropped_no_samples_are_shown(
    tmp_path: Path,
) -> None:
    write_tar(tmp_path / "in/0.tar", [Sample("k", picture(1), "a caption", {})])
    run_here(make_plan(tmp_path / "run", tmp_path / "in/0.tar", "- write"))
    run = open_run(str(tmp_path / "run"))
    with sql.connect(run, tables=False) as connection:
        assert not dropped.dropped_section(run, connection, Album(Pictures(run), 1 << 20))
