"""The files that signals read: one that is gone, and one of which nothing can be said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.pipeline.steps.signals.files import sha256_of
from tamis.schemas.errors import StorageError


def test_a_file_that_cannot_be_read_counts_as_gone_only_where_it_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    below = str(tmp_path / "file" / "head.npz")
    with pytest.raises(StorageError, match=r"head\.npz` cannot be read"):
        sha256_of(below, known=False)
    assert sha256_of(below, known=True) is None
    assert sha256_of(str(tmp_path / "gone.npz"), known=False) is None
