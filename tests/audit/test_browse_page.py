"""The browser page in a real Chromium."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tamis.pipeline.audit.browse.answers import PAGE
from tamis.pipeline.audit.browse.server import Server
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.search import encoded
from tamis.pipeline.audit.search import query as queries
from tamis.pipeline.audit.search.query import Query
from tamis.pipeline.audit.search.search import Asked, Search
from tamis.pipeline.audit.search.stored import Embedding
from tests.audit.conftest import COPIES, HOSTILE, SHORT
from tests.support.running import ledger


def until(met: Callable[[], Any], seconds: float = 120.0) -> Any:
    """What ``met`` gives once it gives something."""
    end = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.05)
    return found


class Driven:
    """The page, as a person drives it."""

    def __init__(self, driver: Any, server: Server) -> None:
        self.driver = driver
        driver.get("about:blank")
        driver.get_log("browser")  # of the page before, whose server may have ended
        driver.get(server.address)
        until(lambda: "samples" in self.text("#found"))
        until(lambda: self.text("#moved"))

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return str(self.one(selector).text)

    def says(self, selector: str, words: str) -> None:
        """Wait until an element does."""
        until(lambda: words in self.text(selector))

    def captions(self) -> list[str]:
        script = "return [...document.querySelectorAll('#samples li .caption')].map((c) => c.textContent)"
        return [str(text) for text in self.driver.execute_script(script)]

    def set(self, selector: str, value: str) -> None:
        """Choose or type a value, and let the page know."""
        script = (
            "arguments[0].value = arguments[1]; for (const kind of ['input', 'change'])"
            " arguments[0].dispatchEvent(new Event(kind, {bubbles: true}))"
        )
        self.driver.execute_script(script, self.one(selector), value)

    def check_unharmed(self) -> None:
        """No caption became markup, ran, or was even tried."""
        assert self.driver.title == "hostile: tamis browse"
        for harm in ("img:not([src^='/picture'])", "svg[onload]", "[onerror]", "[style]"):
            assert not self.driver.find_elements("css selector", harm)
        assert self.driver.execute_script("return document.scripts.length") == 1
        severe = [line for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]
        assert severe == []


@pytest.fixture
def page(chromium: Any, server: Server) -> Driven:
    return Driven(chromium, server)


@pytest.mark.browser
def test_harmful_captions_are_shown_as_they_are(page: Driven) -> None:
    shown = page.captions()
    assert shown[: len(HOSTILE)] == HOSTILE
    assert shown[len(HOSTILE) : len(HOSTILE) + len(SHORT)] == SHORT
    assert len(shown) == PAGE
    direction = "return getComputedStyle(document.querySelectorAll('#samples .caption')[arguments[0]]).direction"
    assert page.driver.execute_script(direction, 3) == "rtl"
    assert page.driver.execute_script(direction, 0) == "ltr"
    loaded = (
        "return [...document.images].slice(0, 4).every((i) => i.complete && i.naturalWidth > 0)"
    )
    until(lambda: page.driver.execute_script(loaded))
    page.check_unharmed()


@pytest.mark.browser
def test_filters_and_pages(page: Driven, hostile: Path) -> None:
    total = len(ledger(hostile))
    assert page.text("#found").startswith(f"{total} samples, {total - COPIES - len(SHORT)} kept")
    page.set("[name=step]", "rules")
    until(lambda: page.text("#found") == f"{len(SHORT)} samples, 0 kept")
    assert page.captions() == SHORT
    assert "step=rules" in page.driver.current_url
    page.one("#filters [type=reset]").click()
    until(lambda: page.text("#found").startswith(f"{total} samples"))
    page.set("[name=text]", "<script>")
    until(lambda: page.captions() == HOSTILE[:1])
    page.one("#filters [type=reset]").click()
    until(lambda: len(page.captions()) == PAGE)
    seen = page.captions()
    for number in range(2, math.ceil(total / PAGE) + 1):
        page.one("#next").click()
        page.says("#page", f"page {number}")
        seen += page.captions()
    assert page.text("#found").startswith(f"{total} samples")  # counted once, for all pages
    assert seen == [row["text"] for row in ledger(hostile)]
    assert not page.one("#next").is_enabled()
    page.one("#back").click()
    until(lambda: page.one("#next").is_enabled())
    page.set("[name='max.words']", "1")
    until(lambda: page.captions() == SHORT)
    page.check_unharmed()


HOLD = """
    const [f, held] = [window.fetch, []];
    window.held = held;
    window.fetch = (path) => path.startsWith(arguments[0])
        ? new Promise((tell, fail) => held.push({ go: () => tell(f(path)), fail: () => fail(new Error("cut off")) }))
        : f(path);
"""
"""Answers to some questions wait until they are let go, or fail."""


@pytest.mark.browser
def test_pages_are_turned_while_all_are_counted(page: Driven, hostile: Path) -> None:
    """Counts of other filters that come late are dropped; what cannot be counted is said."""
    page.driver.execute_script(HOLD, "/api/counts")
    total = len(ledger(hostile))
    many = sum("plain" in row["text"] for row in ledger(hostile))
    assert many > PAGE
    page.set("[name=text]", "plain")
    until(lambda: page.captions() and all("plain" in text for text in page.captions()))
    page.says("#found", "counting")
    assert page.one("#results").get_attribute("aria-busy") == "true"
    page.one("#next").click()
    page.says("#page", "page 2")
    assert page.driver.execute_script("return held.length") == 1  # it goes on
    page.set("[name=text]", "a")
    until(lambda: page.driver.execute_script("return held.length") == 2)
    page.driver.execute_script("held[1].go()")
    some = sum("a" in row["text"].lower() for row in ledger(hostile))
    until(lambda: page.text("#found").startswith(f"{some} samples"))
    page.driver.execute_script("held[0].go()")
    time.sleep(0.3)
    assert page.text("#found").startswith(f"{some} samples")
    assert page.one("#results").get_attribute("aria-busy") is None
    page.set("[name=text]", "")
    until(lambda: page.driver.execute_script("return held.length") == 3)
    page.driver.execute_script("held[2].fail()")
    page.says("#problem", "cut off")
    assert page.text("#found") == "not counted"
    page.one("#next").click()
    until(lambda: page.driver.execute_script("return held.length") == 4)  # once more
    page.driver.execute_script("held[3].go()")
    until(lambda: page.text("#found").startswith(f"{total} samples"))
    page.check_unharmed()


@pytest.mark.browser
def test_a_page_that_is_awaited_is_turned_once(page: Driven) -> None:
    """A second click, and an answer that never comes."""
    page.driver.execute_script(HOLD, "/api/samples")
    page.one("#next").click()
    page.one("#next").click()
    page.driver.execute_script("held[0].go()")
    page.says("#page", "page 2")
    assert page.driver.execute_script("return held.length") == 1
    page.one("#next").click()
    page.driver.execute_script("held[1].fail()")
    page.says("#problem", "cut off")
    assert page.captions() == []
    assert page.text("#found") == "no answer"
    page.one("#back").click()
    page.driver.execute_script("held[2].go()")
    page.says("#found", "samples")
    assert page.text("#page") == "page 2"
    assert not page.one("#problem").is_displayed()
    page.check_unharmed()


@pytest.mark.browser
def test_the_address_holds_the_filters(page: Driven) -> None:
    """Edited by hand too, and with names that no filter has."""
    page.driver.execute_script("location.hash = 'step=rules&length=3&kept=no'")
    until(lambda: page.captions() == SHORT)
    page.driver.refresh()
    until(lambda: page.captions() == SHORT)
    assert page.one("[name=step]").get_attribute("value") == "rules"
    page.driver.execute_script("location.hash = ''")
    until(lambda: len(page.captions()) == PAGE)
    assert page.one("[name=step]").get_attribute("value") == ""
    page.check_unharmed()


@pytest.mark.browser
def test_a_story_opens_with_pictures_side_by_side(page: Driven, hostile: Path) -> None:
    page.set("[name=reason]", "same_image")
    until(lambda: page.text("#found") == f"{COPIES} samples, 0 kept")
    page.one("#samples button").click()
    until(lambda: page.one("#story").is_displayed())
    assert "dropped by exact_duplicates: same_image" in page.text("#title")
    assert "exact_duplicates" in page.text(".steps .dropped")
    loaded = "return [...document.querySelectorAll('#told img')].filter((i) => i.complete && i.naturalWidth > 0).length"
    pictures = len(page.driver.find_elements("css selector", "#told figure"))
    assert pictures >= 2
    until(lambda: page.driver.execute_script(loaded) == pictures)
    page.one("#told figure button").click()  # to the partner's own story
    until(lambda: "same_image" not in page.text("#title") or "partner" in page.text("#told"))
    page.one("body").send_keys("\ue00c")  # Escape
    until(lambda: not page.one("#story").is_displayed())
    page.set("#lookup input", "k000")
    page.one("#lookup button").click()
    until(lambda: page.one("#story").is_displayed())
    assert HOSTILE[0] in page.text("#told figure")
    assert "javascript:alert(1)" in page.text("#told dl")
    assert not page.driver.find_elements("css selector", "#told a")
    page.check_unharmed()


@pytest.mark.browser
def test_a_threshold_moves_the_counts(page: Driven, hostile: Path) -> None:
    rows = ledger(hostile)
    assert f"{len(rows) - len(SHORT)} of {len(rows)} pass rules" in page.text("#moved")
    for bound in (6, 1):
        page.set("#slider", str(bound))
        passing = sum(row["words"] >= bound for row in rows)
        kept = sum(row["words"] >= bound and row["kept"] for row in rows)
        page.says("#moved", f"{passing} of {len(rows)} pass rules")
        assert f"{kept} of" in page.text("#moved")
        assert f"--set rules.words.min={bound}" in page.text("#command")
    page.one("#slider").send_keys("\ue014")  # the right arrow key
    until(lambda: page.one("#exact").get_attribute("value") == "2")
    page.driver.execute_script(
        "const f = window.fetch;"
        "window.fetch = async () => { window.fetch = f; throw new Error('no answer'); }"
    )
    page.set("#slider", "4")
    page.says("#wrong", "no answer")
    assert (page.text("#moved"), page.text("#command")) == ("", "")
    page.set("#slider", "3")
    page.says("#moved", "pass rules")
    assert not page.one("#wrong").is_displayed()
    page.check_unharmed()


@pytest.mark.browser
def test_a_narrow_screen_needs_no_scrolling_sideways(page: Driven) -> None:
    page.driver.set_window_size(500, 900)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    try:
        assert page.driver.execute_script(wide) <= 0
        until(lambda: not page.one("[name=text]").is_displayed())  # the samples come first
        page.set("[name=step]", "rules")
        page.says("#fold summary", "Filters (1)")  # it says that some are on
        page.one("#fold summary").click()
        until(lambda: page.one("[name=text]").is_displayed())
        assert page.driver.execute_script(wide) <= 0
    finally:
        page.driver.set_window_size(1200, 1000)


@pytest.mark.browser
def test_groups_of_duplicates_are_counted_once_the_fold_is_opened(page: Driven) -> None:
    page.one("#groups summary").click()
    page.says(
        "#groups", f"exact_duplicates: {COPIES} fell for 1; the largest group: {COPIES + 1} samples"
    )
    cells = [cell.text for cell in page.driver.find_elements("css selector", "table.groups td")]
    assert cells == ["4 to 7", "1", str(COPIES)]
    page.check_unharmed()


@pytest.mark.browser
def test_pictures_are_found_by_words_and_by_likeness_and_every_view_has_an_address(
    chromium: Any, meaning_server: Server, clipart_run: FinishedRun
) -> None:
    page = Driven(chromium, meaning_server)
    texts = {row["sid"]: row["text"] for row in ledger(Path(clipart_run.root))}
    embedding = Embedding(clipart_run)

    def judged(query: Query) -> list[str]:
        found = Search(embedding, Asked(48, among="all")).find(query)
        return [row["text"] for row in found.rows]

    by_words = judged(encoded.of_text(embedding, "a flag"))
    page.one("#meaning input").send_keys("a flag\n")
    page.says("#found", f"{len(by_words)} pictures nearest to “a flag”")
    assert page.captions() == by_words
    assert "vectors were compared" in page.text("#nearest")
    assert "words=a+flag" in page.driver.current_url

    first = next(sid for sid, text in texts.items() if text == by_words[0])
    like = judged(queries.of_row(embedding, clipart_run.rows([first])[0], "image"))
    page.one("#samples li .more").click()
    page.says("#found", f"{len(like)} pictures nearest to the sample")
    assert page.captions() == like
    assert f"like={first}" in page.driver.current_url

    page.driver.back()
    page.says("#found", "nearest to “a flag”")
    until(lambda: page.captions() == by_words)
    page.one("#samples li .sample").click()
    until(lambda: page.one("#story").get_attribute("open"))
    until(lambda: f"story={first}" in page.driver.current_url)
    link, title = page.driver.current_url, page.text("#title")

    page.driver.get("about:blank")
    page.driver.get(link)
    page.says("#title", title)
    assert page.one("#story").get_attribute("open")
    page.says("#found", "nearest to “a flag”")
    page.one("#close").click()
    until(lambda: "story=" not in page.driver.current_url)
    page.one("#nearest button").click()
    page.says("#found", f"{len(texts)} samples")
    assert not page.one("#nearest").is_displayed()
    severe = [line for line in page.driver.get_log("browser") if line["level"] == "SEVERE"]
    assert severe == []


@pytest.mark.browser
def test_a_page_without_embeddings_has_no_search_by_meaning(page: Driven) -> None:
    assert not page.one("#meaning").is_displayed()
    assert not page.driver.find_elements("css selector", "#samples .more")
