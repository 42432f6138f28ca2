"""The page's order by a signal, the samples that a moved threshold flips, lists of uids, and search by a picture."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.browse import answers
from tamis.pipeline.audit.browse.answers import PAGE, Browser
from tamis.pipeline.audit.browse.server import PICTURE_BYTES, Server
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.search import encoded
from tamis.pipeline.audit.search.search import Asked, Search
from tamis.pipeline.audit.search.stored import Embedding
from tamis.schemas.errors import InputError
from tests.audit.conftest import SHORT
from tests.support.running import ledger, read_tar


@pytest.fixture(scope="module")
def concepts(embedded: Any) -> Browser:
    return Browser(open_run(str(embedded())), in_words)


def paged(browser: Browser, **asked: str) -> list[dict[str, Any]]:
    """The samples of all pages."""
    rows: list[dict[str, Any]] = []
    while True:
        found = browser.samples({**asked, "after": rows[-1]["sid"] if rows else ""})
        rows += found["rows"]
        if not found["more"]:
            return rows


@pytest.mark.parametrize("order", ["", "down"])
@pytest.mark.parametrize("signal", ["distance", "clip_similarity", "cluster"])
def test_pages_are_in_the_order_of_a_signal(concepts: Browser, signal: str, order: str) -> None:
    """Those without a value last, equal ones in the order of the input."""
    if signal == "cluster":  # no signal, but what a filter has
        with pytest.raises(InputError, match="`cluster` is no signal to sort by"):
            concepts.samples({"sort": signal})
        return
    rows = ledger(Path(concepts.run.root))
    sign = -1 if order else 1
    judged = sorted(
        rows,
        key=lambda row: (row[signal] is None, sign * (row[signal] or 0), row["sid"]),
    )
    assert len({row[signal] for row in rows}) > PAGE
    shown = paged(concepts, sort=signal, order=order)
    assert [row["uid"] for row in shown] == [row["uid"] for row in judged]
    assert [row["sorted_by"] for row in shown] == [row[signal] for row in judged]
    some = paged(concepts, sort=signal, order=order, kept="no")
    assert [row["uid"] for row in some] == [row["uid"] for row in judged if not row["kept"]]


def test_equal_values_are_in_the_order_of_the_input(browser: Browser, hostile: Path) -> None:
    rows = sorted(ledger(hostile), key=lambda row: (-row["words"], row["sid"]))
    assert len({row["words"] for row in rows}) < len(rows) / 2
    shown = paged(browser, sort="words", order="down")
    assert [row["uid"] for row in shown] == [row["uid"] for row in rows]


def test_a_bound_shows_what_it_flips_both_ways(browser: Browser, hostile: Path) -> None:
    rows = ledger(hostile)
    reached = [row for row in rows if row["step"] != "ingest"]
    for bound in (1, 2, 6):
        with browser.cursor() as cursor:
            told = browser.thresholds.moved(cursor, "rules", "words", "min", bound)
        falls_in = paged(browser, flips=f"in~rules~min~{bound}~words")
        falls_out = paged(browser, flips=f"out~rules~min~{bound}~words")
        assert [row["uid"] for row in falls_in] == [
            row["uid"] for row in reached if row["step"] == "rules" and row["words"] >= bound
        ]
        assert [row["uid"] for row in falls_out] == [
            row["uid"] for row in reached if row["step"] != "rules" and row["words"] < bound
        ]
        assert (told["falls_in"], told["falls_out"]) == (len(falls_in), len(falls_out))
    assert len(falls_out) > len(SHORT)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.7])
def test_a_budget_shows_what_it_flips_both_ways(concepts: Browser, keep: float) -> None:
    change = whatif(concepts.run, [f"density.keep={keep}"], 1000)
    falls = {
        way: {row["uid"] for row in paged(concepts, flips=f"{way}~density~~{keep}~")}
        for way in ("in", "out")
    }
    assert (len(falls["in"]), len(falls["out"])) == (change.came, change.went)
    assert {sample["uid"] for sample in change.samples} == falls["in"] | falls["out"]
    told = concepts.thresholds.kept_with("density", keep)
    assert (told["falls_in"], told["falls_out"]) == (change.came, change.went)
    assert bool(change.samples) == (keep != 0.5)


def test_epsilon_and_a_rule_flip_those_of_their_own_step(concepts: Browser) -> None:
    with concepts.cursor() as cursor:
        listed = [t for t in concepts.thresholds.listed() if t["signal"]]
        assert {t["kind"] for t in listed} == {"bound", "epsilon"}
        for one in listed:
            step, signal, side = one["step"], one["signal"], one["side"]
            for value in (0.01, 0.3, 0.9):
                told = concepts.thresholds.moved(cursor, step, signal, side, value)
                for way in ("in", "out"):
                    flips = f"{way}~{step}~{side}~{value}~{signal}"
                    rows = paged(concepts, flips=flips)
                    assert len(rows) == told[f"falls_{way}"]
                    assert all((row["step"] == step) == (way == "in") for row in rows)
                    assert concepts.counts({"flips": flips})["found"] == len(rows)


@pytest.mark.parametrize(
    ("flips", "said"),
    [
        ("up~rules~min~3~words", "in or out"),
        ("in~rules~min~3", "in or out"),
        ("in~rules~min~many~words", "a number is needed"),
        ("in~rules~max~3~nothing", "no threshold rules.nothing.max"),
        ("in~nobody~min~3~words", "no threshold nobody.words.min"),
        ("in~rules~~3~", "no ranks of the step `rules`"),
    ],
)
def test_flips_of_no_threshold_are_refused(browser: Browser, flips: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        browser.samples({"flips": flips})


def sent(
    server: Server, body: bytes, kind: str = "application/octet-stream", **fields: str
) -> tuple[int, Any]:
    """Status and answer of a search for a picture."""
    host = fields.pop("host", f"127.0.0.1:{server.server_port}")
    path = fields.pop("path", "/api/search")
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    headers = {"Content-Type": kind, "Host": host}
    connection.request("POST", f"{path}?{urlencode(fields)}", body, headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


def picture_of(run: FinishedRun, key: str) -> bytes:
    samples = read_tar(Path(run.root).parent / "in/0.tar")
    return next(sample.image for sample in samples if sample.key == key)


def test_a_picture_is_searched_for_as_by_the_command(
    meaning_server: Server, clipart_run: FinishedRun
) -> None:
    row = ledger(Path(clipart_run.root))[3]
    data = picture_of(clipart_run, row["key"])
    embedding = Embedding(clipart_run)
    query = encoded.of_picture(embedding, data, "a")
    expected = Search(embedding, Asked(48, among="all")).find(query)
    status, told = sent(meaning_server, data)
    assert status == 200
    assert [(row["uid"], row["cosine"]) for row in told["rows"]] == [
        (row["uid"], row["cosine"]) for row in expected.rows
    ]
    assert told["rows"][0]["uid"] == row["uid"]
    word = row["text"].split()[0].lower()
    _, told = sent(meaning_server, data, text=word)
    assert told["rows"]
    assert all(word in row["text"].lower() for row in told["rows"])


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"kind": "text/plain"}, 400, "is sent as application/octet-stream"),
        ({"kind": "multipart/form-data"}, 400, "is sent as application/octet-stream"),
        ({"host": "evil.example"}, 403, "open the address"),
        ({"path": "/api/counts"}, 404, "no such page"),
        ({}, 400, "cannot be searched for"),
    ],
)
def test_what_is_no_search_for_a_picture_is_refused(
    meaning_server: Server, asked: dict[str, str], status: int, said: str
) -> None:
    got, told = sent(meaning_server, b"no picture", **asked)
    assert (got, said in told["error"]) == (status, True), told


@pytest.mark.parametrize("size", ["0", "x", str(PICTURE_BYTES + 1), "9" * 30])
def test_a_picture_of_no_size_or_too_large_is_not_read(meaning_server: Server, size: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", meaning_server.server_port)
    connection.putrequest("POST", "/api/search")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Content-Length", size)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, b"it may have 1 to" in answer.read()) == (400, True)
    connection.close()


def test_uids_of_all_that_meet_the_filters(
    server: Server, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "UIDS", 7)
    rows = ledger(hostile)
    for asked, judge in (
        ({}, lambda row: True),
        ({"kept": "yes"}, lambda row: row["kept"]),
        (
            {"flips": "out~rules~min~6~words"},
            lambda row: row["step"] != "rules" and row["words"] < 6,
        ),
        ({"source": "input/1.tar"}, lambda row: False),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        connection.request("GET", f"/api/uids?{urlencode(asked)}")
        answer = connection.getresponse()
        assert answer.status == 200
        assert "attachment" in (answer.getheader("Content-Disposition") or "")
        assert answer.read().decode().split() == [row["uid"] for row in rows if judge(row)]
        connection.request("GET", "/api/uids?colour=red")  # on the same connection
        answer = connection.getresponse()
        assert (answer.status, b"no such filter" in answer.read()) == (400, True)
        connection.close()
