"""Stories as one self-contained HTML file, with the pictures of a sample and of its partner side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.pictures import Album, Pictures
from tamis.pipeline.audit.report.html import caption, document, element, text
from tamis.pipeline.audit.story.elsewhere import Stranger, stranger
from tamis.pipeline.audit.story.story import Story, pictured

SIDE = 480
"""Longer side of a picture in pixels, at most."""
PICTURE_BYTES = 4_000_000
"""Bytes of pictures in a page, at most."""


def story_page(run: FinishedRun, shown: Sequence[Story], total: int) -> bytes:
    """The HTML file, UTF-8. ``shown``: stories with ``fate``, ``facts``, and each step's ``lines``; of ``total``."""
    album = Album(Pictures(run), PICTURE_BYTES, SIDE)
    beside = [pictured(run, story) for story in shown]
    album.fetch([other["sid"] for others in beside for other in others])
    strangers = [stranger(run, story, SIDE) for story in shown]
    sections = "".join(
        _story(story, others, album, other)
        for story, others, (other, _) in zip(shown, beside, strangers, strict=True)
    )
    missing = [note for _, notes in strangers for note in notes]
    name = shown[0]["key"] or shown[0]["uid"]
    more = (
        f"{total:,} samples have that name; the first {len(shown):,} are told."
        if total > len(shown)
        else ""
    )
    notes = "".join(
        element("p", text(note), class_="note")
        for note in dict.fromkeys([*album.notes, *missing, more])
        if note
    )
    head = element("h1", text(name)) + element("p", text(run.manifest.job["name"]), class_="lead")
    body = element("header", head) + element("main", notes + sections, id="main")
    return document(f"{name}: why", body)


def _story(story: Story, others: Sequence[Story], album: Album, other: Stranger | None) -> str:
    figures = "".join(_figure(other, album.uri(other["sid"])) for other in others)
    if other is not None:
        figures += _figure(other.shown, album.written(other.picture))
    facts = "".join(
        element("dt", text(name)) + element("dd", element("bdi", text(value), dir="auto"))
        for name, value in story["facts"]
    )
    steps = "".join(_step(step) for step in story["steps"])
    return element(
        "section",
        element("h2", text(story["fate"]))
        + element("div", figures, class_="side")
        + element("dl", facts)
        + element("ol", steps, class_="steps"),
    )


def _figure(other: Story, uri: str | None) -> str:
    drawn = element("p", "no picture", class_="soft")
    if uri is not None:
        drawn = f'<img src="{uri}" alt="{text(other["text"] or other["key"], 160)}">'
    fate = "kept" if other["kept"] else f"dropped by {other['step']}"
    head = element("b", text(other["role"])) + " " + element("span", text(fate), class_="soft")
    return element(
        "figure",
        element("figcaption", head) + drawn + caption(other["text"]),
        class_="was-kept" if other["kept"] else "was-dropped",
    )


def _step(step: dict[str, Any]) -> str:
    outcome = step["outcome"]
    lines = "".join(
        element("div", element("bdi", text(line), dir="auto")) for line in step["lines"]
    )
    head = element("b", text(step["step"])) + " " + element("span", text(outcome), class_="soft")
    return element("li", head + lines, class_="gone" if outcome == "dropped" else None)
