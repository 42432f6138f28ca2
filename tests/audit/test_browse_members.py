"""The samples of a concept on a plane: by brute force, bounded, and in a real Chromium."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.algorithms import plane
from tamis.pipeline.audit.browse import members
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.members import Members
from tamis.pipeline.audit.browse.server import Server
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.search.stored import Embedding
from tamis.schemas.errors import InputError
from tests.audit.test_browse_page import Driven, until
from tests.support.running import ledger

WHOLE = "-2,-2,2,2"


@pytest.fixture(scope="module")
def concepts(embedded: Any) -> Browser:
    return Browser(open_run(str(embedded())), in_words)


def members_of(browser: Browser, cluster: int) -> list[dict[str, Any]]:
    """The ledger's rows of a concept of the last step that clusters."""
    return [row for row in ledger(Path(browser.run.root)) if row["cluster"] == cluster]


def largest(browser: Browser) -> int:
    return int(browser.concepts["concepts"][0]["cluster"])


def tiles(browser: Browser, cluster: int, box: str = WHOLE) -> dict[str, Any]:
    with browser.cursor() as cursor:
        return Members(browser.run).tiles(cursor, {"cluster": str(cluster), "box": box})


def test_few_samples_stand_by_themselves_at_their_places(concepts: Browser) -> None:
    cluster = largest(concepts)
    rows = members_of(concepts, cluster)
    found = tiles(concepts, cluster)
    assert found["of"] == found["placed"] == len(rows) > 8
    sids = np.array([row["sid"] for row in rows])
    vectors = Embedding(concepts.run).vectors_of(sids, "image").astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = plane.main_directions(vectors)
    places /= np.abs(places).max()
    told = {int(tile["sid"]): tile for tile in found["tiles"]}
    assert len(told) == len(rows)
    for row, (x, y) in zip(rows, places.tolist(), strict=True):
        tile = told[row["sid"]]
        assert (tile["samples"], tile["kept"]) == (1, row["kept"])
        assert (tile["x"], tile["y"]) == pytest.approx((x, y))


def test_many_samples_are_counted_by_tile(
    concepts: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = largest(concepts)
    single = tiles(concepts, cluster)["tiles"]
    monkeypatch.setattr(members, "SINGLE", 5)
    monkeypatch.setattr(members, "TILES", 4)
    for box in ("-1,-1,1,1", "-0.5,-0.5,1,1", "-1,0,0.25,2"):
        left, top, right, bottom = map(float, box.split(","))
        inside = [t for t in single if left <= t["x"] <= right and top <= t["y"] <= bottom]
        assert len(inside) > 5

        def of(
            one: dict[str, Any], box: tuple[float, ...] = (left, top, right, bottom)
        ) -> tuple[int, int]:
            return (
                min(int(4 * (one["x"] - box[0]) / (box[2] - box[0])), 3),
                min(int(4 * (one["y"] - box[1]) / (box[3] - box[1])), 3),
            )

        found = tiles(concepts, cluster, box)["tiles"]
        assert Counter({of(t): t["samples"] for t in found}) == Counter(map(of, inside))
        assert sum(t["kept"] for t in found) == sum(t["kept"] for t in inside)
        for tile in found:
            own = [t for t in inside if of(t) == of(tile)]
            assert tile["sid"] == min((t["sid"] for t in own), key=int)
            assert tile["x"] == pytest.approx(np.mean([t["x"] for t in own]))


def test_of_a_large_concept_some_are_placed(
    concepts: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = largest(concepts)
    rows = members_of(concepts, cluster)
    monkeypatch.setattr(members, "MOST", 7)
    found = tiles(concepts, cluster)
    assert (found["of"], found["placed"], len(found["tiles"])) == (len(rows), 7, 7)
    assert tiles(concepts, cluster) == found
    monkeypatch.setattr(members, "MOST", 1000)
    monkeypatch.setattr(members, "PARTS", 2)
    parts = sorted({row["sid"] >> 32 for row in rows})
    assert len(parts) > 2
    seen = {int(tile["sid"]) for tile in tiles(concepts, cluster)["tiles"]}
    ends = {parts[0], parts[-1]}
    assert seen == {row["sid"] for row in rows if row["sid"] >> 32 in ends}


@pytest.mark.parametrize(
    ("cluster", "box", "said"),
    [
        ("x", WHOLE, "`cluster` is `x`"),
        ("999", WHOLE, "concept 999 has no samples"),
        ("0", "1,2,3", "`box` is `1,2,3`"),
        ("0", "1,1,0,2", "left, top, right and bottom"),
        ("0", "nan,0,1,1", "left, top, right and bottom"),
    ],
)
def test_what_is_no_question_is_refused(
    concepts: Browser, cluster: str, box: str, said: str
) -> None:
    with pytest.raises(InputError, match=said), concepts.cursor() as cursor:
        concepts.members.tiles(cursor, {"cluster": cluster, "box": box})


def test_a_run_without_concepts_says_so(browser: Browser) -> None:
    with pytest.raises(InputError, match="has no concepts"):
        tiles(browser, 0)


@pytest.mark.browser
def test_a_concept_opens_into_its_samples_by_keys_alone(
    chromium: Any, concepts_server: Server, concepts: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "SINGLE", 3)
    monkeypatch.setattr(members, "TILES", 3)
    page = Driven(chromium, concepts_server)
    page.one("#map summary").send_keys("\ue007")  # Enter
    disc = until(lambda: page.driver.find_elements("css selector", ".plane .disc"))[0]
    disc.send_keys("\ue007")
    page.says("#map .members, #map h3", f"Samples of concept {largest(concepts)}")

    def dots() -> list[Any]:
        return list(page.driver.find_elements("css selector", ".members .disc"))

    def counts() -> list[int]:
        script = (
            "return [...document.querySelectorAll('.members .disc')].map((d) => +d.dataset.samples)"
        )
        return [int(count) for count in page.driver.execute_script(script)]

    def is_another(before: list[int]) -> bool:
        return counts() != before

    total = len(members_of(concepts, largest(concepts)))
    until(lambda: sum(counts()) == total)
    assert max(counts()) > 1
    for _ in range(12):  # each Enter opens a dot of several, until one is a sample by itself
        before = counts()
        if 1 in before:
            break
        at = before.index(max(before))
        page.driver.execute_script("arguments[0].focus()", dots()[at])
        page.driver.switch_to.active_element.send_keys("\ue007")
        until(partial(is_another, before))
    single = dots()[counts().index(1)]
    sid = single.get_attribute("data-sid")
    page.driver.execute_script("arguments[0].focus()", single)
    until(lambda: page.driver.find_elements("css selector", ".beside-plane .seen .frame"))
    page.driver.switch_to.active_element.send_keys("\ue007")
    row = next(r for r in ledger(Path(concepts.run.root)) if str(r["sid"]) == sid)
    page.says("#title", row["key"])
    assert f"story={sid}" in page.driver.current_url
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.driver.execute_script(wide) <= 0
    log = page.driver.get_log("browser")
    severe = [line["message"] for line in log if line["level"] == "SEVERE"]
    assert [said for said in severe if "/picture?" not in said] == []  # the input has none


@pytest.mark.browser
def test_the_concept_of_an_address_is_open_on_the_map(
    chromium: Any, concepts_server: Server, concepts: Browser
) -> None:
    page, cluster = Driven(chromium, concepts_server), largest(concepts)
    page.driver.execute_script(f"location.hash = 'cluster={cluster}'")
    page.one("#map summary").click()
    page.says("#map", f"Samples of concept {cluster}")
    marked = (
        "return [...document.querySelectorAll('#map [aria-current]')].map((d) => d.dataset.cluster)"
    )
    assert page.driver.execute_script(marked) == [str(cluster)]
    page.one("#filters [type=reset]").click()
    until(lambda: page.driver.execute_script(marked) == [])
    assert "Samples of concept" not in page.text("#map")
