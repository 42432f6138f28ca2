"""`tamis plan` says what a worker holds, by formula, at the size of the web: it does not grow with the input."""

from __future__ import annotations

from typing import Any

import pytest

from tamis.schemas.registry import configuration

WEB = 5_850_000_000

NOTES: list[tuple[str, dict[str, Any], str]] = [
    ("quotas", {"by": "language", "keep": 0.3}, "1,000,000 groups x 100 B and their names: 100 MB"),
    ("exclude", {"list": "x.txt", "on": "url"}, "20,000,000 listed entries x 50 B: 1,000 MB"),
    ("exclude", {"list": "x", "on": "phash"}, "1,000,000 listed entries x 500 B: 500 MB"),
    ("exclude", {"list": "x", "on": "embedding"}, "500,000 listed vectors x 512 x 8 B: 2,048 MB"),
    ("target", {"path": "x", "keep": 0.2}, "20,000 target vectors x 512 x 8 B: 82 MB"),
    ("target", {"path": "x", "keep": 0.2, "measure": "moment"}, "512 x 512 x 8 B: 2 MB"),
    (
        "target",
        {"path": "x", "measure": "frechet", "centroids": "y"},
        "the moments of each concept, 64 x 64 x 8 B: 32,768 B",
    ),
    (
        "target",
        {"path": "x", "keep": 0.2, "measure": "influence"},
        "references x 64 numbers x 32 B",
    ),
    ("difficulty", {"measure": "loss"}, "references x 64 numbers x 16 B"),
    ("difficulty", {"measure": "cliploss"}, "4,096 references x"),
    ("repeat", {"signal": "s", "total": 1_280_000_000}, "10,000,000 keys x 32 B: 320 MB"),
    ("repeat", {"signal": "s", "total": 1_280_000_000}, "7,130,000,000 x 32 B, 228.2 GB"),
]


@pytest.mark.parametrize(("kind", "settings", "said"), NOTES)
def test_what_a_worker_holds(kind: str, settings: dict[str, Any], said: str) -> None:
    step = configuration(kind).model_validate(settings)
    at_web_scale, small = (list(step.notes(count, lambda _: 512)) for count in (WEB, 1_000))
    assert any(said in note for note in at_web_scale)
    held = [[note for note in notes if "a worker" in note] for notes in (at_web_scale, small)]
    assert held[0] == held[1] != []
