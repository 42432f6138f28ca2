from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs.formats import Sample
from tamis.pipeline.inputs.tar import tar_header
from tamis.pipeline.results import shards
from tests.support.pictures import encode, noise
from tests.support.tars import short, walk

SAMPLES: list[Sample] = [
    [("txt", f"caption {i}".encode()), ("jpg", encode(noise(seed=i), "JPEG")), ("_x", b"kept")]
    for i in range(5)
]


def written() -> bytes:
    out = io.BytesIO()
    writer = shards.ShardWriter(out)
    for place, sample in enumerate(SAMPLES):
        writer.add(shards.shard_key(7, place, 10_000), sample)
    writer.close()
    return out.getvalue()


def test_a_shard_has_the_same_bytes_every_time_and_no_time_or_owner() -> None:
    data = written()
    assert data == written()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            facts = (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode)
            assert facts == (0, 0, 0, "", "", 0o644)
    assert data[257:265] == b"ustar\x0000"


def test_members_are_written_byte_for_byte_and_walk_cleanly() -> None:
    found = {item.name: item for item in walk(written())}
    assert len(found) == 15
    for place, sample in enumerate(SAMPLES):
        for suffix, content in sample:
            member = found[f"0000700{place:02d}.{suffix}"]
            assert bytes(member.data) == content  # type: ignore[union-attr]
    assert short(list(found.values()))[:3] == ["000070000._x", "000070000.jpg", "000070000.txt"]


def test_the_webdataset_library_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "00007.tar"
    path.write_bytes(written())
    read = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [sample["__key__"] for sample in read] == [f"0000700{i:02d}" for i in range(5)]
    for sample, made in zip(read, SAMPLES, strict=True):
        assert (sample["txt"], sample["jpg"]) == (dict(made)["txt"], dict(made)["jpg"])


suffixes = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=16)


@given(
    st.lists(st.dictionaries(suffixes, st.binary(max_size=1100), min_size=1, max_size=4)),
    st.integers(1, 2000),
)
def test_its_bytes_are_those_of_webdatasets_own_writer(
    samples: list[dict[str, bytes]], held: int
) -> None:
    ours, theirs = io.BytesIO(), io.BytesIO()
    writer = shards.ShardWriter(ours)
    fixed: dict[str, Any] = {"mtime": 0, "user": "", "group": "", "mode": 0o644}
    library = webdataset.TarWriter(theirs, encoder=False, compress=False, keep_meta=True, **fixed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_WRITE_BYTES", held)
        patch.setattr(shards, "_LARGE_BYTES", held)
        for place, sample in enumerate(samples):
            key = shards.shard_key(7, place, 10_000)
            writer.add(key, list(sample.items()))
            library.write({"__key__": key, **sample})
        writer.close()
    library.close()
    assert ours.getvalue() == theirs.getvalue()


@pytest.mark.parametrize("size", [0, 511, (1 << 33) - 1, 1 << 33, 1 << 40])
@pytest.mark.parametrize("name", ["a.txt", "b" * 96 + ".jpg", "c" * 97 + ".jpg", "d.né"])
def test_a_header_is_as_tarfile_makes_it(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    assert tar_header.plain([name], np.array([size])) == [info.tobuf()]


def test_keys_are_as_wide_as_needed() -> None:
    assert shards.shard_key(3, 42, 10_000) == "000030042"
    assert shards.shard_key(3, 42, 10_001) == "0000300042"
    assert shards.shard_key(123_456, 0, 100) == "1234560000"
    assert shards.shard_name(12) == "00012"


def test_an_empty_shard_is_an_archive_without_members() -> None:
    out = io.BytesIO()
    shards.ShardWriter(out).close()
    assert walk(out.getvalue()) == []


def test_the_statistics_hold_no_time() -> None:
    counts = json.loads(shards.statistics(3, 3, 1000))
    assert (counts["count"], counts["successes"], counts["bytes"]) == (3, 3, 1000)
    assert not [name for name in counts if "time" in name]
