"""Where the tables of a run lie: ``tables/<step>/<phase>/<task>.parquet``, relative to its directory."""

from __future__ import annotations

from typing import NamedTuple

from tamis.schemas.scope import Scope

TABLES = "tables"


class Address(NamedTuple):
    """What a table's path says."""

    step: str
    phase: str
    task: str


def folder(step: str, phase: str) -> str:
    """Where the tables of a phase lie."""
    return f"{TABLES}/{step}/{phase}"


def table(step: str, phase: str, task: str) -> str:
    """The table of one task, by its name."""
    return f"{folder(step, phase)}/{task}.parquet"


def task_name(scope: Scope, number: int) -> str:
    """What a task is called that is one of several."""
    return f"{scope}-{number:05d}"


def numbered(name: str) -> tuple[Scope, int] | None:
    """The inverse of ``task_name``; None for a task of another kind of name."""
    scope, mark, number = name.partition("-")
    known = mark and scope in set(Scope) and number.isdigit()
    return (Scope(scope), int(number)) if known else None


def address(path: str) -> Address:
    """The inverse of ``table``."""
    _, step, phase, name = path.split("/")
    return Address(step, phase, name.removesuffix(".parquet"))
