"""The browser page in a real Chromium: order, flips of a threshold, picked samples, and search by a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tamis.pipeline.audit.browse.answers import PAGE
from tamis.pipeline.audit.browse.server import Server
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.search import encoded
from tamis.pipeline.audit.search.search import Asked, Search
from tamis.pipeline.audit.search.stored import Embedding
from tests.audit.test_browse_choice import picture_of
from tests.audit.test_browse_page import Driven, until
from tests.support.running import ledger


@pytest.fixture
def page(chromium: Any, server: Server) -> Driven:
    return Driven(chromium, server)


@pytest.mark.browser
def test_samples_are_sorted_by_a_signal(page: Driven, hostile: Path) -> None:
    judged = sorted(ledger(hostile), key=lambda row: (-row["words"], row["sid"]))
    page.set("[name=sort]", "words")
    page.set("[name=order]", "down")
    until(lambda: page.captions() == [row["text"] for row in judged[:PAGE]])
    assert f"words {judged[0]['words']}" in page.text("#samples li")
    assert page.text("#fold summary") == "Filters" or not page.one("#fold summary").is_displayed()
    assert page.text("#found").startswith(f"{len(judged)} samples")
    page.one("#next").click()
    until(lambda: page.captions() == [row["text"] for row in judged[PAGE : 2 * PAGE]])
    page.driver.refresh()
    until(lambda: page.captions() == [row["text"] for row in judged[:PAGE]])
    page.check_unharmed()


@pytest.mark.browser
def test_a_moved_threshold_shows_the_samples_that_it_flips(page: Driven, hostile: Path) -> None:
    rows = [row for row in ledger(hostile) if row["step"] != "rules"]
    out = [row["text"] for row in rows if row["words"] < 6]
    page.set("[name=kept]", "yes")
    page.set("#slider", "6")
    page.says("#flips", f"See the {len(out)} that it would drop")
    page.one("#flips button").send_keys("\ue007")  # Enter
    until(lambda: page.captions() == out[:PAGE])
    page.says("#found", f"{len(out)} samples")
    assert page.text("#flipped span") == "rules.words.min = 6: what it would drop that passes now."
    assert page.one("[name=kept]").get_attribute("value") == ""
    page.driver.refresh()
    until(lambda: page.captions() == out[:PAGE])
    page.says("#found", f"{len(out)} samples")
    page.set("#slider", "1")
    page.says("#flips", "that it would let pass")
    page.one("#flips button").click()
    let_in = [row["text"] for row in ledger(hostile) if row["step"] == "rules"]
    until(lambda: page.captions() == let_in)
    page.driver.back()
    until(lambda: page.captions() == out[:PAGE])
    page.one("#flipped button").click()
    page.says("#found", f"{len(ledger(hostile))} samples")
    assert not page.one("#flipped").is_displayed()
    page.check_unharmed()


@pytest.mark.browser
def test_picked_samples_become_a_list(page: Driven, hostile: Path) -> None:
    rows = ledger(hostile)
    assert not page.one("#picked").is_displayed()
    page.driver.find_elements("css selector", ".pick input")[1].click()
    page.one("#next").click()
    page.says("#page", "page 2")
    page.driver.find_elements("css selector", ".pick input")[0].send_keys(" ")
    assert page.text("#picked b") == "2 picked"
    page.one("#back").click()
    page.says("#page", "page 1")
    until(lambda: page.captions()[0] == rows[0]["text"])
    marked = "return [...document.querySelectorAll('.pick input')].map((box) => box.checked)"
    assert page.driver.execute_script(marked) == [False, True, *[False] * (PAGE - 2)]
    page.driver.execute_script(
        "window.saved = []; const made = URL.createObjectURL;"
        "URL.createObjectURL = (list) => { list.text().then((text) => saved.push(text)); return made(list); }"
    )
    page.one("#save").click()
    until(lambda: page.driver.execute_script("return saved.length"))
    (saved,) = page.driver.execute_script("return saved")
    assert saved == f"{rows[1]['uid']}\n{rows[PAGE]['uid']}\n"
    page.one("#unpick").click()
    assert not page.one("#picked").is_displayed()
    assert not any(page.driver.execute_script(marked))
    page.set("[name=step]", "rules")
    until(lambda: "step=rules" in str(page.one("#every").get_attribute("href")))
    page.check_unharmed()


DROP = """
    const made = (kind, dataTransfer) =>
        Object.assign(new Event(kind, {bubbles: true, cancelable: true}), {dataTransfer});
    fetch(arguments[0]).then((answer) => answer.blob()).then((blob) => {
        const data = {types: ["Files"], files: [new File([blob], "dropped.webp", {type: blob.type})]};
        document.body.dispatchEvent(made("dragover", data));
        window.marked = document.body.className;
        document.body.dispatchEvent(made("drop", data));
    });
"""


@pytest.mark.browser
def test_a_picture_is_chosen_or_dropped(
    chromium: Any, meaning_server: Server, clipart_run: FinishedRun, tmp_path: Path
) -> None:
    page = Driven(chromium, meaning_server)
    row = ledger(Path(clipart_run.root))[4]
    data = picture_of(clipart_run, row["key"])
    (tmp_path / "mine.png").write_bytes(data)
    embedding = Embedding(clipart_run)
    query = encoded.of_picture(embedding, data, "mine")
    judged = [r["text"] for r in Search(embedding, Asked(48, among="all")).find(query).rows]
    page.one("#file").send_keys(str(tmp_path / "mine.png"))
    page.says("#found", f"{len(judged)} pictures nearest to the picture mine.png")
    assert page.captions() == judged
    assert judged[0] == row["text"]
    assert not page.one("#every").is_displayed()
    page.set("[name=text]", row["text"])
    until(lambda: page.captions() == [row["text"]])
    page.set("[name=text]", "")
    page.says("#found", f"{len(judged)} pictures nearest to the picture mine.png")
    page.one("#nearest button").click()
    page.says("#found", f"{len(ledger(Path(clipart_run.root)))} samples")
    assert not page.one("#nearest").is_displayed()

    other = ledger(Path(clipart_run.root))[7]
    page.driver.execute_script(DROP, f"/picture?sid={other['sid']}&large=1")
    page.says("#found", "pictures nearest to the picture dropped.webp")
    assert page.driver.execute_script("return [window.marked, document.body.className]") == [
        "dropping",
        "",
    ]
    assert page.captions()[0] == other["text"]
    page.one("#samples li .more").click()
    page.says("#found", "nearest to the sample")
    severe = [line for line in page.driver.get_log("browser") if line["level"] == "SEVERE"]
    assert severe == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_all_of_it_fits_a_screen(chromium: Any, meaning_server: Server, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page = Driven(chromium, meaning_server)
        page.driver.find_element("css selector", ".pick input").click()
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.driver.execute_script(wide) <= 0
        ends = "return document.querySelector('#choose').getBoundingClientRect().right"
        assert 0 < page.driver.execute_script(ends) <= width
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
