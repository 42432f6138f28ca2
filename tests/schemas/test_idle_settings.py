"""A setting that means nothing beside the others is refused in one line; at its default it may stand."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tamis.schemas.registry import configuration
from tamis.schemas.step import StepModel

EXCLUDE = {"list": "a.parquet", "on": "url"}
TARGET = {"path": "runs/a", "keep": 0.5}
IDLE: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("exclude", {**EXCLUDE, "on": "signal", "signal": "x"}, {"within": 3}, "`on: phash`"),
    ("exclude", {**EXCLUDE, "on": "signal", "signal": "x"}, {"epsilon": 0.1}, "`on: embedding`"),
    ("exclude", EXCLUDE, {"signal": "x"}, "`on: signal` or `on: md5`"),
    ("exclude", EXCLUDE, {"difference": 0.2}, "`on: phash`"),
    ("exclude", EXCLUDE, {"detail": None}, "`on: phash`"),
    ("exclude", EXCLUDE, {"embedding": "x"}, "`on: embedding`"),
    ("exclude", {"list": "a.npy", "on": "embedding"}, {"column": "x"}, "a list in parquet"),
    ("exclude", {"list": "a.txt", "on": "url"}, {"column": "x"}, "a list in parquet"),
    ("write", {}, {"embeddings_as": "int8"}, "`embeddings`"),
    ("write", {"format": "webdataset"}, {"pictures": False}, "`format: parquet`"),
    ("write", {"format": "parquet"}, {"json": "signals"}, "`format: webdataset`"),
    ("quotas", {"by": "a", "keep": 0.5}, {"best": "lowest"}, "`score`"),
    ("quotas", {"by": "a", "keep": 0.5}, {"power": 0.5}, "`weights` that differ"),
    ("quotas", {"by": "a", "cap": 0.5}, {"of": "input"}, "`keep`"),
    ("near_duplicates", {"agree": "none"}, {"hamming": 3}, "`agree: phash`"),
    ("near_duplicates", {"agree": "embedding"}, {"detail": None}, "`agree: phash`"),
    ("near_duplicates", {"agree": "phash"}, {"cosine": 0.8}, "`agree: embedding`"),
    ("near_duplicates", {}, {"segment": True}, "`unit: word`"),
    ("target", {**TARGET, "measure": "moment"}, {"most": 5}, "nearest and influence"),
    ("target", TARGET, {"centroids": "runs/b"}, "concepts and frechet"),
    ("target", {**TARGET, "path": "a.txt"}, {"query": "a bird"}, "a file of vectors"),
    ("importance", {"target": "a.txt", "keep": 0.5}, {"column": "x"}, "a parquet file"),
    ("counts", {"names": ["url_count"]}, {"words": 5}, "`boilerplate`"),
    ("signals", {"names": ["words"]}, {"embedding": "x"}, "`heads` over one"),
    ("embed", {"encoder": "precomputed:x"}, {"precision": "bf16"}, "an encoder with a model"),
]
MEANT = [
    ("exclude", {"list": "a.npy", "on": "embedding", "epsilon": 0.1, "embedding": "x"}),
    ("exclude", {"list": "a.parquet", "on": "phash", "within": 3, "column": "x", "detail": None}),
    ("write", {"embeddings": "all", "embeddings_as": "int8"}),
    ("write", {"pictures": False, "json": "signals"}),
    ("quotas", {"by": "a", "score": "b", "best": "lowest", "weights": "size", "power": 2.0}),
    ("near_duplicates", {"hamming": 3, "cosine": 0.8}),
    ("near_duplicates", {"unit": "word", "segment": True}),
    ("counts", {"names": ["boilerplate"], "words": 5}),
]


@pytest.mark.parametrize(("kind", "beside", "idle", "alone"), IDLE)
def test_a_setting_that_says_nothing_is_refused(
    kind: str, beside: dict[str, Any], idle: dict[str, Any], alone: str
) -> None:
    model: type[StepModel] = configuration(kind)
    made = model.model_validate(beside)
    with pytest.raises(ValidationError) as caught:
        model.model_validate({**beside, **idle})
    (error,) = caught.value.errors()
    (name,) = idle
    assert error["msg"].startswith(f"Value error, `{name}: ")
    assert f"it belongs to {alone}: leave it out" in error["msg"]
    assert model.model_validate(made.model_dump(by_alias=True)) == made  # all defaults may stand


@pytest.mark.parametrize(("kind", "settings"), MEANT)
def test_a_setting_that_means_something_stands(kind: str, settings: dict[str, Any]) -> None:
    model: type[StepModel] = configuration(kind)
    assert model.model_validate(settings).idle() is not None
