"""Paths of a run's tables: ``tables/<step>/<phase>/<task>.parquet``, relative to the run directory."""

from __future__ import annotations

from typing import NamedTuple

from tamis.schemas.scope import Scope

TABLES = "tables"
LEDGER = "ledger"

CLEARED = "_cleared"
"""The file in a phase's folder whose tables `tamis clean` has removed; its index stands."""


class Address(NamedTuple):
    """The parts of a table's path."""

    step: str
    phase: str
    task: str


def folder(step: str, phase: str) -> str:
    """Path of the tables of a phase."""
    return f"{TABLES}/{step}/{phase}"


def table(step: str, phase: str, task: str) -> str:
    """Path of the table of a task."""
    return f"{folder(step, phase)}/{task}.parquet"


def task_name(scope: Scope, number: int) -> str:
    """Name of a task that is one of several."""
    return f"{scope}-{number:05d}"


def numbered(name: str) -> tuple[Scope, int] | None:
    """The inverse of ``task_name``; None for another kind of name."""
    scope, mark, number = name.partition("-")
    matches = mark and scope in set(Scope) and number.isdigit()
    return (Scope(scope), int(number)) if matches else None


def address(path: str) -> Address:
    """The inverse of ``table``."""
    _, step, phase, name = path.split("/")
    return Address(step, phase, name.removesuffix(".parquet"))
