"""Bad input, kind by kind: what is put among good samples, and the rows that must come of it.

A kind is a stretch of tar between good samples, a change to a whole good tar, rows of a parquet file,
or a change to a whole parquet file. ``rows`` is every row that the kind adds: None for one that is odd,
but good.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tamis.schemas.ledger import Reason
from tests.support.pictures import encode, jpeg_of_size, noise, png_of_size, png_with
from tests.support.tars import header, make_tar, pax_header

GOOD = encode(noise(), "JPEG")
LARGE = encode(noise(300, 200), "JPEG", quality=95)
MAX_MEMBER_BYTES = 1 << 20
MAX_PIXELS = 10_000_000


@dataclass(frozen=True)
class Stretch:
    """Bytes of tar that stand between two good samples; whatever is named is named after a key."""

    make: Callable[[str], bytes]
    rows: tuple[Reason | None, ...]


@dataclass(frozen=True)
class Change:
    """What is done to a good tar of ``n`` samples; ``lost`` of its good samples do not come through."""

    change: Callable[[bytes], bytes]
    rows: tuple[Reason | None, ...]
    lost: int = 0


def members(*named: tuple[str, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Tar members without an end mark."""
    return make_tar(named, form, end=False)


def pair(
    key: str, image: bytes = GOOD, caption: bytes = b"a caption", suffix: str = "jpg"
) -> bytes:
    """The members of one sample."""
    return members((f"{key}.{suffix}", image), (f"{key}.txt", caption))


def of_image(image: bytes, reason: Reason | None, suffix: str = "jpg") -> Stretch:
    """A sample with this picture."""
    return Stretch(lambda key: pair(key, image, suffix=suffix), (reason,))


def of_caption(caption: bytes, reason: Reason | None) -> Stretch:
    """A sample with this caption."""
    return Stretch(lambda key: pair(key, caption=caption), (reason,))


def of_meta(meta: bytes, reason: Reason | None) -> Stretch:
    """A sample whose caption can only come from this json."""
    return Stretch(lambda key: members((f"{key}.jpg", GOOD), (f"{key}.json", meta)), (reason,))


def resigned(block: bytes, offset: int, new: bytes) -> bytes:
    """A header with some bytes changed and its checksum made to fit."""
    raw = bytearray(block)
    raw[offset : offset + len(new)] = new
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def broken_header(key: str) -> bytes:
    data = bytearray(pair(key))
    data[0] ^= 0xFF
    return bytes(data)


def png16() -> bytes:
    ramp = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50
    return encode(Image.fromarray(ramp))


def animation(form: str) -> bytes:
    return encode(noise(), form, save_all=True, append_images=[noise(seed=1), noise(seed=2)])


PICTURES = {
    "picture of no bytes": of_image(b"", Reason.EMPTY_IMAGE),
    "picture that is text": of_image(b"404 Not Found", Reason.UNDECODABLE_IMAGE),
    "picture that is a web page": of_image(b"<!doctype html><p>gone", Reason.UNDECODABLE_IMAGE),
    "picture that is svg": of_image(b"<svg xmlns='x'/>", Reason.UNDECODABLE_IMAGE, "png"),
    "picture that is postscript": of_image(b"%!PS-Adobe-3.0 EPSF-3.0\n", Reason.UNDECODABLE_IMAGE),
    "picture that is a zip": of_image(b"PK\x03\x04" + bytes(900), Reason.UNDECODABLE_IMAGE),
    "picture of zeros": of_image(bytes(4096), Reason.UNDECODABLE_IMAGE),
    "picture of noise": of_image(np.random.default_rng(0).bytes(5000), Reason.UNDECODABLE_IMAGE),
    "jpeg cut off": of_image(LARGE[: len(LARGE) // 2], Reason.TRUNCATED_IMAGE),
    "jpeg cut in its header": of_image(LARGE[:50], Reason.TRUNCATED_IMAGE),
    "jpeg of two bytes": of_image(b"\xff\xd8", Reason.UNDECODABLE_IMAGE),
    "png cut off": of_image(encode(noise(200, 200))[:2000], Reason.TRUNCATED_IMAGE, "png"),
    "png with a broken chunk": of_image(
        encode(noise(99, 99)).replace(b"IDAT", b"IDAU"), Reason.UNDECODABLE_IMAGE, "png"
    ),
    "png of 0 pixels": of_image(png_of_size(0, 0), Reason.UNDECODABLE_IMAGE, "png"),
    "webp cut off": of_image(
        encode(noise(200, 200), "WEBP")[:-300], Reason.TRUNCATED_IMAGE, "webp"
    ),
    "gif cut off": of_image(encode(noise(200, 200), "GIF")[:2000], Reason.TRUNCATED_IMAGE, "gif"),
    "bmp cut off": of_image(encode(noise(), "BMP")[:900], Reason.TRUNCATED_IMAGE, "bmp"),
    "tiff cut off": of_image(encode(noise(), "TIFF")[:900], Reason.TRUNCATED_IMAGE, "tif"),
    "png bomb of 30,000 x 30,000": of_image(
        png_of_size(30_000, 30_000), Reason.IMAGE_TOO_LARGE, "png"
    ),
    "jpeg bomb of 65,000 x 65,000": of_image(jpeg_of_size(65_000, 65_000), Reason.IMAGE_TOO_LARGE),
    "png with a text bomb": of_image(
        png_with(b"zTXt", b"k\0\0" + zlib.compress(bytes(70 << 20))),
        Reason.UNDECODABLE_IMAGE,
        "png",
    ),
    "picture over the member limit": of_image(
        GOOD + bytes(MAX_MEMBER_BYTES), Reason.MEMBER_TOO_LARGE
    ),
    "animated gif": of_image(animation("GIF"), None, "gif"),
    "animated webp": of_image(animation("WEBP"), None, "webp"),
    "animated png": of_image(animation("PNG"), None, "png"),
    "CMYK jpeg": of_image(encode(noise().convert("CMYK"), "JPEG"), None),
    "16 bit png": of_image(png16(), None, "png"),
    "palette with transparency": of_image(encode(noise().quantize(8), transparency=2), None, "png"),
    "1 x 1": of_image(encode(Image.new("L", (1, 1))), None, "png"),
    "png under the name jpg": of_image(encode(noise()), None),
    "suffix in capitals": of_image(GOOD, None, "JPG"),
}

CAPTIONS = {
    "caption empty": of_caption(b"", Reason.EMPTY_CAPTION),
    "caption of white space": of_caption(b" \n\t \xe2\x80\x83", Reason.EMPTY_CAPTION),
    "caption not UTF-8": of_caption(b"caf\xe9", Reason.BAD_CAPTION),
    "caption in UTF-16": of_caption("caption".encode("utf-16"), Reason.BAD_CAPTION),
    "caption of half a surrogate pair": of_caption(b"\xed\xa0\x80", Reason.BAD_CAPTION),
    "caption a megabyte long": of_caption(b"long " * 200_000, Reason.CAPTION_TOO_LONG),
    "caption over the member limit": of_caption(
        b"x" * (MAX_MEMBER_BYTES + 1), Reason.MEMBER_TOO_LARGE
    ),
    "caption with control characters": of_caption(b"a\0b\x1b[31m\x07\x7f", None),
    "caption with markup": of_caption(b"<script>alert(1)</script>", None),
    "caption with a byte order mark": of_caption(b"\xef\xbb\xbfcaption", None),
    "no caption": Stretch(lambda key: members((f"{key}.jpg", GOOD)), (Reason.MISSING_CAPTION,)),
    "json without a caption": of_meta(b'{"width": 3}', Reason.MISSING_CAPTION),
    "json with a null caption": of_meta(b'{"caption": null}', Reason.MISSING_CAPTION),
    "json whose caption is a number": of_meta(b'{"caption": 7}', Reason.BAD_CAPTION),
    "json whose caption is a list": of_meta(b'{"caption": ["a"]}', Reason.BAD_CAPTION),
    "json with half a surrogate pair": of_meta(b'{"caption": "\\udc00"}', Reason.BAD_CAPTION),
    "json that is broken": of_meta(b'{"caption": "x', Reason.MISSING_CAPTION),
    "json that is a list": of_meta(b'["caption"]', Reason.MISSING_CAPTION),
    "json nested without end": of_meta(b"[" * 200_000, Reason.MISSING_CAPTION),
    "json with a number of 5,000 digits": of_meta(
        b'{"a": ' + b"9" * 5000 + b"}", Reason.MISSING_CAPTION
    ),
    "json with a caption": of_meta(b'{"caption": "fine"}', None),
}

LAYOUT = {
    "no picture": Stretch(lambda key: members((f"{key}.txt", b"alone")), (Reason.MISSING_IMAGE,)),
    "json alone": Stretch(lambda key: members((f"{key}.json", b"{}")), (Reason.MISSING_IMAGE,)),
    "a file without a dot": Stretch(
        lambda _: members(("README", b"hello")), (Reason.MISSING_IMAGE,)
    ),
    "what file managers leave": Stretch(
        lambda _: members(
            (".DS_Store", b"\0\0\0\1Bud1"),
            ("a/._good-0000.jpg", b"\0\5\x16\7"),
            ("__MACOSX/a/good-0001.jpg", b"1"),
            ("a/Thumbs.db", b"1"),
        ),
        (),
    ),
    "a hidden file": Stretch(lambda _: members((".hidden", b"1")), (Reason.MISSING_IMAGE,)),
    "a tar inside": Stretch(
        lambda _: members(("inner.tar", make_tar([("x.jpg", GOOD)]))), (Reason.MISSING_IMAGE,)
    ),
    "a tar inside a sample": Stretch(
        lambda key: members(
            (f"{key}.jpg", GOOD), (f"{key}.txt", b"x"), (f"{key}.tar", make_tar([("x.jpg", GOOD)]))
        ),
        (None,),
    ),
    "a key twice": Stretch(lambda key: pair(key) + pair(key), (None, Reason.DUPLICATE_KEY)),
    "a key of an earlier sample": Stretch(lambda _: pair("good-0000"), (Reason.DUPLICATE_KEY,)),
    "a caption twice": Stretch(
        lambda key: members((f"{key}.jpg", GOOD), (f"{key}.txt", b"one"), (f"{key}.txt", b"two")),
        (None, Reason.DUPLICATE_KEY),
    ),
    "interleaved keys": Stretch(
        lambda key: members(
            (f"{key}u.jpg", GOOD),
            (f"{key}v.jpg", GOOD),
            (f"{key}u.txt", b"u"),
            (f"{key}v.txt", b"v"),
        ),
        (
            Reason.MISSING_CAPTION,
            Reason.MISSING_CAPTION,
            Reason.DUPLICATE_KEY,
            Reason.DUPLICATE_KEY,
        ),
    ),
    "a suffix of 70 letters": Stretch(
        lambda key: pair(key) + members((f"{key}." + "s" * 70, b"")), (Reason.UNSUPPORTED_MEMBER,)
    ),
    "a suffix that readers keep to themselves": Stretch(
        lambda key: pair(key) + members((f"{key}.__key__", b"../../etc")),
        (Reason.UNSUPPORTED_MEMBER,),
    ),
    "a member without a suffix": Stretch(
        lambda key: pair(key) + members((key, b"")), (Reason.UNSUPPORTED_MEMBER,)
    ),
    "a line feed in a suffix": Stretch(
        lambda key: pair(key) + members((f"{key}.a\nb", b"")), (Reason.UNSUPPORTED_MEMBER,)
    ),
    "an absolute name": Stretch(lambda key: pair(f"/etc/{key}"), (Reason.UNSAFE_NAME,)),
    "a name that climbs": Stretch(lambda key: pair(f"../../{key}"), (Reason.UNSAFE_NAME,)),
    "a name that climbs in the middle": Stretch(
        lambda key: pair(f"a/../../{key}"), (Reason.UNSAFE_NAME,)
    ),
    "a name of 200 letters (GNU)": Stretch(
        lambda _: members(
            ("n" * 200 + ".jpg", GOOD), ("n" * 200 + ".txt", b"x"), form=tarfile.GNU_FORMAT
        ),
        (None,),
    ),
    "a name of 200 letters (PAX)": Stretch(
        lambda _: members(
            ("é" * 200 + ".jpg", GOOD), ("é" * 200 + ".txt", b"x"), form=tarfile.PAX_FORMAT
        ),
        (None,),
    ),
    "a folder": Stretch(lambda key: header("folder/", 0, b"5"), ()),
    "a volume label": Stretch(lambda key: header("label", 0, b"V"), ()),
    "a name that is not UTF-8": Stretch(
        lambda _: (
            resigned(header("?.jpg", len(GOOD)), 0, b"\xff")
            + GOOD.ljust(-(-len(GOOD) // 512) * 512, b"\0")
            + resigned(header("?.txt", 1), 0, b"\xff")
            + b"x".ljust(512, b"\0")
        ),
        (None,),
    ),
}

ARCHIVE = {
    "a symbolic link": Stretch(
        lambda key: header(f"{key}.jpg", 0, b"2"), (Reason.UNSUPPORTED_MEMBER,)
    ),
    "a hard link as the picture": Stretch(
        lambda key: header(f"{key}.jpg", 0, b"1") + members((f"{key}.txt", b"x")),
        (Reason.UNSUPPORTED_MEMBER,),
    ),
    "a device": Stretch(lambda key: header(f"{key}.dev", 0, b"3"), (Reason.UNSUPPORTED_MEMBER,)),
    "a pipe": Stretch(lambda key: header(f"{key}.fifo", 0, b"6"), (Reason.UNSUPPORTED_MEMBER,)),
    "a sparse member": Stretch(
        lambda key: header(f"{key}.jpg", 512, b"S") + bytes(512), (Reason.UNSUPPORTED_MEMBER,)
    ),
    "a PAX sparse member": Stretch(
        lambda key: pax_header(("GNU.sparse.major", "1")) + members((f"{key}.jpg", GOOD)),
        (Reason.UNSUPPORTED_MEMBER,),
    ),
    "a member of an unknown type": Stretch(
        lambda key: header(f"{key}.jpg", 0, b"Z"), (Reason.UNSUPPORTED_MEMBER,)
    ),
    "a broken PAX header": Stretch(
        lambda key: header("pax", 9, b"x") + b"nonsense\n".ljust(512, b"\0") + pair(key),
        (Reason.DAMAGED_ARCHIVE, None),
    ),
    "a PAX header of two megabytes": Stretch(
        lambda key: header("pax", 2 << 20, b"x") + bytes(2 << 20) + pair(key),
        (Reason.DAMAGED_ARCHIVE, None),
    ),
    "a garbage header": Stretch(lambda _: b"\xee" * 512, (Reason.DAMAGED_ARCHIVE,)),
    "garbage of no whole blocks": Stretch(lambda _: b"\xee" * 777, (Reason.DAMAGED_ARCHIVE,)),
    "a wrong checksum": Stretch(broken_header, (Reason.DAMAGED_ARCHIVE, Reason.MISSING_IMAGE)),
    "a size that is no number": Stretch(
        lambda key: resigned(header(f"{key}.jpg", 0), 124, b"size?"), (Reason.DAMAGED_ARCHIVE,)
    ),
    "a size beyond the file": Stretch(
        lambda key: header(f"{key}.jpg", (8 << 30) - 1) + pair(key)[512:],
        (Reason.DAMAGED_ARCHIVE,),
    ),
    "a long name beyond the file": Stretch(
        lambda key: header("long", (8 << 30) - 1, b"L") + pair(key), (Reason.DAMAGED_ARCHIVE, None)
    ),
    "a lone zero block": Stretch(lambda _: bytes(512), (Reason.DAMAGED_ARCHIVE,)),
}

STRETCHES = {**PICTURES, **CAPTIONS, **LAYOUT, **ARCHIVE}

LAST = len(make_tar([("x.jpg", GOOD), ("x.txt", b"x")], end=False))
"""Bytes of a last good sample."""


def content(data: bytes) -> bytes:
    """A tar without its end mark, which is two blocks here."""
    return data[:-1024]


CHANGES = {
    "cut in the last caption": Change(
        lambda data: content(data)[:-508], (Reason.TRUNCATED_ARCHIVE,), lost=1
    ),
    "cut in the last padding": Change(
        lambda data: content(data)[:-100], (Reason.TRUNCATED_ARCHIVE,)
    ),
    "cut in the last caption's header": Change(
        lambda data: content(data)[:-800],
        (Reason.MISSING_CAPTION, Reason.TRUNCATED_ARCHIVE),
        lost=1,
    ),
    "cut in the last picture": Change(
        lambda data: content(data)[:-1600], (Reason.TRUNCATED_ARCHIVE,), lost=1
    ),
    "cut in the last header": Change(
        lambda data: content(data)[: -LAST + 100], (Reason.TRUNCATED_ARCHIVE,), lost=1
    ),
    "cut between members": Change(
        lambda data: content(data)[:-1024],
        (Reason.MISSING_CAPTION, Reason.TRUNCATED_ARCHIVE),
        lost=1,
    ),
    "without an end mark": Change(content, (Reason.TRUNCATED_ARCHIVE,)),
    "with half an end mark": Change(lambda data: content(data) + bytes(512), ()),
    "with a size that runs past the end": Change(
        lambda data: content(data) + header("bad.jpg", 9 << 20), (Reason.TRUNCATED_ARCHIVE,)
    ),
    "with bytes behind the end mark": Change(
        lambda data: data + b"rest", (Reason.DAMAGED_ARCHIVE,)
    ),
    "with a second tar behind it": Change(lambda data: data + make_tar([]), ()),
    "with a second, full tar behind it": Change(
        lambda data: data + make_tar([("z.jpg", GOOD)]), (Reason.DAMAGED_ARCHIVE,)
    ),
    "with garbage in front": Change(lambda data: b"\xee" * 1536 + data, (Reason.DAMAGED_ARCHIVE,)),
    "gzip under the name tar": Change(gzip.compress, (Reason.NOT_AN_ARCHIVE,), lost=-1),
    "xz under the name tar": Change(lzma.compress, (Reason.NOT_AN_ARCHIVE,), lost=-1),
    "text under the name tar": Change(
        lambda _: b"not a tar " * 99, (Reason.NOT_AN_ARCHIVE,), lost=-1
    ),
    "an empty file": Change(lambda _: b"", (Reason.NOT_AN_ARCHIVE,), lost=-1),
    "an archive without members": Change(lambda _: bytes(10240), (), lost=-1),
    "a picture under the name tar": Change(lambda _: LARGE, (Reason.NOT_AN_ARCHIVE,), lost=-1),
}
"""``lost`` of -1: all of them."""
