"""Two runs side by side in the browser page: which samples have another fate, and both verdicts on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.browse.answers import PAGE, Browser
from tamis.pipeline.audit.browse.beside import Beside
from tamis.pipeline.audit.browse.questions import Unknown
from tamis.pipeline.audit.browse.server import Server
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.schemas.errors import InputError
from tests.audit.conftest import HOSTILE
from tests.audit.test_browse_page import Driven, until
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar
from tests.support.serving import serving

STEPS = """
  - signals: [words]
  - rules: {{words: {{min: {least}}}}}
  - exact_duplicates: {{on: image}}
  - write
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of which each has a file that the other lacks; the second has another rule."""
    folder = tmp_path_factory.mktemp("beside")
    for number in range(3):
        samples = [
            Sample(f"{number}-{k:02d}", picture(k % 50), " ".join(["word"] * (1 + k % 4)), {})
            for k in range(120)
        ]
        samples += [
            Sample(f"h{number}-{i}", picture(999 + i), text, {}) for i, text in enumerate(HOSTILE)
        ]
        write_tar(folder / "data" / f"{number}.tar", samples)
    for name, pattern, least in (("one", "{0..1}.tar", 2), ("two", "{1..2}.tar", 3)):
        steps = STEPS.format(least=least)
        run_here(
            make_plan(
                folder / name, folder / "data" / pattern, steps, part_samples=50, name="hostile"
            )
        )
    return folder / "one", folder / "two"


@pytest.fixture(scope="module")
def beside(runs: tuple[Path, Path]) -> Iterator[Beside]:
    made = Beside(*(Browser(open_run(str(run)), in_words) for run in runs))
    yield made
    made.close()


def fates(run: Path) -> dict[str, str]:
    return {
        row["uid"]: "kept" if row["kept"] else f"{row['step']}: {row['reason']}"
        for row in ledger(run)
    }


def pages(beside: Beside, before: str, after: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        place = str(rows[-1]["place"]) if rows else ""
        found = beside.samples({"before": before, "after": after, "place": place})
        assert len(found["rows"]) <= PAGE
        rows += found["rows"]
        if not found["more"]:
            return rows


def test_every_sample_with_another_fate_is_on_a_page(
    beside: Beside, runs: tuple[Path, Path]
) -> None:
    one, two = (fates(run) for run in runs)
    expected = Counter(
        (one.get(uid), two.get(uid)) for uid in one | two if one.get(uid) != two.get(uid)
    )
    moves = beside.moves()
    assert Counter({(m["before"], m["after"]): m["samples"] for m in moves}) == expected
    assert max(expected.values()) > PAGE
    seen: list[str] = []
    for was, now in expected:
        rows = pages(beside, was or "", now or "")
        assert len(rows) == expected[was, now]
        for row in rows:
            uid = (row["before"] or row["after"])["uid"]
            assert (one.get(uid), two.get(uid)) == (was, now)
            assert (row["before"] is None, row["after"] is None) == (was is None, now is None)
            seen.append(uid)
    assert len(seen) == len(set(seen)) == sum(expected.values())


def test_each_verdict_has_the_sample_because_of_which_it_fell(
    beside: Beside, runs: tuple[Path, Path]
) -> None:
    rows = [{row["uid"]: row for row in ledger(run)} for run in runs]
    fell = 0
    for move in beside.moves():
        for row in pages(beside, move["before"] or "", move["after"] or ""):
            for side, led in zip((row["before"], row["after"]), rows, strict=True):
                if side is None:
                    continue
                own = led[side["uid"]]
                assert side["sid"] == str(own["sid"])
                uid = own["partner_uid"] or own["survivor_uid"]
                assert (side["other"] or {}).get("key") == (led[uid]["key"] if uid else None)
                fell += uid is not None
    assert fell


def test_questions_that_make_no_sense_are_refused(beside: Beside, runs: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="`place` is `x`: a whole number"):
        beside.samples({"before": "kept", "place": "x"})
    assert beside.samples({"before": "kept", "after": "no such"}) == {"rows": [], "more": False}
    alone = Server(beside.first)
    try:
        assert alone.answer("/api/run", {})["beside"] is None
        with pytest.raises(Unknown):
            alone.answer("/api/moves", {})
    finally:
        alone.server_close()


@pytest.fixture(scope="module")
def beside_server(runs: tuple[Path, Path]) -> Iterator[Server]:
    one, two = (Browser(open_run(str(run)), in_words) for run in runs)
    with serving(Server(one, beside=two)) as made:
        yield made


CARDS = "return [...document.querySelectorAll('#moved-samples li')].map((li) => li.innerText)"


@pytest.mark.browser
def test_the_page_shows_both_verdicts_and_keeps_them_in_its_address(
    chromium: Any, beside_server: Server
) -> None:
    assert beside_server.beside is not None
    page = Driven(chromium, beside_server)
    page.one("#beside summary").send_keys("\ue007")  # Enter
    moves = beside_server.beside.moves()
    until(lambda: len(page.driver.find_elements("css selector", "#pairs button")) == len(moves))
    at = next(
        i
        for i, m in enumerate(moves)
        if (m["before"], m["after"]) == ("kept", "rules: below_minimum")
    )
    button = page.driver.find_elements("css selector", "#pairs button")[at]
    assert button.text.startswith("kept → rules: below minimum ")
    button.send_keys("\ue007")
    cards = until(lambda: page.driver.execute_script(CARDS))
    asked = {"before": "kept", "after": "rules: below_minimum"}
    rows = beside_server.beside.samples(asked)["rows"]
    assert len(cards) == len(rows)
    for card, row in zip(cards, rows, strict=True):
        assert row["before"]["key"] in card
        assert "this run\nkept" in card
        assert "two\nrules: below minimum (words" in card
    assert "moved=kept" in page.driver.current_url
    page.driver.refresh()
    assert until(lambda: page.driver.execute_script(CARDS)) == cards

    page.driver.find_elements("css selector", "#moved-samples li:first-child figure button")[
        1
    ].click()
    page.says("#title", f"{rows[0]['after']['key']}: dropped by rules")
    assert "in the other run" in page.text("#title")
    page.driver.refresh()
    page.says("#title", "in the other run")
    page.one("#close").click()

    absent = next(i for i, m in enumerate(moves) if m["before"] is None and m["after"] == "kept")
    page.driver.find_elements("css selector", "#pairs button")[absent].click()
    until(lambda: "not there" in str(page.driver.execute_script(CARDS)))
    drawn = "return [...document.querySelectorAll('#moved-samples .own img')].filter((i) => i.naturalWidth).length"
    until(lambda: page.driver.execute_script(drawn))
    if not page.one("#moved-pages button:last-child").get_attribute("disabled"):
        first = page.driver.execute_script(CARDS)
        page.one("#moved-pages button:last-child").click()
        until(lambda: page.driver.execute_script(CARDS) != first)
    page.check_unharmed()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_both_verdicts_fit_a_screen(chromium: Any, beside_server: Server, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page = Driven(chromium, beside_server)
        page.one("#beside summary").click()
        until(lambda: page.driver.find_elements("css selector", "#pairs button"))[0].click()
        until(lambda: page.driver.execute_script(CARDS))
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.driver.execute_script(wide) <= 0
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
