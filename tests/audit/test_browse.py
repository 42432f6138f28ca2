"""What the browser page asks for: answers against the ledger."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.browse.answers import PAGE, Browser
from tamis.pipeline.audit.browse.server import Server
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.search import encoded
from tamis.pipeline.audit.search.search import Asked, Search
from tamis.pipeline.audit.search.stored import Embedding
from tamis.schemas.errors import InputError
from tests.support.running import ledger


def get(server: Server, path: str, host: str | None = None, **fields: Any) -> Any:
    """Status, headers and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    headers = {} if host is None else {"Host": host}
    connection.request("GET", f"{path}?{urlencode(fields)}" if fields else path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def all_pages(browser: Browser, **asked: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        found = browser.samples({**asked, "after": rows[-1]["sid"] if rows else ""})
        rows += found["rows"]
        if not found["more"]:
            check_counts(browser.counts(asked), rows)
            if len(rows) <= PAGE:
                assert browser.samples(asked)["counts"] == browser.counts(asked)
            return rows
        assert found["counts"] is None


def check_counts(counts: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    assert counts["found"] == len(rows)
    assert counts["kept"] == sum(row["kept"] for row in rows)
    fates = Counter((row["step"], row["reason"]) for row in rows if not row["kept"])
    assert {(f["step"], f["reason"]): f["samples"] for f in counts["fates"]} == fates
    told = [fate["samples"] for fate in counts["fates"]]
    assert told == sorted(told, reverse=True)


FILTERS: list[tuple[dict[str, str], Callable[[dict[str, Any]], bool]]] = [
    ({}, lambda row: True),
    ({"kept": "yes"}, lambda row: row["kept"]),
    ({"kept": "no"}, lambda row: not row["kept"]),
    ({"step": "rules"}, lambda row: row["step"] == "rules"),
    ({"reason": "same_image"}, lambda row: row["reason"] == "same_image"),
    ({"source": "input/0.tar"}, lambda row: True),
    ({"source": "input/1.tar"}, lambda row: False),
    ({"text": "PLAIN"}, lambda row: "plain" in row["text"]),
    ({"text": "<script>"}, lambda row: "<script>" in row["text"]),
    ({"text": "100%' OR 1=1 --"}, lambda row: False),
    ({"text": "سجادة"}, lambda row: "سجادة" in row["text"]),
    ({"min.words": "4", "max.words": "6"}, lambda row: 4 <= row["words"] <= 6),
    ({"min.words": "2", "kept": "no"}, lambda row: row["words"] >= 2 and not row["kept"]),
]


@pytest.mark.parametrize(("asked", "judge"), FILTERS)
def test_a_filter_finds_what_the_ledger_has(
    browser: Browser, hostile: Path, asked: dict[str, str], judge: Callable[[dict[str, Any]], bool]
) -> None:
    expected = [row["uid"] for row in ledger(hostile) if judge(row)]
    assert [row["uid"] for row in all_pages(browser, **asked)] == expected


def test_values_of_32_bits_are_compared_as_such(embedded: Any) -> None:
    """A sample meets the filter of its own value, as it is written, and no bound is too large to be asked for."""
    root = embedded()
    browser = Browser(open_run(str(root)), in_words)
    name = "semantic_similarity"
    values = [np.float32(row[name]) for row in ledger(root) if row[name] is not None]
    written = next(str(value) for value in values if float(str(value)) > float(value))
    at_least = sum(value >= np.float32(written) for value in values)
    assert browser.counts({f"min.{name}": written})["found"] == at_least
    assert browser.counts({f"min.{name}": "1e300"})["found"] == 0
    assert browser.counts({f"max.{name}": "1e300"})["found"] == len(values)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"colour": "red"}, "no such filter"),
        ({"min.colour": "1"}, "no such filter"),
        ({'min.words" OR 1=1 --': "1"}, "no such filter"),
        ({"min.words": "many"}, "a number is needed"),
        ({"cluster": "x"}, "a number is needed"),
        ({"cluster": "1.5"}, "a whole number is needed"),
        ({"cluster": "1e999"}, "a whole number is needed"),
    ],
)
def test_a_wrong_filter_is_refused(browser: Browser, asked: dict[str, str], said: str) -> None:
    for answer in (browser.samples, browser.counts):
        with pytest.raises(InputError, match=said):
            answer(asked)


def test_a_clusters_samples(embedded: Any) -> None:
    root = embedded()
    browser = Browser(open_run(str(root)), in_words)
    expected = [row["uid"] for row in ledger(root) if row["cluster"] == 3]
    assert [row["uid"] for row in all_pages(browser, cluster="3")] == expected


def test_every_answer_is_closed_to_scripts(server: Server) -> None:
    for path in (
        "/",
        "/browse.js",
        "/charts.js",
        "/thresholds.js",
        "/browse.css",
        "/api/run",
        "/x",
    ):
        _, headers, body = get(server, path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert b"innerHTML" not in body
        assert b" onclick" not in body


def test_another_host_is_refused(server: Server) -> None:
    for host in ("evil.example", f"evil.example:{server.server_port}", "127.0.0.1"):
        status, _, body = get(server, "/api/run", host=host)
        assert status == 403
        assert b"rows_in" not in body
    assert get(server, "/api/run", host=f"localhost:{server.server_port}")[0] == 200


def test_the_end_waits_for_nobody(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither for what is being counted nor for an open connection; and no thread is left, which would be aborted."""
    browser = Browser(open_run(str(hostile)), in_words)
    begun = threading.Event()

    def forever(_: object) -> Any:
        with browser.cursor() as cursor:
            begun.set()
            return cursor.execute("SELECT sum(hash(range)) FROM range(1000000000000)").fetchall()

    monkeypatch.setattr(browser, "counts", forever)
    server = Server(browser)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    idle = http.client.HTTPConnection("127.0.0.1", server.server_port)
    idle.request("GET", "/")
    idle.getresponse().read()
    asking = http.client.HTTPConnection("127.0.0.1", server.server_port)
    asking.request("GET", "/api/counts")
    begun.wait()
    server.shutdown()
    serving.join()
    server.end()  # the question alone would take days
    assert not server.open
    assert capsys.readouterr().err == ""


def test_pictures_are_encoded_anew(server: Server) -> None:
    status, headers, body = get(server, "/picture", sid=0, large=1)
    assert (status, headers["Content-Type"], body[8:12]) == (200, "image/webp", b"WEBP")
    for sid in (-1, 9999, 5 << 32, "x", 10**30):
        assert get(server, "/picture", sid=sid)[0] == 404


def test_errors_are_one_line_of_json(server: Server) -> None:
    assert get(server, "/api/samples", colour="red")[0] == 400
    assert get(server, "/api/story", name="nobody")[0] == 400
    assert get(server, "/api/story")[0] == 404
    assert (
        get(server, "/api/threshold", step="rules", signal="words", side="min", value="x")[0] == 400
    )
    assert get(server, "/../report.css")[0] == 404
    status, _, body = get(server, "/api/threshold", step="no", signal="words", side="min", value=1)
    assert (status, list(json.loads(body))) == (400, ["error"])


def test_what_fails_inside_is_not_called_a_missing_page(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(self: Browser, name: str) -> dict[str, Any]:
        raise KeyError("height")

    monkeypatch.setattr(Browser, "story", failing)
    status, _, body = get(server, "/api/story", name="k000")
    assert (status, "KeyError: 'height'" in json.loads(body)["error"]) == (500, True)


def nearest(server: Server, **fields: Any) -> Any:
    """What the page's search answers."""
    status, _, body = get(server, "/api/search", **fields)
    return status, json.loads(body)


def test_the_page_searches_as_the_command_does(
    meaning_server: Server, clipart_run: FinishedRun
) -> None:
    embedding = Embedding(clipart_run)
    query = encoded.of_text(embedding, "a flag")
    for kept, among in (("", "all"), ("yes", "kept"), ("no", "dropped")):
        status, told = nearest(meaning_server, words="a flag", kept=kept)
        expected = Search(embedding, Asked(48, among=among, of_text=True)).find(query)  # type: ignore[arg-type]
        assert status == 200
        assert [(row["uid"], row["cosine"]) for row in told["rows"]] == [
            (row["uid"], row["cosine"]) for row in expected.rows
        ]
        assert (told["searched"], told["of"]) == (expected.searched, expected.of)


def test_more_like_a_sample_among_those_that_meet_the_filters(
    meaning_server: Server, clipart_run: FinishedRun
) -> None:
    rows = ledger(Path(clipart_run.root))
    word = rows[2]["text"].split()[0].lower()
    _, told = nearest(meaning_server, like=rows[0]["sid"], text=word)
    expected = {row["uid"] for row in rows[1:] if word in row["text"].lower()}
    assert {row["uid"] for row in told["rows"]} == expected
    cosines = [row["cosine"] for row in told["rows"]]
    assert cosines == sorted(cosines, reverse=True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "the address of no sample"),
        ({"like": "99999999999999"}, "the address of no sample"),
        ({"like": "x' OR 1=1"}, "the address of no sample"),
        ({"words": "a cat", "colour": "red"}, "no such filter"),
    ],
)
def test_a_search_for_nothing_is_refused(
    meaning_server: Server, fields: dict[str, str], said: str
) -> None:
    status, told = nearest(meaning_server, **fields)
    assert status == 400
    assert said in told["error"]


def test_a_run_without_embeddings_offers_no_search(browser: Browser, server: Server) -> None:
    assert browser.overview["meaning"] == {"like": False, "words": False, "picture": False}
    assert nearest(server, words="a cat")[0] == 400


def test_vectors_that_came_with_the_input_offer_more_like_this(embedded: Any) -> None:
    browser = Browser(open_run(str(embedded())), in_words)
    assert browser.overview["meaning"] == {"like": True, "words": False, "picture": False}
