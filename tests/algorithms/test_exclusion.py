"""Addresses in one form, keys in a list, and listed hashes that are near, each judged by looking at everything."""

from __future__ import annotations

from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.exclusion import near_hashes
from tamis.pipeline.algorithms.exclusion.addresses import domain, host_of, same_url, suffixes
from tamis.pipeline.algorithms.exclusion.members import keys, positions
from tamis.pipeline.algorithms.exclusion.near_hashes import Nearest
from tamis.pipeline.algorithms.near_pictures import layouts

HOSTS = [
    ("https://example.org/a.jpg", "example.org"),
    ("HTTP://User:pw@WWW.Example.ORG:8080/a?b#c", "www.example.org"),
    ("//cdn.example.org/a", "cdn.example.org"),
    ("example.org/a@b", "example.org"),
    ("https://example.org.", "example.org"),
    ("https:\\\\example.org\\a", "example.org"),
    ("https://b\u00fccher.example/a", "xn--bcher-kva.example"),
    ("https://xn--bcher-kva.example/a", "xn--bcher-kva.example"),
    ("https://B\u00dcCHER\u3002example", "xn--bcher-kva.example"),
    ("https://%65xample.org/a", "example.org"),
    ("https://192.0.2.1:80/a", "192.0.2.1"),
    ("https://[2001:DB8::1]:443/a", "2001:db8::1"),
    ("", ""),
    ("no host at all", ""),
]


@pytest.mark.parametrize(("url", "host"), HOSTS)
def test_the_host_of_a_url(url: str, host: str) -> None:
    assert host_of(url) == host


@given(
    st.lists(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True), min_size=1),
    st.sampled_from(["", ":80", ":8080"]),
    st.sampled_from(["", "/", "/a/b.jpg", "?q=1", "/a?b/c", "#part"]),
)
def test_hosts_are_those_of_the_standard_library(labels: list[str], port: str, rest: str) -> None:
    url = f"https://{'.'.join(labels)}{port}{rest}"
    assert host_of(url) == urlsplit(url).hostname


def test_urls_that_name_the_same_are_one() -> None:
    forms = ["https://Example.org:443/a?b=1#c", "http://example.org/a?b=1", "example.org/a?b=1"]
    assert {same_url(form) for form in forms} == {"example.org/a?b=1"}
    assert same_url("https://example.org") == same_url("https://example.org/") == "example.org/"
    others = ["https://example.org/A?b=1", "https://example.org/a", "https://example.org:80/a?b=1"]
    others += ["ftp://example.org/a?b=1", "https://www.example.org/a?b=1"]
    assert len({same_url(other) for other in [*others, forms[0]]}) == 6


@pytest.mark.parametrize(
    ("entry", "read"),
    [
        ("Example.org", "example.org"),
        ("*.example.org", "example.org"),
        (".example.org", "example.org"),
        ("https://example.org/", "example.org"),
        ("192.0.2.1", "192.0.2.1"),
        ("example.org/a", ""),
        ("example.org:8080", ""),
        ("two words", ""),
    ],
)
def test_a_listed_domain_is_a_host_alone(entry: str, read: str) -> None:
    assert domain(entry) == read


def test_a_host_lies_under_all_domains_above_it_and_an_address_under_none() -> None:
    assert suffixes("a.b.example.org") == ["a.b.example.org", "b.example.org", "example.org", "org"]
    assert suffixes("192.0.2.1") == ["192.0.2.1"]
    assert suffixes("2001:db8::1") == ["2001:db8::1"]


RAW = st.binary(min_size=2, max_size=2).map(lambda end: bytes(7) + end + bytes(7))


@given(st.lists(RAW, unique=True), st.lists(RAW))
def test_positions_are_those_of_a_search_one_by_one(
    listed: list[bytes], wanted: list[bytes]
) -> None:
    """Zeros at the end of a key, which NumPy does not show, are part of it as any other byte."""
    order = sorted(listed)
    found = positions(keys(b"".join(order)), keys(b"".join(wanted)))
    assert found.tolist() == [order.index(key) if key in order else -1 for key in wanted]


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes in groups that differ in few bits, and some strangers; layouts of which some are alike."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(0).integers(0, 2**64, 5, dtype=np.uint64)
    hashes = centres[draw.integers(0, 5, count)]
    for _ in range(6):
        flip = np.uint64(1) << draw.integers(0, 64, count, dtype=np.uint64)
        hashes = np.where(draw.random(count) < 0.3, hashes ^ flip, hashes)
    hashes[:9] = draw.integers(0, 2**64, 9, dtype=np.uint64)
    made = []
    for number in range(count):
        light = np.full((16, 16), 40 * (number % 3), np.uint8)
        light[: 1 + number % 4] += 100
        made.append(layouts.encode(light, np.zeros((4, 4, 3), np.uint8)))
    rows = np.stack(made)
    return hashes, rows


@pytest.mark.parametrize("radius", [0, 3, 8, 16])
@pytest.mark.parametrize("with_layouts", [True, False])
@pytest.mark.parametrize("memory", [0, 1 << 28])
@pytest.mark.parametrize("looks", [True, False])
def test_the_nearest_picture_is_that_of_all_pairs(
    radius: int, with_layouts: bool, memory: int, looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(row: np.ndarray, entry: np.ndarray) -> np.ndarray:
        return np.asarray((3 * row + entry) % 5 < 2)

    monkeypatch.setattr(near_hashes, "MEMORY", memory)
    monkeypatch.setattr(near_hashes, "_PAIRS", 100)
    (listed, own), (hashes, others) = pictures(70, 1), pictures(90, 2)
    nearest = Nearest(listed, own if with_layouts else None, radius, 0.2)
    entry, bits = nearest.find(hashes, others, look if looks else None)
    found = 0
    for row in range(90):
        apart = np.bitwise_count(hashes[row] ^ listed).astype(int)
        both = np.concatenate([others[row : row + 1], own])
        differ = layouts.difference(both, np.zeros(70, np.int64), np.arange(1, 71))
        alike = (apart <= radius) & ((differ <= 0.2) | (not with_layouts))
        near = np.flatnonzero(alike & (look(np.full(70, row), np.arange(70)) | (not looks)))
        best = min(near, key=lambda place: (apart[place], place), default=-1)
        assert entry[row] == best
        assert bits[row] == (apart[best] if best >= 0 else 0)
        found += int(best >= 0)
    assert 0 < found < 90


def test_an_empty_list_has_no_neighbours() -> None:
    hashes, own = pictures(9, 1)
    nearest = Nearest(np.empty(0, np.uint64), own[:0], 4, 0.1)
    assert nearest.find(hashes, own)[0].tolist() == [-1] * 9


def test_a_host_has_a_bound_as_in_dns() -> None:
    """A URL of a stranger may have 60 kB of labels: each would be a domain of its own, all of them gigabytes."""
    longest = ".".join(["a" * 61] * 4) + ".bcd"
    assert len(longest) == 251
    assert host_of(f"https://{longest}/x") == longest
    for host in ("a." * 30_000, "a" * 254, longest + ".ef"):
        assert host_of(f"https://{host}/x") == ""
        assert same_url(f"https://{host}/x") == ""
        assert domain(host) == ""
