"""Scopes of tasks and their files."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """The part of a run that one task works on; its files are called by it."""

    PART = "part"  # one part
    BUNDLE = "bundle"  # 128 consecutive parts: a row group for each of them, or of an exchange for each bucket
    FILE = "file"  # one input file
    RANGE = "range"  # consecutive parts: a row group for each of them
    BUCKET = "bucket"  # one share of an exchange, from every part
    SHARD = "shard"  # one file of the result
    WHOLE = "whole"  # everything: the phase has no other task

    @property
    def gathers(self) -> bool:
        """Whether such a task reads what many parts have written: a shuffle."""
        return self in {Scope.RANGE, Scope.BUCKET, Scope.WHOLE}
