"""What others read shards with reads ours, and finds the bytes that went in."""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
import webdataset.tariterators
from PIL import Image

from tests.support.demo_run import DemoRun, Members, Row, members_of, raw, raw_input, rows_of
from tests.support.running import subset_uids

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tars(demo_run: DemoRun) -> list[Path]:
    found = sorted((demo_run.root / "shards").glob("*.tar"))
    assert [path.name for path in found] == ["00000.tar", "00001.tar", "00002.tar"][: len(found)]
    return found


@pytest.fixture(scope="module")
def sidecars(demo_run: DemoRun) -> dict[str, Row]:
    """What DuckDB reads in the sidecars: output key -> row, with the names that the ledger uses."""
    rows = rows_of(f"FROM '{demo_run.root}/shards/*.parquet'")
    assert len(rows) == demo_run.manifest["kept"]
    return {
        row["tamis_key"]: {**row, "key": row["source_key"]} for row in rows
    }  # the input has a `key`


def test_every_member_equals_its_input_byte_for_byte(
    tars: list[Path], sidecars: dict[str, Row]
) -> None:
    found: dict[str, dict[str, bytes]] = {}
    for path in tars:
        for name, data in members_of(path).items():
            key, _, suffix = name.partition(".")
            assert key.startswith(path.stem)
            found.setdefault(key, {})[suffix] = data
    assert found.keys() == sidecars.keys()
    for key, members in found.items():
        assert members == raw(sidecars[key])


def test_sidecars_say_what_the_members_are(sidecars: dict[str, Row]) -> None:
    for row in sidecars.values():
        members = raw(row)
        assert row["caption"] == members["txt"].decode()
        assert row["sha256"] == hashlib.sha256(members["png"]).hexdigest()
        assert (row["width"], row["height"]) == Image.open(io.BytesIO(members["png"])).size
        assert row["status"] == "success"


def test_the_ledger_the_sidecars_and_the_subset_name_the_same_samples(
    demo_run: DemoRun, sidecars: dict[str, Row]
) -> None:
    kept = demo_run.ledger("kept")
    assert {row["shard_key"]: row["uid"] for row in kept} == {
        key: row["uid"] for key, row in sidecars.items()
    }
    assert all(row["shard"] == int(row["shard_key"][:5]) for row in kept)
    assert subset_uids(demo_run.root) == sorted(row["uid"] for row in kept)
    halves = np.load(demo_run.root / "subset.npy")
    assert halves.dtype == np.dtype("u8,u8")  # as DataComp's tools demand it
    every = {(row["source"], row["key"]) for row in demo_run.ledger()}
    assert every == raw_input().keys()


def test_the_webdataset_library(tars: list[Path], sidecars: dict[str, Row]) -> None:
    read = list(webdataset.WebDataset([str(path) for path in tars], shardshuffle=False))
    assert [sample["__key__"] for sample in read] == sorted(sidecars)
    for sample in read:
        members = raw(sidecars[sample["__key__"]])
        assert {suffix: sample[suffix] for suffix in members} == members


@pytest.mark.parametrize("is_train", [True, False])
def test_open_clips_loader(
    is_train: bool,
    tars: list[Path],
    sidecars: dict[str, Row],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each kept sample comes once an epoch, its picture and caption as open_clip itself makes them of the input."""
    from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip
    from open_clip_train import data

    # webdataset 1 marks the end of every tar, which open_clip 3.3 does not expect: it stops on any tar whatever.
    unmarked = partial(webdataset.tariterators.tar_file_expander, eof_value=None)
    monkeypatch.setattr(data, "tar_file_expander", unmarked)
    transform = open_clip.image_transform(64, is_train=False)
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    pattern = str(tars[0].parent / f"{{{tars[0].stem}..{tars[-1].stem}}}.tar")
    args = argparse.Namespace(
        train_data=pattern,
        train_data_upsampling_factors=None,
        train_num_samples=len(sidecars),
        val_data=pattern,
        val_num_samples=len(sidecars),
        dataset_resampled=False,
        batch_size=1,
        workers=0,
        world_size=1,
        seed=0,
    )
    loader = data.get_wds_dataset(args, transform, is_train, tokenizer=tokenizer).dataloader
    read = sorted(_digest(pictures[0], texts[0]) for pictures, texts in loader)

    def seen(members: Members) -> bytes:
        picture = transform(Image.open(io.BytesIO(members["png"])).convert("RGB"))
        return _digest(picture, tokenizer(members["txt"].decode())[0])

    assert read == sorted(seen(raw(row)) for row in sidecars.values())


def _digest(picture: Any, tokens: Any) -> bytes:
    return hashlib.sha256(picture.numpy().tobytes() + tokens.numpy().tobytes()).digest()


def test_hugging_face_datasets(
    tars: list[Path],
    sidecars: dict[str, Row],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    def load(kind: str, paths: Sequence[Path]) -> Any:
        files = {"train": [str(path) for path in paths]}
        return datasets.load_dataset(
            kind, data_files=files, split="train", cache_dir=str(tmp_path / kind)
        )

    samples = load("webdataset", tars).cast_column("png", datasets.Image(decode=False))
    assert samples["__key__"] == sorted(sidecars)
    for sample in samples:
        members = raw(sidecars[sample["__key__"]])
        assert sample["png"]["bytes"] == members["png"]
        assert sample["txt"] == members["txt"].decode()
    rows = load("parquet", [path.with_suffix(".parquet") for path in tars])
    assert list(rows["tamis_key"]) == sorted(sidecars)
    assert list(rows["caption"]) == [sidecars[key]["caption"] for key in sorted(sidecars)]
