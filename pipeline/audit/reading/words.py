"""Words that follow a number."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """1 key, 2,000 keys."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: float | int | None) -> str:
    """Four digits that count, or all of a whole number."""
    if value is None:
        return "-"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def share(part: float, whole: float) -> str:
    """12.3%"""
    return f"{100 * part / whole:.1f}%" if whole else "-"
