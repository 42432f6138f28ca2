"""Vectors that a table of the run holds, ready to be searched for the nearest to each sample."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import centroid_rows
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import InputError


def check_width(io: TaskIo[Any], own: int, other: int, what: str) -> None:
    """Check that vectors of ``own`` numbers can be compared with ``what``, of ``other``.

    Raises:
        InputError: they cannot.
    """
    if own != other:
        raise InputError(
            f"{io.step}: vectors of {own:,} numbers are compared with {what} of {other:,}: both need one encoder"
        )


@lru_cache(maxsize=2)
def _searchable(root: str, path: str, digest: str) -> kmeans.Centroids:
    del digest  # part of the key: the same path may hold others later
    return kmeans.Centroids(centroid_rows(part_files.read_file(root, path, ["centroid"])))


def rows_of(io: TaskIo[Any], role: str) -> kmeans.Centroids:
    """Rows to be searched, under a role; kept by the process between tasks."""
    (piece,) = io.slices(role)
    assert isinstance(piece, Slice)
    return _searchable(io.root, piece.path, piece.identity)
