"""A contact sheet: what a step of duplicates dropped, each beside its survivor, for a person to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.pairs import Pair, drawn
from tamis.pipeline.audit.reading.pictures import Album, Pictures
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.audit.report.html import caption, document, element, text
from tamis.pipeline.steps.shared.audit import Row
from tamis.schemas.ledger import likeness

if TYPE_CHECKING:
    import duckdb

PICTURE_BYTES = 24_000_000
"""Bytes of encoded pictures in a sheet, at most."""
SIDE = 128
"""Longer side of a picture in pixels, at most."""


def sheet(run: FinishedRun, step: str, count: int) -> bytes:
    """The HTML file, UTF-8: ``count`` pairs, the least alike first.

    Raises:
        JobError: no such step found duplicates.
    """
    with sql.connect(run, tables=False) as connection:
        return _page(run, connection, step, count)


def _page(run: FinishedRun, connection: duckdb.DuckDBPyConnection, step: str, count: int) -> bytes:
    pairs = drawn(run, connection, step, count)
    album = Album(Pictures(run), PICTURE_BYTES, SIDE)
    album.fetch(row["sid"] for pair in pairs for row in pair if row is not None)
    shown = "".join(_pair(run, place, pair, album) for place, pair in enumerate(pairs, 1))
    lead = (
        f"{len(pairs):,} samples that {step} dropped, each beside the sample kept instead; the least alike first. A "
        "third are the least alike of all, the others are drawn by a hash of their uids."
    )
    notes = "".join(element("p", text(note), class_="note") for note in album.notes)
    head = element("h1", text(f"{step}: dropped and survivor")) + element(
        "p", text(lead), class_="lead"
    )
    body = element("header", head)
    body += element("main", notes + element("div", shown, class_="sheet"), id="main")
    return document(f"{run.manifest.job['name']}: {step}", body)


def _pair(run: FinishedRun, place: int, pair: Pair, album: Album) -> str:
    dropped = pair.dropped
    measure = likeness(dropped["reason"], run.settings_of(dropped["step"]))
    value = f" {measure} {number(dropped['partner_value'])}" if measure else ""
    frames = _frame("dropped", dropped, album) + _frame("survivor", pair.survivor, album)
    return element(
        "figure",
        element("figcaption", element("b", str(place)) + text(value))
        + element("div", frames, class_="two"),
        class_="pair",
    )


def _frame(role: str, row: Row | None, album: Album) -> str:
    uri = None if row is None else album.uri(row["sid"])
    drawn_in = f'<img src="{uri}" alt="{role}" loading="lazy">' if uri else "no picture"
    frame = element("div", drawn_in, class_="frame")
    if row is None:
        return element("div", frame, class_="sample")
    fate = "was-kept" if row["kept"] else "was-dropped"
    title = f"{role}: {row['key']} in {row['source']}, uid {row['uid']}"
    return element("div", frame + caption(row["text"]), class_=f"sample {fate}", title=title)
