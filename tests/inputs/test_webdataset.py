from __future__ import annotations

import pytest
from webdataset.tariterators import base_plus_ext

from tamis.pipeline.inputs.tar.walker import Damage, Member
from tamis.pipeline.inputs.tar.webdataset import Group, group, is_writable, split_name
from tamis.schemas.ledger import Reason


def member(name: str, data: bytes = b"x") -> Member:
    return Member(name, 512, len(data), memoryview(data))


@pytest.mark.parametrize(
    ("name", "key", "suffix"),
    [
        ("0001.jpg", "0001", "jpg"),
        ("a/b/0001.jpg", "a/b/0001", "jpg"),
        ("a.b/0001.seg.png", "a.b/0001", "seg.png"),
        ("./0001.txt", "./0001", "txt"),
        ("0001", "0001", ""),
        ("a/.hidden.jpg", "a/.hidden.jpg", ""),
        ("", "", ""),
    ],
)
def test_the_key_ends_at_the_first_dot_of_the_last_part(name: str, key: str, suffix: str) -> None:
    assert split_name(name) == (key, suffix)
    if suffix:
        assert base_plus_ext(name) == (key, suffix)


def test_members_of_a_key_are_one_sample() -> None:
    found = list(group(map(member, ["a.jpg", "a.txt", "b.PNG", "b.json", "c/d.webp"])))
    assert [(item.key, list(item.members)) for item in found if isinstance(item, Group)] == [
        ("a", ["jpg", "txt"]),
        ("b", ["png", "json"]),
        ("c/d", ["webp"]),
    ]


def test_of_several_pictures_the_first_in_the_list_counts() -> None:
    (found,) = group(map(member, ["a.png", "a.mask.jpg", "a.jpg", "a.webp"]))
    assert isinstance(found, Group)
    assert found.image is not None
    assert found.image[1].name == "a.jpg"


def test_a_key_that_comes_again_is_the_next_occurrence() -> None:
    found = list(group(map(member, ["a.jpg", "b.jpg", "a.txt", "b.txt", "a.json"])))
    counted = [(item.key, item.occurrence) for item in found if isinstance(item, Group)]
    assert counted == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]


def test_a_suffix_that_comes_again_begins_the_next_occurrence() -> None:
    found = list(group(map(member, ["a.jpg", "a.txt", "a.JPG", "a.txt", "a.json"])))
    assert [(item.occurrence, list(item.members)) for item in found if isinstance(item, Group)] == [
        (0, ["jpg", "txt"]),
        (1, ["jpg", "txt", "json"]),
    ]


def test_a_damage_with_a_name_belongs_to_its_key() -> None:
    link = Damage(Reason.UNSUPPORTED_MEMBER, 512, 0, "a link", "a.jpg")
    garbage = Damage(Reason.DAMAGED_ARCHIVE, 1024, 512, "garbage")
    found = list(group([member("a.txt"), link, garbage, member("a.json"), member("b.txt")]))
    assert isinstance(found[0], Group)
    assert (found[0].key, found[0].damage, list(found[0].members)) == ("a", link, ["txt", "json"])
    assert found[1] == garbage


def test_bytes_that_nobody_reads_are_not_held() -> None:
    (found,) = group([member("a.jpg"), member("a.features.npy", b"large")])
    assert isinstance(found, Group)
    assert (found.members["features.npy"].size, len(found.members["features.npy"].data)) == (5, 0)


@pytest.mark.parametrize(
    ("suffix", "fits"),
    [
        ("jpg", True),
        ("seg.png", True),
        ("_x", True),
        ("é" * 32, True),
        ("é" * 33, False),
        ("", False),
        ("__key__", False),
        ("a\nb", False),
    ],
)
def test_some_suffixes_cannot_be_written(suffix: str, fits: bool) -> None:
    assert is_writable(suffix) is fits
