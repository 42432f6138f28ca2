"""Shares of whole numbers as they are written in decimal: 0.29 of 100 is 29, though the product of floats is less."""

from __future__ import annotations

import math
from fractions import Fraction


def rounded_down(share: float, whole: int, of: int = 1) -> int:
    """The share of ``whole / of``, rounded down."""
    return math.floor(Fraction(repr(float(share))) * Fraction(whole, of))


def rounded_up(share: float, whole: int) -> int:
    """The share of ``whole``, rounded up: the least count that is at least the share."""
    return math.ceil(Fraction(repr(float(share))) * whole)
