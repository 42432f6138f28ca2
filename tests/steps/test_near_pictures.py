"""Near-duplicate pictures through the whole step, against all pairs of the hashes that ingest stored."""

from __future__ import annotations

import dataclasses
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tamis.pipeline.steps.duplicates import grouping
from tamis.pipeline.steps.shared import bucket_counts
from tamis.schemas.errors import JobError
from tests.support import duplicates
from tests.support.running import Sample, contents, ledger, make_plan, read_tar, run_here, write_tar

Rows = list[dict[str, Any]]
EDGES = ("equal", "similar")


def damaged(sample: Sample, number: int) -> Sample:
    """Smaller, or compressed with loss, or the same picture once more."""
    image = Image.open(io.BytesIO(sample.image)).convert("RGB")
    out = io.BytesIO()
    if number % 3 == 0:
        image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(out, "PNG")
    elif number % 3 == 1:
        image.save(out, "JPEG", quality=20)
        image = Image.open(io.BytesIO(out.getvalue()))
        out = io.BytesIO()
        image.save(out, "PNG")
    else:
        image.save(out, "PNG", compress_level=0)
    return dataclasses.replace(sample, key=f"{sample.key}-{number}", image=out.getvalue())


@pytest.fixture(scope="module")
def samples(clipart_example: Path) -> list[Sample]:
    draw = random.Random(6)
    real = [s for n in range(2) for s in read_tar(clipart_example / f"{n:05d}.tar")]
    everything = real + [damaged(draw.choice(real), number) for number in range(90)]
    draw.shuffle(everything)
    return [
        dataclasses.replace(s, fields={**s.fields, "uid": f"{draw.getrandbits(128):032x}"})
        for s in everything
    ]


@pytest.fixture(scope="module")
def ingested(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    half = len(samples) // 2
    write_tar(folder / "0.tar", samples[:half])
    write_tar(folder / "1.tar", samples[half:])
    return folder


def run_pictures(folder: Path, settings: str, **job: Any) -> Rows:
    steps = f"  - near_pictures: {settings}"
    return duplicates.run_in(make_plan(folder / "run", folder / "*.tar", steps, **job))


def expected(rows: Rows, radius: int) -> dict[str, str]:
    """Whom a comparison of all pairs drops, and for whom."""
    hashes = np.array([row["phash"] for row in rows], dtype=np.uint64)
    near = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= radius
    a, b = np.nonzero(np.triu(near, 1))
    label = duplicates.groups(a, b, len(rows))
    return duplicates.survivors(label, [row["uid"] for row in rows])


@pytest.mark.parametrize("radius", [0, 1, 4, 8, 16])
def test_drops_are_those_of_all_pairs(radius: int, ingested: Path) -> None:
    rows = run_pictures(ingested, f"{{hamming: {radius}}}")
    wanted = expected(rows, radius)
    assert duplicates.dropped(rows, "near_pictures") == wanted
    assert len(wanted) > 40
    by_uid = {row["uid"]: row for row in rows}
    edges = duplicates.edges(ingested / "run", "near_pictures", EDGES, "bits")
    for (a, b), bits in edges.items():
        assert bits == (by_uid[a]["phash"] ^ by_uid[b]["phash"]).bit_count() <= radius
    for uid in wanted:
        row, partner = by_uid[uid], by_uid[by_uid[uid]["partner_uid"]]
        assert row["value"] == row["partner_value"] == (row["phash"] ^ partner["phash"]).bit_count()
        assert row["value"] == min(bits for ends, bits in edges.items() if uid in ends)
        assert (row["reason"], row["rule"], row["bound"]) == ("near_picture", "hamming", radius)


def test_shares_and_partitions_decide_as_one_task(
    ingested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_pictures(ingested, "{hamming: 4, prefer: larger}")
    one = contents(ingested / "run/ledger")
    monkeypatch.setattr(bucket_counts, "HASHES", 100)
    monkeypatch.setattr(grouping, "EDGES", 10)
    monkeypatch.setattr(grouping, "PARTITION", 20)
    run_pictures(ingested, "{hamming: 4, prefer: larger}")
    assert contents(ingested / "run/ledger") == one
    folder = ingested / "run/tables/near_pictures"
    assert len(list((folder / "similar").glob("bucket-*-*.parquet"))) > 20
    assert len(list((folder / "groups").glob("bucket-*.parquet"))) > 3


def test_larger_pictures_survive_where_asked(ingested: Path) -> None:
    rows = run_pictures(ingested, "{hamming: 4, prefer: larger}")
    by_uid = {row["uid"]: row for row in rows}
    dropped = duplicates.dropped(rows, "near_pictures")
    assert dropped
    for uid, survivor in dropped.items():
        sizes = [by_uid[one]["width"] * by_uid[one]["height"] for one in (uid, survivor)]
        assert sizes[0] < sizes[1] or (sizes[0] == sizes[1] and survivor < uid)


def test_only_the_living_are_compared(ingested: Path) -> None:
    steps = """
  - signals: [characters]
  - rules: {characters: {min: 60}}
  - near_pictures: {hamming: 4}"""
    rows = duplicates.run_in(make_plan(ingested / "run", ingested / "*.tar", steps))
    living = [row for row in rows if len(row["text"]) >= 60]
    assert 0 < len(living) < len(rows)
    assert duplicates.dropped(rows, "near_pictures") == expected(living, 4)


@pytest.mark.parametrize("step", ["near_pictures", "near_duplicates: {agree: phash}"])
def test_without_pictures_there_is_nothing_to_compare(step: str, tmp_path: Path) -> None:
    uid = [f"{row:032x}" for row in range(4)]
    pq.write_table(pa.table({"uid": uid, "text": ["the same"] * 4}), tmp_path / "a.parquet")
    with pytest.raises(JobError, match="compares pictures, and no input has any"):
        make_plan(tmp_path / "run", tmp_path / "a.parquet", f"  - {step}")


def test_a_sample_without_a_picture_is_nobodys_duplicate(
    samples: list[Sample], tmp_path: Path
) -> None:
    """Of a tar with pictures and metadata without, the tar alone is compared."""
    write_tar(
        tmp_path / "a.tar", [samples[0], dataclasses.replace(samples[0], key="again", fields={})]
    )
    uid = [f"{row:032x}" for row in range(4)]
    pq.write_table(pa.table({"uid": uid, "text": [samples[0].text] * 4}), tmp_path / "b.parquet")
    entries = [
        {"path": f"{tmp_path}/a.tar", "name": "a"},
        {"path": f"{tmp_path}/b.parquet", "name": "b"},
    ]
    for step in ("near_pictures", "near_duplicates: {agree: phash}"):
        run_here(make_plan(tmp_path / "run", "", f"  - {step}", input=entries))
        kept = [row["kept"] for row in ledger(tmp_path / "run")]
        assert (kept.count(False), kept[2:]) == (1, [True] * 4)
