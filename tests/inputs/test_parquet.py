from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.inputs.uids import hash_uid
from tests.support.input_files import Row, ingest, reasons
from tests.support.pictures import encode, noise
from tests.support.running import make_plan, run_here

PICTURES = [encode(noise(seed=seed), "JPEG") for seed in range(6)]


def ingested(
    folder: Path, table: pa.Table, options: IngestOptions | None = None, **write: Any
) -> list[Row]:
    path = folder / "x.parquet"
    pq.write_table(table, path, **write)
    parts = ingest(path, options or IngestOptions())
    return [row for part in parts for row in part.to_pylist()]


def test_laion_metadata_gives_rows_without_pictures(tmp_path: Path) -> None:
    table = pa.table(
        {
            "SAMPLE_ID": [12.0, None, 7.5],
            "URL": ["http://a", None, "http://c"],
            "TEXT": ["one", "two", "three"],
            "WIDTH": [640, None, -1],
            "HEIGHT": [480.0, None, 1e12],
        }
    )
    first, second, third = ingested(tmp_path, table)
    assert [row["key"] for row in (first, second, third)] == ["12", "1", "2"]
    assert (first["url"], first["text"], first["width"], first["height"]) == (
        ("http://a", "one", 640, 480)
    )
    assert (second["url"], second["width"], third["width"], third["height"]) == (None,) * 4
    assert [row["file_row"] for row in (first, second, third)] == [0, 1, 2]
    assert {row["reason"] for row in (first, second, third)} == {None}
    assert first["uid"] == hash_uid("input", "x.parquet", "row", "12", 0)


def test_datacomp_metadata_keeps_its_uids_and_hashes(tmp_path: Path) -> None:
    uids = ["0123456789abcdef" * 2, None]
    hashes = ["ab" * 32, "zz" * 32]
    table = pa.table({"uid": uids, "text": ["a", "b"], "sha256": hashes, "original_width": [5, 6]})
    first, second = ingested(tmp_path, table)
    assert (first["uid"].hex(), first["sha256"].hex(), first["width"]) == (uids[0], hashes[0], 5)
    assert second["uid"] == hash_uid("input", "x.parquet", "row", "1", 1)
    assert second["sha256"] is None


@pytest.mark.parametrize("kind", ["binary", "large_binary", "struct", "dictionary text"])
def test_pictures_in_the_file_are_inspected(tmp_path: Path, kind: str) -> None:
    images = pa.array(PICTURES, pa.large_binary() if kind == "large_binary" else pa.binary())
    captions = pa.array([f"caption {i}" for i in range(6)])
    if kind == "struct":
        images = pa.StructArray.from_arrays([images, captions], ["bytes", "path"])
    if kind == "dictionary text":
        captions = captions.dictionary_encode()
    found = ingested(tmp_path, pa.table({"image": images, "caption": captions}), row_group_size=4)
    assert [row["sha256"] for row in found] == [hashlib.sha256(p).digest() for p in PICTURES]
    assert [(row["row_group"], row["group_row"]) for row in found] == (
        [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    )
    assert [row["text"] for row in found] == [f"caption {i}" for i in range(6)]
    assert {(row["width"], row["height"], row["image_format"]) for row in found} == (
        {(40, 30, "jpeg")}
    )


def test_small_row_groups_share_a_part_and_large_ones_are_split(tmp_path: Path) -> None:
    table = pa.table({"text": [f"t{i}" for i in range(100)]})
    path = tmp_path / "x.parquet"
    for group, expected in ((10, [30, 30, 30, 10]), (20, [20] * 5), (70, [35, 35, 30])):
        pq.write_table(table, path, row_group_size=group)
        parts = ingest(path, IngestOptions(part_samples=35))
        assert [part.num_rows for part in parts] == expected
        assert [row for part in parts for row in part["file_row"].to_pylist()] == list(range(100))


def test_faults_of_rows_have_their_reasons(tmp_path: Path) -> None:
    good = PICTURES[0]
    images = [good, None, b"", b"no picture", good[:700], good, good, good, good * 30, None]
    captions = [b"ok", b"x", b"x", b"x", b"x", None, b"  ", b"\xff", b"x", None]
    options = IngestOptions(max_member_bytes=len(good) * 20)
    text = pa.array(captions, pa.binary())
    found = ingested(tmp_path, pa.table({"jpg": images, "txt": text}), options)
    assert list(reasons(found).values()) == [
        None,
        "missing_image",
        "empty_image",
        "undecodable_image",
        "truncated_image",
        "missing_caption",
        "empty_caption",
        "bad_caption",
        "member_too_large",
        "missing_image",
    ]


def test_a_string_column_that_is_not_utf8_loses_only_its_bad_rows(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"\xff\xfe", None, b"fine"])
    text = pa.StringArray.from_buffers(4, raw.buffers()[1], raw.buffers()[2], raw.buffers()[0])
    found = ingested(tmp_path, pa.table({"text": text}))
    assert [row["reason"] for row in found] == [None, "bad_caption", "missing_caption", None]
    assert found[3]["text"] == "fine"


def test_a_repeated_key_is_no_fault_of_a_row(tmp_path: Path) -> None:
    found = ingested(tmp_path, pa.table({"key": ["a", "a"], "text": ["x", "x"]}))
    assert [(row["key"], row["reason"]) for row in found] == [("a", None), ("a", None)]


@pytest.mark.parametrize("size", [0, 3, 100])
def test_a_file_that_is_cut_off_is_one_row(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["x"] * 50}), path)
    path.write_bytes(path.read_bytes()[:size])
    (part,) = ingest(path)
    assert part["reason"].to_pylist() == ["unreadable_file"]


def test_a_damaged_row_group_loses_its_rows_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"text": [f"some caption number {i}" for i in range(4000)]})
    pq.write_table(table, path, row_group_size=1000, write_page_checksum=True)
    column = pq.read_metadata(path).row_group(2).column(0)
    start = column.data_page_offset
    data = bytearray(path.read_bytes())
    data[start + 60 : start + 200] = bytes(140)
    path.write_bytes(bytes(data))
    (part,) = ingest(path)
    found = part.to_pylist()
    assert Counter(row["reason"] for row in found) == {None: 3000, "unreadable_row": 1000}
    assert [row["file_row"] for row in found if row["reason"]] == list(range(2000, 3000))
    assert found[3000]["text"] == "some caption number 3000"
    assert "row group 2" in found[2000]["message"]


def test_a_footer_that_contradicts_itself_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["x"] * 50}), path)
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little")
    start = len(data) - 8 - footer
    # 50 rows are written as the zigzag varint 100, once for the file, then for its row group.
    place = data.rindex(b"\x16\x64", start)
    path.write_bytes(data[:place] + b"\x16\x62" + data[place + 2 :])
    (part,) = ingest(path)
    assert part["reason"].to_pylist() == ["unreadable_file"]
    assert "row groups" in part["message"][0].as_py()


def test_a_file_without_rows_has_no_parts(tmp_path: Path) -> None:
    assert ingested(tmp_path, pa.table({"text": pa.array([], pa.string())})) == []


@pytest.mark.parametrize(
    ("table", "need", "message"),
    [
        ({"title": ["x"]}, ("text",), "has no column for `text`; it has title (string)"),
        ({"text": ["x"]}, ("text", "image"), "has no column for `image`; it has text (string)"),
        ({"text": [1]}, ("text",), "the column `text` is of type int64, but captions are text"),
        ({"text": ["x"], "image": [1.5]}, ("text",), "`image` is of type double, but pictures"),
        ({"text": ["x"], "image": [{"size": 1}]}, ("text",), "`image` is of type struct<size"),
    ],
)
def test_a_column_that_is_missing_or_of_a_wrong_type_drops_the_rows(
    tmp_path: Path, table: dict[str, Any], need: tuple[str, ...], message: str
) -> None:
    (row,) = ingested(tmp_path, pa.table(table), IngestOptions(need=need))
    assert row["reason"] == ("unreadable_row" if "text" in table else "missing_caption")
    assert message in row["message"]


def test_two_columns_of_one_name_drop_the_rows(tmp_path: Path) -> None:
    table = pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    (row,) = ingested(tmp_path, table)
    assert row["reason"] == "unreadable_row"
    assert "more than one column `text`" in row["message"]


def test_pictures_and_captions_of_unusual_column_types(tmp_path: Path) -> None:
    image = PICTURES[0]
    for images in (
        pa.array([image, image], pa.binary(len(image))),
        pa.array([image, image], pa.binary()).dictionary_encode(),
        pa.array([{"bytes": image}] * 2, pa.struct([("bytes", pa.binary(len(image)))])),
    ):
        rows = ingested(tmp_path, pa.table({"text": ["a b", "c d"], "image": images}))
        assert [row["reason"] for row in rows] == [None, None]
        assert {row["sha256"] for row in rows} == {hashlib.sha256(image).digest()}
    nulls = pa.table({"text": pa.nulls(1), "image": pa.nulls(1)})
    assert [row["reason"] for row in ingested(tmp_path, nulls)] == ["missing_image"]
    captions = pa.table({"text": pa.nulls(1), "image": [image]})
    assert [row["reason"] for row in ingested(tmp_path, captions)] == ["missing_caption"]


def test_the_partitions_in_a_path_are_columns(tmp_path: Path) -> None:
    for lang, text in (("en", "a"), ("de", "b"), ("__HIVE_DEFAULT_PARTITION__", "c")):
        folder = tmp_path / "in" / f"lang={lang}" / "kind=x%20y"
        folder.mkdir(parents=True)
        table = pa.table({"text": [f"caption {text} {i}" for i in range(3)], "kind": ["own"] * 3})
        pq.write_table(table, folder / "data_0.parquet")
    steps = "  - signals: [lang]\n  - rules: {lang: {in: [en], missing: keep}}\n  - write"
    run_here(make_plan(tmp_path / "run", tmp_path / "in", steps))
    found = pq.read_table(tmp_path / "run/shards/00000.parquet").to_pylist()
    assert {(row["lang"], row["caption"][8], row["kind"]) for row in found} == {
        ("en", "a", "own"),  # a column of the file hides a partition
        (None, "c", "own"),
    }
    assert len(found) == 6
