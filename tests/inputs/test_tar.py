from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs.tar.walker import Damage, Member, Walker
from tamis.schemas.ledger import Reason
from tests.support.tars import header, make_tar, pax_header, short, walk

THREE = [("a.jpg", b"A" * 700), ("a.txt", b"B" * 10), ("b.jpg", b"C" * 512)]
CHUNKS = (512, 777, 1 << 20)


def damages(found: list[Member | Damage]) -> list[Damage]:
    return [item for item in found if isinstance(item, Damage)]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_it_sees_what_the_standard_library_sees(form: int, chunk: int) -> None:
    names = ["a.jpg", "dir/" + "n" * 90 + ".txt", "é" * 20 + ".json", "./x", "empty.bin"]
    if form != tarfile.USTAR_FORMAT:
        names += ["very/" * 40 + "long.png", "ü" * 120]
    rng = random.Random(0)
    members = [(name, rng.randbytes(rng.choice([1, 511, 512, 513, 5000]))) for name in names[:-1]]
    members.append((names[-1], b""))
    data = make_tar(members, form)
    found = walk(data, chunk)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        judged = [(info.name, info.offset_data, info.size) for info in tar]
    assert [(item.name, item.offset, item.size) for item in found if isinstance(item, Member)] == (
        judged
    )
    assert [bytes(item.data) for item in found if isinstance(item, Member)] == [
        content for _, content in members
    ]
    assert not damages(found)


def test_the_clip_art_is_walked_without_a_complaint(openclipart: Path) -> None:
    data = (openclipart / "00007.tar").read_bytes()
    walker = Walker(io.BytesIO(data))
    found = [(item.name, item.offset) for item in walker if isinstance(item, Member)]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert found == [(info.name, info.offset_data) for info in tar]
    assert walker.window.sha256() == hashlib.sha256(data).digest()
    assert walker.spans["damage"] == 0
    assert sum(walker.spans.values()) == len(data)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("garbage", [512, 1000, 5 * 512, 3])
def test_garbage_in_the_middle_costs_its_own_bytes_alone(chunk: int, garbage: int) -> None:
    before, after = make_tar(THREE[:1], end=False), make_tar(THREE[1:])
    found = walk(before + b"\xee" * garbage + after, chunk)
    assert short(found) == ["a.jpg", "damaged_archive", "a.txt", "b.jpg"]
    assert (damages(found)[0].offset, damages(found)[0].length) == (len(before), garbage)


def test_a_changed_header_loses_its_member_alone() -> None:
    data = bytearray(make_tar(THREE))
    data[1536 + 2] ^= 1
    found = walk(bytes(data))
    assert short(found) == ["a.jpg", "damaged_archive", "b.jpg"]
    assert (damages(found)[0].offset, damages(found)[0].length) == (1536, 1024)


def test_missing_bytes_shift_the_rest_and_lose_one_member() -> None:
    data = make_tar(THREE)
    found = walk(data[:600] + data[900:])
    assert [item.name for item in found if isinstance(item, Member)][-1] == "b.jpg"
    assert len(damages(found)) == 1


def test_old_headers_without_a_magic_are_found_again() -> None:
    old = bytearray(header("old.jpg", 4))
    old[257:265] = bytes(8)
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    found = walk(b"\xee" * 1024 + bytes(old) + b"1234".ljust(512, b"\0") + bytes(1024), 600)
    assert short(found) == ["damaged_archive", "old.jpg"]


@pytest.mark.parametrize(
    ("cut", "expected", "offset"),
    [
        (512 + 300, ["truncated_archive"], 0),
        (1536, ["a.jpg", "truncated_archive"], 1536),
        (1536 + 100, ["a.jpg", "truncated_archive"], 1536),
        (1536 + 512 + 10, ["a.jpg", "a.txt", "truncated_archive"], 2058),
        (2560 + 512 + 511, ["a.jpg", "a.txt", "truncated_archive"], 2560),
        (2560 + 1024 + 512, ["a.jpg", "a.txt", "b.jpg"], None),
    ],
)
def test_a_tar_that_is_cut_off_says_where(
    cut: int, expected: list[str], offset: int | None
) -> None:
    found = walk(make_tar(THREE)[:cut])
    assert short(found) == expected
    assert [damage.offset for damage in damages(found)] == ([] if offset is None else [offset])


def test_a_cut_member_keeps_its_name() -> None:
    (damage,) = walk(make_tar(THREE)[:800])
    assert isinstance(damage, Damage)
    assert (damage.name, damage.reason) == ("a.jpg", Reason.TRUNCATED_ARCHIVE)
    assert "700 bytes announced, 288 there" in damage.message


@pytest.mark.parametrize(
    "data", [b"", b"x", b"x" * 511, b"x" * 512, b"word " * 3000, b"\xff" * 9999]
)
def test_what_is_no_tar_is_one_damage(data: bytes) -> None:
    (damage,) = walk(data)
    assert isinstance(damage, Damage)
    assert (damage.reason, damage.offset, damage.length) == (Reason.NOT_AN_ARCHIVE, 0, len(data))


def test_another_format_is_named() -> None:
    (damage,) = walk(gzip.compress(make_tar(THREE)))
    assert "gunzip" in damage.message if isinstance(damage, Damage) else False
    (damage,) = walk(b"PK\x03\x04" + make_tar(THREE))
    assert damage.reason == Reason.NOT_AN_ARCHIVE if isinstance(damage, Damage) else False


def test_an_archive_without_members_is_no_damage() -> None:
    assert walk(bytes(10240)) == []
    assert walk(bytes(512)) == []


@pytest.mark.parametrize("chunk", CHUNKS)
def test_bytes_behind_the_end_mark_are_one_damage(chunk: int) -> None:
    first = make_tar(THREE)
    found = walk(first + make_tar(THREE), chunk)
    assert short(found) == ["a.jpg", "a.txt", "b.jpg", "damaged_archive"]
    assert (damages(found)[0].offset, damages(found)[0].length) == (len(first), 10240)


def test_a_lone_zero_block_does_not_end_the_walk() -> None:
    found = walk(make_tar(THREE[:2], end=False) + bytes(512) + make_tar(THREE[2:]))
    assert short(found) == ["a.jpg", "a.txt", "damaged_archive", "b.jpg"]


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"6", b"M", b"Z"])
def test_members_that_are_no_files_are_named_damages(kind: bytes) -> None:
    found = walk(header("x.jpg", 0, kind) + make_tar(THREE))
    assert short(found) == ["unsupported_member", "a.jpg", "a.txt", "b.jpg"]
    assert found[0].name == "x.jpg"


@pytest.mark.parametrize("kind", [b"5", b"V"])
def test_folders_and_labels_are_passed_over(kind: bytes) -> None:
    assert short(walk(header("x/", 0, kind) + make_tar(THREE))) == ["a.jpg", "a.txt", "b.jpg"]


def test_an_old_sparse_member_is_skipped_with_its_map() -> None:
    first = bytearray(header("s.bin", 512, b"S"))
    first[482] = 1
    first[148:156] = b" " * 8
    first[148:156] = b"%06o\0 " % sum(first)
    extension = bytearray(512)
    extension[504] = 1
    found = walk(bytes(first) + bytes(extension) + bytes(512) + b"d" * 512 + make_tar(THREE))
    assert short(found) == ["unsupported_member", "a.jpg", "a.txt", "b.jpg"]


def test_pax_size_and_path_override_the_header() -> None:
    data = pax_header(("path", "long/name.jpg"), ("size", "5"))
    data += header("short", 0) + b"12345".ljust(512, b"\0")
    (member, *_) = walk(data + bytes(1024))
    assert isinstance(member, Member)
    assert (member.name, bytes(member.data)) == ("long/name.jpg", b"12345")


def test_a_pax_sparse_member_has_its_real_name() -> None:
    data = pax_header(("GNU.sparse.major", "1"), ("GNU.sparse.name", "real.bin"))
    (damage, *_) = walk(data + header("GNUSparseFile.0/x", 0) + bytes(1024))
    assert (damage.name, short([damage])) == ("real.bin", ["unsupported_member"])


@pytest.mark.parametrize(
    "body",
    [b"99 path=x\n", b"nonsense", b"0 a=b\n", b"12 size=-12\n", b"11 size=xy\n", b"5 x=\n4 y\n"],
)
def test_a_broken_pax_header_is_a_damage_and_the_member_keeps_its_own_name(body: bytes) -> None:
    data = header("pax", len(body), b"x") + body.ljust(512, b"\0") + make_tar(THREE)
    found = walk(data)
    assert short(found) == ["damaged_archive", "a.jpg", "a.txt", "b.jpg"]


def test_an_absurdly_long_name_is_a_damage() -> None:
    data = header("x", 2 << 20, b"L") + b"n" * (2 << 20) + make_tar(THREE)
    assert short(walk(data)) == ["damaged_archive", "a.jpg", "a.txt", "b.jpg"]


@pytest.mark.parametrize("name", ["/etc/passwd.jpg", "../a.jpg", "a/../../b.jpg", "a/.."])
def test_names_that_climb_are_refused(name: str) -> None:
    found = walk(make_tar([(name, b"x"), *THREE]))
    assert short(found) == ["unsafe_name", "a.jpg", "a.txt", "b.jpg"]
    assert found[0].name == name


def test_dots_in_a_name_are_no_climb() -> None:
    assert short(walk(make_tar([("a..b/..c.jpg", b"x")]))) == ["a..b/..c.jpg"]


def test_a_name_that_is_not_utf8_is_shown_with_escapes() -> None:
    raw = bytearray(header("x.jpg", 0))
    raw[0:1] = b"\xff"
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    assert walk(bytes(raw) + bytes(1024))[0].name == "\\xff.jpg"


def test_sizes_beyond_eight_gigabytes_are_read_in_base_256() -> None:
    info = tarfile.TarInfo("big.jpg")
    info.size = 9 << 30
    (damage,) = walk(info.tobuf(tarfile.GNU_FORMAT) + b"start")
    assert isinstance(damage, Damage)
    assert f"{9 << 30} bytes announced, 5 there" in damage.message


class Endless(io.RawIOBase):
    """A tar with one member of ``size`` zeros, never held whole; remembers the largest read."""

    def __init__(self, size: int) -> None:
        self.head, self.left, self.largest = header("big.jpg", size), size + 1024, 0

    def read(self, wanted: int = -1) -> bytes:
        self.largest = max(self.largest, wanted)
        if self.head:
            head, self.head = self.head, b""
            return head
        wanted = min(wanted, self.left)
        self.left -= wanted
        return bytes(wanted)


def test_a_member_over_the_limit_is_skipped_without_being_held() -> None:
    stream = Endless(40 << 20)
    walker = Walker(stream, max_member_bytes=1 << 20, chunk=1 << 16)  # type: ignore[arg-type]
    (damage,) = list(walker)
    assert isinstance(damage, Damage)
    assert (damage.reason, damage.name) == (Reason.MEMBER_TOO_LARGE, "big.jpg")
    assert len(walker.window.data) <= 1 << 17
    assert stream.largest <= 1 << 17


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 64), st.booleans()), max_size=4),
    st.sampled_from(CHUNKS),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_every_byte_is_counted_whatever_is_broken(
    edits: list[tuple[int, int, bool]], chunk: int, form: int
) -> None:
    """``walk`` checks the sum; members that survive have bytes that stand in the file."""
    data = make_tar([*THREE, ("l" * 120 + ".txt", b"D" * 99)][: 3 if not form else 4], form)
    for offset, size, remove in edits:
        middle = b"" if remove else bytes([size]) * size
        data = data[:offset] + middle + data[offset + size :]
    found = walk(data, chunk)
    assert found == walk(data)
    for item in found:
        if isinstance(item, Member):
            assert data[item.offset : item.offset + item.size] == bytes(item.data)


def test_behind_a_false_size_the_good_members_are_found() -> None:
    good = [("b.jpg", b"picture"), ("b.txt", b"caption")]
    for size in (("size", "9" * 30),), ():
        false = pax_header(*size) if size else b""
        false += header("a.jpg", (8 << 30) - 1) + b"data".ljust(512, b"\0")
        data = make_tar([("0.jpg", b"x")], end=False) + false + make_tar(good)
        found = walk(data, chunk=1024)
        assert short(found) == ["0.jpg", "damaged_archive", "b.jpg", "b.txt"]
        (damage,) = damages(found)
        assert (damage.name, damage.offset) == ("a.jpg", data.index(b"a.jpg"))
        assert "more than the file has: a wrong size" in damage.message
        assert len(damage.message) < 100
