"""The questions of the page, by their paths, and the fields of a question."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.beside import Beside
from tamis.schemas.errors import InputError

Asked = Mapping[str, str]


class Unknown(Exception):  # noqa: N818 - it names the condition
    """No such page, or a field is missing from the request."""


def field(asked: Asked, name: str) -> str:
    """A field that a question cannot do without."""
    try:
        return asked[name]
    except KeyError:
        raise Unknown(f"the field `{name}` is missing") from None


def sid_of(asked: Asked) -> int:
    """A sample's sid; -1, which no sample has, where none is given."""
    written = asked.get("sid", "")
    return int(written) if written.isdecimal() and len(written) < 20 else -1


def _real(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"`{value[:40]}` is no number")
    return number


def _story(browser: Browser, asked: Asked) -> Any:
    if "sid" in asked:
        return browser.story_at(sid_of(asked))
    return browser.story(field(asked, "name"))


def _threshold(browser: Browser, asked: Asked) -> Any:
    step, signal, side = (field(asked, name) for name in ("step", "signal", "side"))
    value = _real(field(asked, "value"))
    with browser.cursor() as cursor:
        return browser.thresholds.moved(cursor, step, signal, side, value)


def _members(browser: Browser, asked: Asked) -> Any:
    with browser.cursor() as cursor:
        return browser.members.tiles(cursor, asked)


def _keep(browser: Browser, asked: Asked) -> Any:
    value = _real(field(asked, "value"))
    return browser.thresholds.kept_with(field(asked, "step"), value)


OF_A_RUN: Mapping[str, Callable[[Browser, Asked], Any]] = {
    "/api/groups": lambda browser, _: browser.groups,
    "/api/concepts": lambda browser, _: browser.concepts,
    "/api/members": _members,
    "/api/samples": lambda browser, asked: browser.samples(asked),
    "/api/counts": lambda browser, asked: browser.counts(asked),
    "/api/search": lambda browser, asked: browser.nearest(asked),
    "/api/story": _story,
    "/api/histogram": lambda browser, asked: browser.histogram(field(asked, "signal")),
    "/api/threshold": _threshold,
    "/api/keep": _keep,
}
"""What is asked of one run."""

OF_TWO_RUNS: Mapping[str, Callable[[Beside, Asked], Any]] = {
    "/api/moves": lambda beside, _: beside.moves(),
    "/api/moved": lambda beside, asked: beside.samples(asked),
}
"""What is asked of a run and another beside it."""
