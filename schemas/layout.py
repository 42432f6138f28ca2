"""The version of a run directory's layout, which ``plan.json`` carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tamis.schemas.errors import StateError

LAYOUT = 2
"""It goes up when files of a run mean something else or lie elsewhere.

Runs of layout 1, which states no number, can be read and gone on with: some tables of global steps are made again under
other names.
"""


def check_layout(record: Mapping[str, Any], path: str) -> None:
    """Check that this version can read a run directory; ``record`` is the content of its ``plan.json``.

    Raises:
        StateError: a later version made it.
    """
    layout = record.get("layout", 1)
    if layout not in range(1, LAYOUT + 1):
        raise StateError(
            f"{path}: layout {layout!r}, and this version reads 1 to {LAYOUT}: use the version that "
            "made the run, or give another `output:`"
        )
