"""Numbers as text."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A count and its noun: 1 key, 2,000 keys."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: float | int | None) -> str:
    """Four significant digits, or all digits of a whole number; "-" for None."""
    if value is None:
        return "-"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def share(part: float, whole: float) -> str:
    """A share as 12.3%; "-" of nothing."""
    return f"{100 * part / whole:.1f}%" if whole else "-"
