from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.pipeline.inputs import part_builder
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.inputs.uids import hash_uid, parse_uid
from tamis.schemas.errors import InputError
from tests.support.input_files import ingest, ingest_bytes, reasons, source
from tests.support.pictures import encode, noise
from tests.support.tars import make_tar

PICTURE = encode(noise())


def sample(key: str, caption: bytes = b"a caption", **fields: Any) -> list[tuple[str, bytes]]:
    members = [(f"{key}.png", PICTURE), (f"{key}.txt", caption)]
    return [*members, (f"{key}.json", json.dumps(fields).encode())] if fields else members


def test_the_clip_art_comes_through_whole(openclipart: Path) -> None:
    parts = ingest(openclipart / "00007.tar", IngestOptions(part_samples=150))
    assert [part.num_rows for part in parts] == [150, 150, 96]
    data = (openclipart / "00007.tar").read_bytes()
    found = [row for part in parts for row in part.to_pylist()]
    assert {row["reason"] for row in found} == {None}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for row in found:
            picture = tar.extractfile(f"{row['key']}.png")
            caption = tar.extractfile(f"{row['key']}.txt")
            assert picture is not None
            assert caption is not None
            content = picture.read()
            start, size = row["image_offset"], row["image_size"]
            assert data[start : start + size] == content
            assert row["sha256"] == hashlib.sha256(content).digest()
            assert row["text"] == caption.read().decode()
            assert row["url"] == json.loads(row["meta"])["url"]
            for member in row["members"]:
                whole = tar.extractfile(f"{row['key']}.{member['suffix']}")
                assert whole is not None
                stop = member["offset"] + member["size"]
                assert data[member["offset"] : stop] == whole.read()


def test_the_same_file_gives_the_same_table_however_it_is_cut(tmp_path: Path) -> None:
    members = [member for i in range(25) for member in sample(f"{i:04d}")]
    path = tmp_path / "x.tar"
    path.write_bytes(make_tar(members))
    whole = ingest(path)[0].to_pylist()
    parts = ingest(path, IngestOptions(part_samples=7))
    assert [part.num_rows for part in parts] == [7, 7, 7, 4]
    assert [row for part in parts for row in part.to_pylist()] == whole


def test_a_part_ends_early_where_captions_are_huge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_builder, "MAX_PART_BYTES", 1500)
    path = tmp_path / "x.tar"
    path.write_bytes(make_tar([m for i in range(9) for m in sample(f"{i}", b"x" * 300)]))
    assert [part.num_rows for part in ingest(path)] == [4, 4, 1]


def test_a_uid_of_the_input_is_taken_where_it_is_one(tmp_path: Path) -> None:
    good = "0123456789abcdefABCDEF0123456789"
    first, second = ingest_bytes(
        tmp_path, make_tar([*sample("a", uid=good), *sample("b", uid=None)])
    )
    assert first["uid"].hex() == good.lower()
    assert second["uid"] == hash_uid("input", "x.tar", "sample", "b", 0)


@pytest.mark.parametrize("other", ["short", 7, ["a"], 1.5, True])
def test_another_name_than_a_uid_is_not_replaced_in_silence(tmp_path: Path, other: Any) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(make_tar([*sample("a"), *sample("b", uid=other)]))
    with pytest.raises(
        InputError, match=r"x.tar`: b: .* is no uid of 32 hex digits: mend the column"
    ):
        ingest(path)
    file = replace(source(path), own_uids=False)
    (table,) = ingest_file(file, IngestOptions())
    assert table["uid"][1].as_py() == hash_uid("input", "x.tar", "sample", "b", 0)


def test_a_uid_hash_separates_its_fields() -> None:
    uids = {
        hash_uid("a", "bc", "sample", "k", 0),
        hash_uid("ab", "c", "sample", "k", 0),
        hash_uid("a", "bc", "damage", "k", 0),
        hash_uid("a", "bc", "sample", "k", 1),
        hash_uid("a", "bc", "sample", "k1", 0),
    }
    assert len(uids) == 5
    fields = [b"a", b"bc", b"sample", b"k", b"0"]
    raw = b"".join(np.uint32(len(field)).tobytes() + field for field in fields)
    assert hashlib.blake2b(raw, digest_size=16).digest() in uids


def test_a_uid_is_32_hex_digits() -> None:
    uids: list[object] = ["0" * 32, "00000000-0000-0000-0000-000000000000", b"0" * 32, bytes(16)]
    assert list(map(parse_uid, uids)) == [bytes(16)] * 4
    assert parse_uid(None) is parse_uid("") is None
    others: list[object] = ["0" * 31, "0" * 33, "g" * 32, "0" * 32 + "\n", 12, b"0" * 31, "0-" * 18]
    for other in [*others, "-" * 36, "\uff11" * 32]:
        with pytest.raises(ValueError, match="is no uid of 32 hex digits"):
            parse_uid(other)


def test_a_repeated_key_gets_a_uid_of_its_own_even_if_its_json_repeats_one(tmp_path: Path) -> None:
    twice = sample("a", uid="f" * 32)
    first, second = ingest_bytes(tmp_path, make_tar([*twice, *twice]))
    assert (first["reason"], first["uid"]) == (None, b"\xff" * 16)
    assert second["reason"] == "duplicate_key"
    assert second["uid"] == hash_uid("input", "x.tar", "sample", "a", 1)
    assert second["image_offset"] > first["image_offset"]


def test_the_caption_comes_from_txt_before_json(tmp_path: Path) -> None:
    data = make_tar(
        [
            *sample("a", b"from txt", text="from json"),
            ("b.png", PICTURE),
            ("b.json", b'{"Caption": "from json", "other": null}'),
            ("c.png", PICTURE),
            ("c.json", b'{"TEXT": null}'),
        ]
    )
    found = ingest_bytes(tmp_path, data)
    assert [row["text"] for row in found] == ["from txt", "from json", None]
    assert reasons(found) == {"a": None, "b": None, "c": "missing_caption"}


@pytest.mark.parametrize("meta", [b"{", b"[1]", b"\xff", b"[" * 100_000, b"1" * 5000, b"null"])
def test_a_json_member_that_is_no_object_is_left_out_with_a_message(
    tmp_path: Path, meta: bytes
) -> None:
    (row,) = ingest_bytes(tmp_path, make_tar([*sample("a"), ("a.json", meta)]))
    assert (row["reason"], row["meta"], row["text"]) == (None, None, "a caption")
    assert "left out" in row["message"]


def test_a_json_member_over_the_limit_is_left_out(tmp_path: Path) -> None:
    data = make_tar([*sample("a", long="x" * 2000)])
    (row,) = ingest_bytes(tmp_path, data, IngestOptions(max_meta_bytes=1000))
    assert (row["reason"], row["meta"]) == (None, None)


def test_half_a_surrogate_pair_is_kept_out_of_the_table(tmp_path: Path) -> None:
    meta = b'{"caption": "\\ud800", "url": "\\udfff"}'
    (row,) = ingest_bytes(tmp_path, make_tar([("a.png", PICTURE), ("a.json", meta)]))
    assert (row["reason"], row["text"], row["url"]) == ("bad_caption", None, None)


def test_the_offset_of_a_bad_byte_is_told(tmp_path: Path) -> None:
    data = make_tar([("a.png", PICTURE), ("a.txt", b"good \xff bad")])
    (row,) = ingest_bytes(tmp_path, data)
    assert data[row["error_offset"]] == 0xFF
    assert row["reason"] == "bad_caption"


def test_a_missing_file_is_an_error() -> None:
    reading = ingest_file(InputFile("e", "x.tar", "/nowhere/x.tar", "tar", 0), IngestOptions())
    with pytest.raises(InputError, match=r"`/nowhere/x\.tar` is not there any more"):
        list(reading)
