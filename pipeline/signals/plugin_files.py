"""Files of code of one's own: read where a job is checked, and kept in the run directory for its workers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tamis.pipeline.plugins import packages, sources
from tamis.pipeline.plugins.sources import Sources
from tamis.pipeline.store import storage
from tamis.schemas.errors import PlugInError

FOLDER = "plugins"
"""Of a run directory: a folder for each set of sources, named by its hash."""

_PACKED = "packed"
"""File beside the readable copies, from which workers load."""


def read_sources(file: str, others: Sequence[str]) -> Sources:
    """The texts of a file and of those that it imports, by their bare names.

    Raises:
        PlugInError: one cannot be read, is no Python file, or has the name of another or of a module of Python's.
    """
    found: dict[str, str] = {}
    for path in (file, *others):
        name = storage.redact(path).rpartition("/")[2]
        if not name.endswith(".py") or not name.removesuffix(".py").isidentifier():
            raise PlugInError(
                f"{storage.redact(path)}: is no Python module: name a file such as my.py, whose name is a word"
            )
        if found and name.removesuffix(".py") in sys.stdlib_module_names:
            raise PlugInError(
                f"{storage.redact(path)}: Python has a module of that name, which others import: rename it"
            )
        if name in found:
            raise PlugInError(f"{storage.redact(path)}: two files are called {name}: rename one")
        try:
            found[name] = storage.read_bytes(storage.absolute(path)).decode("utf-8-sig")
        except OSError as error:
            raise PlugInError(
                f"{storage.redact(path)}: cannot be read: {error.strerror or error}"
            ) from None
        except UnicodeDecodeError:
            raise PlugInError(f"{storage.redact(path)}: is no text in UTF-8") from None
    sources.check_size(found)
    return found


def keep(root: str, packed: str) -> None:
    """Write the sources into the run directory: readable, and packed for its workers."""
    folder = storage.join(root, FOLDER, sources.digest(packed)[:16])
    if storage.exists(storage.join(folder, _PACKED)):
        return
    for name, text in sources.unpack(packed).items():
        storage.write_bytes(storage.join(folder, name), text.encode())
    storage.write_bytes(storage.join(folder, _PACKED), packed.encode())


@lru_cache(maxsize=32)
def kept(root: str, digest: str) -> str:
    """The packed sources that ``keep`` has written.

    Raises:
        PlugInError: they are missing, or others than when the run began.
    """
    path = storage.join(root, FOLDER, digest[:16], _PACKED)
    try:
        packed = storage.read_bytes(path).decode()
    except FileNotFoundError:
        packed = ""
    if sources.digest(packed) != digest:
        raise PlugInError(
            f"{path}: is missing or has changed: start the run again, which writes it"
        )
    return packed


def loaded(root: str, name: str, identity: Mapping[str, Any]) -> tuple[str, Callable[..., Any]]:
    """What a run's code calls ``name``, and its file or package, by the identity that its settings have.

    Raises:
        PlugInError: it is missing, has changed, or cannot be imported.
    """
    if "plugin" in identity:
        packed = kept(root, identity["plugin"])
        return next(iter(sources.unpack(packed))), sources.load(packed, name)
    package, *entry = identity["package"]
    return package, packages.load(package, packages.Entry(*entry))
