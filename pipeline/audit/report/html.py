"""Pieces of HTML. All text from data passes through ``text``, which escapes it."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path

from tamis.pipeline.store import storage

STYLE = Path(__file__).with_name("report.css")

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that HTML cannot hold: control characters, and halves of surrogate pairs."""


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">To the content</a>
{body}
</body>
</html>
"""


def document(title: str, body: str) -> bytes:
    """A whole file, UTF-8, without scripts; its policy allows its own style sheet and ``data:`` pictures alone."""
    style = storage.read_bytes(str(STYLE)).decode()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return PAGE.format(policy=policy, title=text(title), style=style, body=body).encode()


def text(value: object, limit: int | None = None) -> str:
    """``value`` escaped for an element's content or a quoted attribute, and cut to ``limit`` characters."""
    words = str(value)
    if limit is not None and len(words) > limit:
        words = words[: limit - 1] + "…"
    return escape(_FORBIDDEN.sub("\ufffd", words), quote=True)


def element(name: str, content: str = "", **attributes: object) -> str:
    """``<name ...>content</name>``. ``content`` is HTML; attributes are escaped; ``class_`` is ``class``."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{content}</{name}>"


def caption(value: str | None, limit: int = 160) -> str:
    """A caption, cut and isolated: its writing direction must not change the text around it."""
    if value is None:
        return element("span", "no caption", class_="none")
    return element("bdi", text(value, limit), dir="auto", class_="caption")


def table(columns: list[tuple[str, str]], rows: list[list[str]], name: str) -> str:
    """A table of HTML cells. ``columns``: (header, "left" or "right"); screen readers read ``name``."""
    head = "".join(element("th", text(title), scope="col", class_=side) for title, side in columns)
    body = "".join(
        element(
            "tr",
            "".join(
                element("td", cell, class_=side)
                for cell, (_, side) in zip(row, columns, strict=True)
            ),
        )
        for row in rows
    )
    inner = element("table", element("thead", element("tr", head)) + element("tbody", body))
    # A region that scrolls must be reachable by keyboard.
    return element("div", inner, class_="scroll", tabindex=0, role="region", aria_label=name)
