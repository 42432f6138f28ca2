"""The map of concepts: what it says of each, and in a real Chromium."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.algorithms import plane
from tamis.pipeline.audit.browse import concept_map
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.server import Server
from tamis.pipeline.audit.reading.concept_names import names
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import centroid_rows
from tamis.schemas.errors import InputError
from tests.audit.test_browse_page import Driven, until
from tests.support.running import ledger, make_plan, read_tar, run_here, write_tar
from tests.support.serving import serving


@pytest.fixture(scope="module")
def concepts(embedded: Any) -> Browser:
    return Browser(open_run(str(embedded())), in_words)


def test_each_concept_has_its_counts_its_name_and_its_place(concepts: Browser) -> None:
    told = concepts.concepts
    rows = [row for row in ledger(Path(concepts.run.root)) if row["cluster"] is not None]
    samples = Counter(row["cluster"] for row in rows)
    kept = Counter(row["cluster"] for row in rows if row["kept"])
    found = {one["cluster"]: (one["samples"], one["kept"]) for one in told["concepts"]}
    assert found == {cluster: (count, kept[cluster]) for cluster, count in samples.items()}
    assert (told["step"], told["of"]) == ("density", len(samples))
    sizes = [one["samples"] for one in told["concepts"]]
    assert sizes == sorted(sizes, reverse=True)
    order = [one["cluster"] for one in told["concepts"]]
    table = part_files.read_file(concepts.run.root, "tables/density/train/centroids.parquet")
    places = [[one["x"], one["y"]] for one in told["concepts"]]
    assert np.array_equal(plane.placed(centroid_rows(table)[order]), places)
    with concepts.cursor() as cursor:
        called = names(concepts.run, cursor, order)
    assert [one["name"] for one in told["concepts"]] == [called.get(number) for number in order]


def test_it_is_made_once(concepts: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    first = concepts.concepts
    monkeypatch.setattr(plane, "placed", None)
    assert concepts.concepts is first


def test_of_many_concepts_the_largest_are_shown(
    concepts: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = concepts.concepts
    monkeypatch.setattr(concept_map, "SHOWN", 3)
    with concepts.cursor() as cursor:
        told = concept_map.concept_map(concepts.run, cursor)
    assert told["of"] == every["of"] > 3
    largest = [one["cluster"] for one in every["concepts"][:3]]
    assert [one["cluster"] for one in told["concepts"]] == largest


def test_without_concepts_or_centroids_it_says_so(
    browser: Browser, embedded: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no concepts: no step of its job clusters"):
        _ = browser.concepts
    shutil.copytree(embedded(), tmp_path / "run")
    shutil.rmtree(tmp_path / "run/tables/density/train")
    cleared = Browser(open_run(str(tmp_path / "run")), in_words)
    with pytest.raises(InputError, match="with the centroids, is missing or damaged"):
        _ = cleared.concepts


@pytest.mark.browser
def test_the_map_leads_to_the_samples_of_a_concept(
    chromium: Any, concepts_server: Server, concepts: Browser
) -> None:
    page = Driven(chromium, concepts_server)
    page.one("#map summary").click()
    told = concepts.concepts["concepts"]
    until(lambda: len(page.driver.find_elements("css selector", ".disc")) == len(told))
    first = page.one(".disc")
    assert first.get_attribute("aria-label").startswith(f"concept {told[0]['cluster']}")
    page.driver.execute_script("arguments[0].focus()", first)
    assert page.text("#about") == first.get_attribute("aria-label")

    at = told[0]
    ways = {"\ue014": (1, 0), "\ue012": (-1, 0), "\ue015": (0, 1), "\ue013": (0, -1)}
    for key, (right, down) in ways.items():
        there = [
            one
            for one in told
            if (along := (one["x"] - at["x"]) * right + (one["y"] - at["y"]) * down) > 0
            and abs((one["x"] - at["x"]) * down) + abs((one["y"] - at["y"]) * right) <= along
        ]
        if there:
            page.driver.switch_to.active_element.send_keys(key)
            at = min(there, key=lambda one: np.hypot(one["x"] - at["x"], one["y"] - at["y"]))
            moved = page.driver.switch_to.active_element
            assert moved.get_attribute("data-cluster") == str(at["cluster"])
            assert moved.get_attribute("tabindex") == "0"
    assert at is not told[0]
    page.driver.switch_to.active_element.send_keys("\ue007")  # Enter
    members = [row for row in ledger(Path(concepts.run.root)) if row["cluster"] == at["cluster"]]
    page.says("#found", f"{len(members)} samples")
    assert f"cluster={at['cluster']}" in page.driver.current_url

    seen = "return document.querySelector('.plane').getAttribute('viewBox').split(' ').map(Number)"
    before = page.driver.execute_script(seen)
    page.driver.find_elements("css selector", ".zoom button")[0].click()
    after = page.driver.execute_script(seen)
    assert after[2] == pytest.approx(before[2] / 1.6)
    page.driver.find_elements("css selector", ".zoom button")[1].click()
    assert page.driver.execute_script(seen) == pytest.approx(before)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.driver.execute_script(wide) <= 0
    log = page.driver.get_log("browser")
    severe = [line["message"] for line in log if line["level"] == "SEVERE"]
    assert [said for said in severe if "/picture?" not in said] == []  # the input has none


@pytest.fixture(scope="module")
def named_server(
    clipart_example: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of a run whose concepts have names."""
    folder = tmp_path_factory.mktemp("named")
    write_tar(folder / "in/0.tar", read_tar(clipart_example / "00000.tar")[:40])
    steps = "- embed: {encoder: demo}\n- density: {clusters: 9, keep: 0.5, neighbours: 3}\n- write"
    run_here(make_plan(folder / "run", folder / "in/0.tar", steps))
    with serving(Server(Browser(open_run(str(folder / "run")), in_words))) as made:
        yield made


BOXES = """
    return [...document.querySelectorAll('.plane text')].filter((text) => text.getAttribute('visibility') === 'visible')
        .map((text) => text.getBoundingClientRect()).map((box) => [box.left, box.top, box.right, box.bottom]);
"""


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_names_on_the_map_do_not_lie_on_each_other(
    chromium: Any, named_server: Server, width: int
) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page = Driven(chromium, named_server)
        page.one("#map summary").click()
        boxes = until(lambda: page.driver.execute_script(BOXES))
        assert len(boxes) > 1
        for i, (left, top, right, bottom) in enumerate(boxes):
            for other in boxes[:i]:
                aside = left > other[2] or other[0] > right
                assert aside or top > other[3] or other[1] > bottom
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.browser
def test_a_run_without_concepts_has_no_map(chromium: Any, server: Server) -> None:
    page = Driven(chromium, server)
    assert not page.one("#map").is_displayed()
