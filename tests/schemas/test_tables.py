"""The names that inputs use for the same column."""

from __future__ import annotations

import pytest

from tamis.schemas.tables import find_column


@pytest.mark.parametrize(
    ("wanted", "available", "found"),
    [
        ("text", ["TEXT"], "TEXT"),
        ("text", ["Text", "text"], "text"),
        ("text", ["TEXT", "Text"], "TEXT"),
        ("v", ["V", "v"], "v"),
        ("V", ["v", "V"], "V"),
        ("V", ["v"], "v"),
        ("text", ["Caption", "caption"], "caption"),
        ("text", ["caption", "TEXT"], "TEXT"),
        ("url", ["image_url", "Url"], "Url"),
        ("similarity", ["clip_l14_similarity_score", "Similarity"], "Similarity"),
        ("v", ["w"], None),
    ],
)
def test_a_column_is_found_by_its_name_first_as_it_is_written(
    wanted: str, available: list[str], found: str | None
) -> None:
    assert find_column(wanted, available) == found
