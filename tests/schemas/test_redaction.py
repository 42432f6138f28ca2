"""URLs in texts: found as a pattern finds them, in time that grows with the text alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.schemas.errors import InputError
from tamis.schemas.redaction import redact, redact_text

PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"`<>]*?(?=[:;,.)\]}]*(?:[\s'\"`<>]|$))")
"""What a URL in a text is; as a pattern it takes a time that grows with the square of the text."""

TEXTS = st.text(st.sampled_from("aZ0+.-:/@?# '`<>),;]}\u00e9\n"), max_size=40) | st.lists(
    st.sampled_from(
        ["://", "s3", "http", "k:s@", "?a=b", "#c", "host/p", "`", " ", ".", ",", ")", "1", "-"]
    ),
    max_size=12,
).map("".join)


@given(TEXTS)
def test_urls_are_those_of_the_pattern(text: str) -> None:
    assert redact_text(text) == PATTERN.sub(lambda match: redact(match[0]), text)


LONG = 300_000


@pytest.mark.parametrize(
    "text",
    [
        "x" * LONG,
        "x." * LONG,
        "http://" + "." * LONG,
        "http://" + ".)" * LONG,
        "://" * LONG,
        "a://" * LONG,
        "a:/" * LONG,
        "http://a.b/?c " * (LONG // 10),
        "9" * LONG + "://",
    ],
)
def test_a_long_text_is_looked_through_once(text: str) -> None:
    """It ends: a pattern would take hours."""
    assert len(str(InputError(f"`{text}`: is no number"))) > 1000
    assert len(redact_text(text)) >= 0
