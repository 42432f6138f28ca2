"""An answer of a search as one self-contained HTML file, with the pictures."""

from __future__ import annotations

from typing import Any

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.pictures import Album, Pictures
from tamis.pipeline.audit.report.html import caption, document, element, text
from tamis.pipeline.audit.search.search import Found

SIDE = 240
"""Longer side of a picture in pixels, at most."""
PICTURE_BYTES = 8_000_000
"""Bytes of pictures in a page, at most."""


def search_page(run: FinishedRun, what: str, found: Found, lines: list[str]) -> bytes:
    """The HTML file, UTF-8. ``what``: the query in words; ``lines``: what was searched, in words."""
    album = Album(Pictures(run), PICTURE_BYTES, SIDE)
    album.fetch([row["sid"] for row in found.rows])
    samples = "".join(_sample(row, album) for row in found.rows)
    notes = "".join(element("p", text(note), class_="note") for note in album.notes)
    said = "".join(element("p", text(line), class_="soft") for line in lines)
    head = element("h1", text(what)) + element("p", text(run.manifest.job["name"]), class_="lead")
    body = element("header", head) + element(
        "main", said + notes + element("div", samples, class_="strip found"), id="main"
    )
    return document(f"{what}: nearest samples", body)


def _sample(row: dict[str, Any], album: Album) -> str:
    uri = album.uri(row["sid"])
    drawn = f'<img src="{uri}" alt="" loading="lazy">' if uri else "no picture"
    fate = "kept" if row["kept"] else f"dropped by {row['step']}: {row['reason']}"
    shown = element("div", drawn, class_="frame")  # first, so that pictures stand in lines
    shown += element("span", text(f"{row['cosine']:.3f} {fate}"), class_="who")
    shown += caption(row["text"])
    return element(
        "div",
        shown,
        class_="sample was-kept" if row["kept"] else "sample was-dropped",
        title=f"{row['key']} in {row['source']}, uid {row['uid']}",
    )
