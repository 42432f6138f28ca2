"""What a person's code gives to the Python interface: checked, and in the words of the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tamis.schemas.errors import JobError

Given = TypeVar("Given")

Settings = Mapping[str, Any]
"""Path in the job -> value, as in ``--set``: ``{"density.keep": 0.3}``."""


def checked(value: Given, kinds: type | tuple[type, ...], name: str, wanted: str) -> Given:
    """An argument of one of some types.

    Raises:
        TypeError: it is of another; one line.
    """
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{name} is {_shown(value)}: give {wanted}")
    return value


def path_of(value: object, name: str) -> str:
    """A directory, a file or a URL.

    Raises:
        TypeError: it is no path.
    """
    return str(checked(value, (str, Path), name, "a path or a URL"))


def check_among(among: object) -> None:
    """Refuse what no samples are called.

    Raises:
        JobError: it is neither kept nor all.
    """
    if among not in ("kept", "all"):
        raise JobError(f"among is {_shown(among)}: is one of kept, all")


def check_names(columns: Sequence[str] | None) -> None:
    """Refuse what are no names of columns.

    Raises:
        TypeError: it is one text, or holds something else than texts.
    """
    if columns is None:
        return
    checked(columns, (list, tuple), "columns", 'a list of names, such as ["uid", "kept"]')
    for name in columns:
        checked(name, str, "a column", "its name")


def settings(changes: Settings) -> list[str]:
    """Changes of a job as ``--set`` writes them.

    Raises:
        TypeError: they are no map, or a value is none that a job can hold.
    """
    checked(changes, Mapping, "set", 'a map, such as {"density.keep": 0.3}')
    return [f"{path}={json.dumps(value, default=_of_a_job)}" for path, value in changes.items()]


def _of_a_job(value: Any) -> Any:
    """A path as text, and a number or an array of NumPy as one of Python."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"set has {_shown(value)}: a job holds text, numbers, lists and maps")


def _shown(value: object) -> str:
    return f"{' '.join(repr(value).split())[:60]} ({type(value).__name__})"
