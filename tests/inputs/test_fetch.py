from __future__ import annotations

import pickle
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.tar import fetch as tar_fetch
from tamis.pipeline.store import ranges
from tamis.schemas.errors import InputError
from tamis.schemas.tables import INGEST
from tests.support.input_files import ingest, source
from tests.support.merging import merge_ranges
from tests.support.pictures import encode, noise
from tests.support.tars import make_tar

MEMBERS = INGEST.field("members").type


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [encode(noise(seed=seed), "JPEG") for seed in range(30)]


@pytest.fixture
def tar(tmp_path: Path, pictures: list[bytes]) -> tuple[InputFile, pa.Table]:
    members = []
    for i, data in enumerate(pictures):
        members += [(f"{i:03d}.jpg", data), (f"{i:03d}.txt", b"caption")]
        members += [(f"{i:03d}.vec.npy", bytes([i]) * 1000 * i)]
    path = tmp_path / "x.tar"
    path.write_bytes(make_tar(members))
    return source(path), pa.concat_tables(ingest(path))


def test_members_come_back_byte_for_byte(tar: tuple[InputFile, pa.Table]) -> None:
    file, table = tar
    rows = table.take([0, 3, 4, 29])
    with tarfile.open(file.path) as judge:
        for key, sample in zip(
            rows["key"].to_pylist(), format_of(file).members(file, rows), strict=True
        ):
            assert [suffix for suffix, _ in sample] == ["jpg", "txt", "vec.npy"]
            for suffix, data in sample:
                member = judge.extractfile(f"{key}.{suffix}")
                assert member is not None
                assert member.read() == data


@pytest.mark.parametrize("chunk", [1, 5000, 1 << 20])
def test_pictures_come_back_in_order_however_they_are_read(
    tar: tuple[InputFile, pa.Table],
    pictures: list[bytes],
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tar_fetch, "DISK_CHUNK_BYTES", chunk)
    file, table = tar
    for rows in ([], [29], list(range(30)), [1, 2, 17, 20]):
        found = list(format_of(file).pictures(file, table.take(pa.array(rows, pa.int64()))))
        assert found == [pictures[row] for row in rows]


def test_no_more_is_held_than_a_chunk_and_its_gaps(
    tar: tuple[InputFile, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, table = tar
    monkeypatch.setattr(tar_fetch, "DISK_CHUNK_BYTES", 40_000)
    spans: list[int] = []
    read = ranges.read_ranges

    def measured(path: str, wanted: ranges.Ranges) -> list[memoryview]:
        spans.append(sum(size for _, size in merge_ranges((int(a), int(b)) for a, b in wanted)))
        return read(path, wanted)

    monkeypatch.setattr(ranges, "read_ranges", measured)
    assert len(list(format_of(file).pictures(file, table))) == 30
    assert len(spans) > 5
    assert max(spans) <= 40_000


def test_members_stay_what_they_are_when_more_is_read(
    tar: tuple[InputFile, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_fetch, "DISK_CHUNK_BYTES", 5000)
    file, table = tar
    first, kept = [], []
    for sample in format_of(file).members(file, table):
        kept.append(sample)
        first.append([(suffix, bytes(data)) for suffix, data in sample])
    assert kept == first


def test_members_may_lie_in_any_order(tar: tuple[InputFile, pa.Table]) -> None:
    file, table = tar
    turned = pa.array([sample[::-1] for sample in table["members"].to_pylist()], MEMBERS)
    swapped = table.set_column(table.schema.get_field_index("members"), "members", turned)
    rows = pa.array([7, 3, 29, 0])
    found = list(format_of(file).members(file, swapped.take(rows)))
    assert found == [sample[::-1] for sample in format_of(file).members(file, table.take(rows))]
    assert list(format_of(file).members(file, table.slice(0, 0))) == []


def test_pictures_travel_to_another_process(tar: tuple[InputFile, pa.Table]) -> None:
    found = list(format_of(tar[0]).pictures(*tar))
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_changed_picture_is_an_error(tar: tuple[InputFile, pa.Table]) -> None:
    file, table = tar
    path = Path(file.path)
    data = bytearray(path.read_bytes())
    data[table["image_offset"][5].as_py() + 50] ^= 1
    path.write_bytes(bytes(data))
    assert len(list(format_of(file).pictures(file, table.slice(0, 5)))) == 5
    with pytest.raises(InputError, match="has changed since it was ingested"):
        list(format_of(file).pictures(file, table))
    path.write_bytes(bytes(data[:20_000]))
    with pytest.raises(InputError, match="has changed"):
        list(format_of(file).pictures(file, table.slice(25)))


@pytest.mark.parametrize("change", ["picture", "caption", "letter", "length"])
def test_members_of_a_file_that_was_written_anew_are_an_error(
    change: str, tar: tuple[InputFile, pa.Table], pictures: list[bytes]
) -> None:
    """Of the pictures one in each chunk is compared, and every caption."""
    file, table = tar
    members = []
    for i, data in enumerate(pictures):
        picture = bytes(len(data)) if change == "picture" else data
        caption = {"caption": b"another", "letter": b"captioN"}.get(change, b"caption")
        caption = caption if i == 29 else b"caption"
        members += [(f"{i:03d}.jpg", picture), (f"{i:03d}.txt", caption)]
        members += [(f"{i:03d}.vec.npy", bytes([i]) * 1000 * i)]
    if change == "length":
        members = members[3:]
    Path(file.path).write_bytes(make_tar(members))
    with pytest.raises(InputError, match="has changed"):
        list(format_of(file).members(file, table))


ODD = [b"\xef\xbb\xbfmarked", b"caf\xe9", b"caption", "\u732b".encode(), b"", b"  two  "]
"""Captions whose bytes are not all what ingest notes of them."""


@pytest.mark.parametrize("chunk", [5000, 1 << 20])
def test_captions_and_json_in_other_bytes_than_noted_come_back_as_they_are(
    tmp_path: Path, pictures: list[bytes], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_fetch, "DISK_CHUNK_BYTES", chunk)
    samples = [
        [("jpg", data), ("json", b'\xef\xbb\xbf{"a": 1}' if i % 7 == 0 else b'{"a": 1}')]
        + ([] if i % 5 == 0 else [("txt", ODD[i % len(ODD)])])
        for i, data in enumerate(pictures)
    ]
    members = [(f"{i:03d}.{s}", data) for i, one in enumerate(samples) for s, data in one]
    path = tmp_path / "odd.tar"
    path.write_bytes(make_tar(members))
    rows = pa.concat_tables(ingest(path))
    rows = rows.filter(pa.array([reason is None for reason in rows["reason"].to_pylist()]))
    assert rows.num_rows > 12  # ingest drops those without any caption
    wanted = [samples[int(key)] for key in rows["key"].to_pylist()]
    assert [list(one) for one in format_of(source(path)).members(source(path), rows)] == wanted


@pytest.mark.parametrize("nested", [True, False])
def test_parquet_rows_come_back_across_row_groups(
    tmp_path: Path, pictures: list[bytes], nested: bool
) -> None:
    images = [{"bytes": data, "path": "x.jpg"} for data in pictures] if nested else pictures
    captions = [f"caption {i}" for i in range(30)]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": images, "text": captions}), path, row_group_size=12)
    table = pa.concat_tables(ingest(path))
    chosen = [0, 11, 12, 23, 25, 29]
    rows = table.take(chosen)
    assert list(format_of(source(path)).pictures(source(path), rows)) == [
        pictures[i] for i in chosen
    ]
    assert list(format_of(source(path)).members(source(path), rows)) == [
        [("jpg", pictures[i]), ("txt", captions[i].encode())] for i in chosen
    ]
    pq.write_table(pa.table({"image": pictures[::-1], "text": captions}), path, row_group_size=12)
    with pytest.raises(InputError, match="has changed"):
        list(format_of(source(path)).pictures(source(path), rows))
