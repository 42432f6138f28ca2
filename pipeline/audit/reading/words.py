"""Words that follow a number."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """1 key, 2,000 keys."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
