"""Entry points of installed packages: each a function or a class."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import lru_cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any, NamedTuple

from tamis.pipeline.plugins import sources
from tamis.schemas.errors import PlugInError
from tamis.schemas.nearest import nearest


class Entry(NamedTuple):
    """The value of an entry point, `package.module:function`, and the version of its distribution."""

    value: str
    version: str


def find(package: str, name: str, group: str) -> Entry:
    """The entry point ``name`` of the distribution ``package`` in a group; nothing is imported.

    Raises:
        PlugInError: it is not installed, or has no such entry point.
    """
    there = installed(package)
    if there is None:
        raise PlugInError(f"{package}: is not installed: pip install {package}")
    own = {point.name: point for point in entry_points(group=group) if _is_of(point, package)}
    if name not in own:
        raise PlugInError(
            f"{package} {there}: has no entry point `{name}` in the group {group}{nearest(name, list(own))}"
        )
    return Entry(own[name].value, there)


@lru_cache(maxsize=32)
def load(package: str, entry: Entry) -> Callable[..., Any]:
    """The function, imported.

    Raises:
        PlugInError: the package has another version here, or its module cannot be imported.
    """
    sources.check_importing(package)
    here = installed(package)
    if here != entry.version:
        raise PlugInError(
            f"{package}: the job was read with version {entry.version}, here is {here or 'none'}: install the same on "
            "all machines"
        )
    module, _, name = entry.value.partition(":")
    try:
        with redirect_stdout(sys.stderr):
            function = getattr(importlib.import_module(module), name, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a module of somebody else's raises
        raise PlugInError(
            f"{package}: {module} cannot be imported: {sources.said(error)}"
        ) from None
    if not callable(function):
        raise PlugInError(f"{package}: {module} has no function `{name}`")
    found: Callable[..., Any] = function
    return found


def installed(package: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _is_of(point: EntryPoint, package: str) -> bool:
    return point.dist is not None and _plain(point.dist.name) == _plain(package)


def _plain(name: str) -> str:
    """A distribution's name as the index compares it."""
    return name.lower().replace("_", "-").replace(".", "-")
