"""Odd pictures and members: what they are is told, and what can be read is read as its page says."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tamis.pipeline.inputs.images import ImageDamage, inspect, to_rgb
from tests.support.input_files import ingest_bytes
from tests.support.running import picture
from tests.support.tars import make_tar

NOISE = np.random.default_rng(3).integers(0, 255, (32, 48, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_no_orientation_is_applied(orientation: int, compression: str | None) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"compression": compression} if compression else {}
    plain = inspect(encoded(Image.fromarray(NOISE), "PNG"))
    for kind in ("TIFF", "PNG"):
        data = encoded(Image.fromarray(NOISE), kind, exif=exif, **(more if kind == "TIFF" else {}))
        found = inspect(data)
        assert (found.width, found.height, found.pixels) == (48, 32, plain.pixels)
        assert to_rgb(data).tobytes() == NOISE.tobytes()


def test_grey_of_sixteen_bits_keeps_what_is_transparent() -> None:
    values = (np.arange(48 * 32).reshape(32, 48) * 40).astype(np.uint16)
    shown = to_rgb(encoded(Image.fromarray(values), "PNG", transparency=int(values[5, 5])))
    assert shown.getpixel((5, 5)) == (255, 255, 255)
    assert shown.getpixel((6, 5)) == (int(values[5, 6]) >> 8,) * 3


@pytest.mark.parametrize("top", [0.5, 1.0, 255.0])
def test_grey_in_floating_point_is_of_one_or_of_255(top: float) -> None:
    values = np.linspace(0, top, 48 * 32, dtype=np.float32).reshape(32, 48)
    shown = np.asarray(to_rgb(encoded(Image.fromarray(values), "TIFF")))[..., 0]
    assert shown.max() == (127 if top == 0.5 else 255)
    assert (np.diff(shown.reshape(-1).astype(int)) >= 0).all()


def box(brand: bytes) -> bytes:
    return b"\0\0\0\x1cftyp" + brand + bytes(40)


NAMED = {
    "AVIF": box(b"avif"),
    "HEIC": box(b"heic"),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(9),
    "JPEG XL": b"\xff\x0a" + bytes(9),
    "SVG": b'<?xml version="1.0"?>\n<!-- x --><svg xmlns="http://www.w3.org/2000/svg"/>',
    "HTML": b"  <!DOCTYPE html><html>",
    "PDF": b"%PDF-1.7",
    "a film": box(b"isom"),
}


@pytest.mark.parametrize("name", NAMED)
def test_other_formats_are_named(name: str) -> None:
    with pytest.raises(ImageDamage, match=name) as refused:
        inspect(NAMED[name])
    assert "no picture of a known format" not in refused.value.message


def test_a_png_with_one_bad_checksum_is_a_png() -> None:
    notes = PngInfo()
    notes.add_text("key", "value")
    data = bytearray(encoded(Image.fromarray(NOISE), "PNG", pnginfo=notes))
    data[data.index(b"tEXt") + 12] ^= 1
    with pytest.raises(ImageDamage, match="a PNG that cannot be read") as refused:
        inspect(bytes(data))
    assert str(refused.value.reason) == "undecodable_image"


def test_json_with_a_mark_of_byte_order_is_json(tmp_path: Path) -> None:
    fields = b"\xef\xbb\xbf" + json.dumps({"caption": "two words", "score": 1}).encode()
    (row,) = ingest_bytes(tmp_path, make_tar([("a.png", picture(1)), ("a.json", fields)]))
    assert (row["reason"], row["text"]) == (None, "two words")
    assert json.loads(row["meta"])["score"] == 1


def test_a_broken_json_that_is_the_only_caption_is_told(tmp_path: Path) -> None:
    (row,) = ingest_bytes(tmp_path, make_tar([("a.png", picture(1)), ("a.json", b'{"caption": ')]))
    assert row["reason"] == "missing_caption"
    assert row["message"].startswith(
        "no caption among the members: png, json; the json member is left out: JSONDecode"
    )


@pytest.mark.parametrize("suffix", ["avif", "cr2", "svg", "tga"])
def test_a_suffix_that_is_not_read_is_named(suffix: str, tmp_path: Path) -> None:
    (row,) = ingest_bytes(tmp_path, make_tar([(f"a.{suffix}", b"1"), ("a.txt", b"two words")]))
    assert f"{suffix} is not decoded, convert it" in row["message"]


def test_what_file_managers_leave_is_no_sample(tmp_path: Path) -> None:
    members = [("a.png", picture(1)), ("._a.png", b"\0\5\x16\7"), ("a.txt", b"two words"), (".DS_Store", b"1"),
               ("__MACOSX/._a.png", b"1"), ("d/Thumbs.db", b"1")]  # fmt: skip
    (row,) = ingest_bytes(tmp_path, make_tar(members))
    assert (row["key"], row["reason"]) == ("a", None)
