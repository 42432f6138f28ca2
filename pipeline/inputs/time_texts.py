"""Dates and times of Arrow as text, whatever their numbers: Python's objects hold years from 1 to 9999 alone.

What these hold is written as they write it, with nine digits of a second where six do not say it. A year before or
behind is written on (`+10000-01-01`, `-0001-12-31`); a time zone that nobody knows leaves the instant, in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import pyarrow as pa

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Units of time in a second."""

DAY = 86_400
EPOCH = date(1970, 1, 1).toordinal()
CYCLE_DAYS, CYCLE_YEARS = 146_097, 400
"""After which the calendar is the same."""

OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
"""A time zone that is a number of hours and minutes."""


def text_of(kind: pa.DataType) -> Callable[[int], str]:
    """What writes the whole number that stands for a value of a type of dates or times."""
    if pa.types.is_date32(kind):
        return _day
    if pa.types.is_date64(kind):
        return lambda value: _day(value // (DAY * 1000))
    per_second = PER_SECOND[kind.unit]
    if pa.types.is_timestamp(kind):
        zone = None if kind.tz is None else _zone(kind.tz)
        return lambda value: _instant(value, per_second, zone)
    if pa.types.is_duration(kind):
        return lambda value: _duration(value, per_second)
    return lambda value: _clock(value, per_second)


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    """The zone of that name; UTC where nobody knows it."""
    offset = OFFSET.fullmatch(name)
    with suppress(ValueError, OSError, KeyError):
        if offset is not None:
            minutes = 60 * int(offset[2]) + int(offset[3])
            return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
        return ZoneInfo(name)
    return UTC


def _day(days: int) -> str:
    """A day by its number from 1970-01-01."""
    cycles, day = divmod(days + EPOCH - 1, CYCLE_DAYS)
    found = date.fromordinal(day + 1)
    year = found.year + cycles * CYCLE_YEARS
    sign = "+" if year > 9999 else "-" if year < 0 else ""
    return f"{sign}{abs(year):04}-{found.month:02}-{found.day:02}"


def _instant(value: int, per_second: int, zone: tzinfo | None) -> str:
    seconds, rest = divmod(value, per_second)
    offset = ""
    if zone is not None:
        local = _local(seconds, zone)
        seconds += local // timedelta(seconds=1)
        offset = datetime(2000, 1, 1, tzinfo=timezone(local)).isoformat()[19:]
    days, second = divmod(seconds, DAY)
    return f"{_day(days)}T{_clock(second * per_second + rest, per_second)}{offset}"


def _local(seconds: int, zone: tzinfo) -> timedelta:
    """A zone's distance from UTC; none where no calendar of Python's goes so far."""
    with suppress(OverflowError, ValueError):
        found = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(zone)
        return found.utcoffset() or timedelta(0)
    return zone.utcoffset(None) or timedelta(0)


def _clock(value: int, per_second: int) -> str:
    """A time of day; one beyond the day goes on counting its hours."""
    sign, (seconds, rest) = "-" if value < 0 else "", divmod(abs(value), per_second)
    hours, minutes = divmod(seconds // 60, 60)
    return f"{sign}{hours:02}:{minutes:02}:{seconds % 60:02}{_fraction(rest, per_second)}"


def _duration(value: int, per_second: int) -> str:
    """As Python writes a ``timedelta``."""
    seconds, rest = divmod(value, per_second)
    days, seconds = divmod(seconds, DAY)
    front = f"{days} day{'' if abs(days) == 1 else 's'}, " if days else ""
    hours, minutes = divmod(seconds // 60, 60)
    return f"{front}{hours}:{minutes:02}:{seconds % 60:02}{_fraction(rest, per_second)}"


def _fraction(rest: int, per_second: int) -> str:
    nanoseconds = rest * (10**9 // per_second)
    if nanoseconds % 1000:
        return f".{nanoseconds:09}"
    return f".{nanoseconds // 1000:06}" if nanoseconds else ""
