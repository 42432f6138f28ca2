"""The section of a report that shows what was dropped: for each step and reason some samples, drawn by a hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.pictures import Album
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.audit.report.html import caption, element, text
from tamis.pipeline.steps.shared.audit import Row
from tamis.schemas.ledger import likeness

if TYPE_CHECKING:
    import duckdb

REASONS = 24
"""Pairs of step and reason that are shown, at most; the most frequent."""
EACH = 6
"""Samples of each."""

DRAWN = f"""
    SELECT step, reason, count(*) AS samples, arg_min(sid, md5(uid), {EACH})
    FROM ledger WHERE NOT kept AND step <> 'ingest'
    GROUP BY step, reason ORDER BY samples DESC, step, reason LIMIT {REASONS}
"""


def dropped_section(run: FinishedRun, connection: duckdb.DuckDBPyConnection, album: Album) -> str:
    """A strip of samples for each step and reason; "" where no step dropped any. What ingest drops is left out."""
    found = connection.execute(DRAWN).fetchall()
    if not found:
        return ""
    sids = [sid for *_, drawn in found for sid in drawn]
    rows = dict(zip(sids, run.rows(sids), strict=True))
    album.fetch(sids)
    strips = "".join(
        element("h3", f"{text(step)}: {text(reason.replace('_', ' '))}, {samples:,}")
        + element(
            "div", "".join(_sample(run, rows[sid], album) for sid in drawn), class_="strip wide"
        )
        for step, reason, samples, drawn in found
    )
    words = (
        f"Up to {EACH} samples of each reason, drawn by a hash of their uids: the same every time."
    )
    return element("p", words, class_="soft") + strips


def _measured(run: FinishedRun, row: Row) -> str:
    """The name of what a sample's value is."""
    if row["rule"] == "quota":
        return "rank"
    return likeness(row["reason"], run.settings_of(row["step"])) or row["rule"] or "value"


def _sample(run: FinishedRun, row: Row, album: Album) -> str:
    uri = album.uri(row["sid"])
    drawn = f'<img src="{uri}" alt="" loading="lazy">' if uri else "no picture"
    shown = element("div", drawn, class_="frame") + caption(row["text"])
    if row["value"] is not None:
        bound = "" if row["bound"] is None else f", bound {number(row['bound'])}"
        said = f"{_measured(run, row)} {number(row['value'])}{bound}"
        shown += element("div", text(said), class_="soft")
    title = f"{row['key']} in {row['source']}, uid {row['uid']}"
    return element("div", shown, class_="sample was-dropped", title=title)
