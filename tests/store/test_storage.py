"""One contract for every kind of storage: a disk, memory, an S3 server."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.support.object_store as stores
from tamis.pipeline.host.bytes_read import READ
from tamis.pipeline.inputs import input_files
from tamis.pipeline.inputs.input_files import resolve
from tamis.pipeline.store import local, objects, storage
from tamis.pipeline.store.ranges import read_ranges
from tamis.schemas.errors import InputError, StorageError
from tests.support.merging import merge_ranges
from tests.support.object_store import BUCKET, ObjectStore


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with stores.object_store() as made:
        yield made


@pytest.fixture(params=["local", "memory", "s3"])
def root(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An empty place of each kind, as a URL."""
    if request.param == "local":
        yield str(tmp_path)
    elif request.param == "memory":
        yield "memory://root"
        fsspec.filesystem("memory").store.clear()
    else:
        for name, value in request.getfixturevalue("store").environment.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{BUCKET}/root"
        storage.delete(f"s3://{BUCKET}/root", recursive=True)


def test_what_is_written_is_read(root: str) -> None:
    path = storage.join(root, "deep/er", "file.bin")
    storage.write_bytes(path, b"content")
    assert storage.read_bytes(path) == b"content"
    assert storage.exists(path)
    assert storage.stat(path).size == 7
    with storage.open_read(path) as file:
        assert (file.read(3), file.read(), file.seek(1), file.read(2)) == (
            b"con",
            b"tent",
            1,
            b"on",
        )


def test_a_second_write_replaces_the_first_and_changes_the_stamp(root: str) -> None:
    path = storage.join(root, "file")
    storage.write_bytes(path, b"one")
    before = storage.stat(path)
    storage.write_bytes(path, b"three")
    after = storage.stat(path)
    assert storage.read_bytes(path) == b"three"
    assert (before.size, after.size) == (3, 5)
    assert before.stamp != after.stamp


def test_a_write_that_fails_leaves_what_was_there(root: str) -> None:
    path = storage.join(root, "file")
    storage.write_bytes(path, b"old")

    def write_half(target: str) -> None:
        with storage.write_atomic(target) as file:
            file.write(b"half" * (3 << 20))
            raise KeyboardInterrupt

    for target in (path, storage.join(root, "other")):
        with pytest.raises(KeyboardInterrupt):
            write_half(target)
    assert storage.read_bytes(path) == b"old"
    assert storage.listing(root) == {"file": 3}


def test_a_large_write_arrives_whole(root: str) -> None:
    path = storage.join(root, "large")
    with storage.write_atomic(path) as file:
        for i in range(13):
            file.write(bytes([i]) * (1 << 20))
    assert read_ranges(path, [((1 << 20) * i, 1) for i in range(13)]) == [
        bytes([i]) for i in range(13)
    ]


def test_many_pieces_of_one_call_arrive_in_order_behind_what_was_written(root: str) -> None:
    path = storage.join(root, "pieces")
    pieces = [bytes([i % 256]) * (i % 5 * 1000 + i % 3) for i in range(3000)]
    pieces += [bytes(3 << 20), b"end"]
    with storage.write_atomic(path) as file:
        file.write(b"before")
        file.writelines(pieces)
        file.write(b"after")
        file.writelines([])
    assert storage.read_bytes(path) == b"".join([b"before", *pieces, b"after"])


def test_a_disk_that_takes_a_part_of_each_call_gets_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.writev

    def some(descriptor: int, pieces: Sequence[memoryview]) -> int:
        return whole(descriptor, [b"".join(pieces)[:7]])

    monkeypatch.setattr(os, "writev", some)
    pieces: list[bytes | memoryview] = [b"one", b"", memoryview(b"twenty-seven"), b"x" * 20]
    with local.write_atomic(str(tmp_path / "slow")) as file:
        file.writelines(pieces)
    assert (tmp_path / "slow").read_bytes() == b"".join(pieces)


def test_a_listing_has_names_and_sizes_but_no_folders_or_hidden_files(root: str) -> None:
    for name, data in {"b": b"12", "a": b"1", ".a.partial": b"", "sub/c": b"123"}.items():
        storage.write_bytes(storage.join(root, name), data)
    assert list(storage.listing(root).items()) == [("a", 1), ("b", 2)]
    assert storage.listing(storage.join(root, "nowhere")) == {}


def test_deleting_what_is_not_there_is_no_error(root: str) -> None:
    storage.write_bytes(storage.join(root, "x/a"), b"1")
    storage.delete(storage.join(root, "x/a"))
    storage.delete(storage.join(root, "x/a"))
    assert not storage.exists(storage.join(root, "x/a"))
    storage.write_bytes(storage.join(root, "y/z/a"), b"1")
    storage.delete(storage.join(root, "y"), recursive=True)
    assert not storage.exists(storage.join(root, "y/z/a"))


def test_a_missing_file_is_named(root: str) -> None:
    storage.write_bytes(storage.join(root, "here"), b"1")
    with pytest.raises(FileNotFoundError):
        storage.open_read(storage.join(root, "there")).read()
    with pytest.raises(InputError, match="which holds here"):
        storage.stat(storage.join(root, "there"))


def test_ranges_come_back_in_the_order_asked(root: str) -> None:
    data = bytes(range(256)) * 40
    path = storage.join(root, "file")
    storage.write_bytes(path, data)
    ranges = [(5000, 10), (0, 4), (2, 8), (10239, 1), (100, 0), (5005, 20)]
    expected = [data[offset : offset + size] for offset, size in ranges]
    for gap in (0, 5, 1 << 20):
        assert read_ranges(path, ranges, gap) == expected
        assert read_ranges(path, [], gap) == []
    with pytest.raises(InputError, match="has changed: it ends after 1 of 2 bytes at 10239"):
        read_ranges(path, [(10239, 2)], 0)


@pytest.mark.parametrize("size", [50, 2 * objects.WHOLE])
def test_a_table_that_has_become_shorter_ends_early(root: str, size: int) -> None:
    """Its reader takes that for damage, not for a store that is down."""
    path = storage.join(root, "file")
    storage.write_bytes(path, b"0123456789")
    before = READ.total
    with storage.open_table(path, size) as file:
        assert (file.seek(size - 10), file.read(10)) == (size - 10, b"")
        assert (file.seek(8), file.tell(), file.read(4)) == (8, 8, b"89")
    assert file.closed
    assert READ.total - before in {2, 10}  # what was asked for, or all of a small one


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), max_size=20), st.integers(0, 50)
)
def test_merged_ranges_cover_all_and_close_only_small_gaps(
    ranges: list[tuple[int, int]], gap: int
) -> None:
    merged: list[storage.Range] = []

    def read_blocks(path: str, blocks: list[storage.Range]) -> list[bytes]:
        merged.extend(blocks)
        return [bytes(size) for _, size in blocks]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "read_blocks", read_blocks)
        read_ranges("file", ranges, gap)
    assert merged == merge_ranges(ranges, gap)
    asked = {i for offset, size in ranges for i in range(offset, offset + size)}
    covered = [i for offset, size in merged for i in range(offset, offset + size)]
    assert len(covered) == len(set(covered))
    assert asked <= set(covered)
    for (offset, size), (following, _) in pairwise(merged):
        assert following - offset - size > gap
    for i in set(covered) - asked:
        before, after = max(k for k in asked if k < i), min(k for k in asked if k > i)
        assert after - before - 1 <= gap


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:secret@bucket/a.tar", "s3://***@bucket/a.tar"),
        ("https://host/a.tar?X-Signature=secret&b=1", "https://host/a.tar?***"),
        ("simplecache::https://u:secret@host/x", "simplecache::https://***@host/x"),
        ("/plain/path@home/a?.tar", "/plain/path@home/a?.tar"),
        ("s3://KEY:se/cret@bucket/a.tar", "s3://***@bucket/a.tar"),
        ("https://u:se@cret@host/a.tar", "https://***@host/a.tar"),
        ("https://u:p?secret@host/a.tar", "https://***"),
        ("https://host/a.tar?secret", "https://host/a.tar?***"),
        ("https://host/a.tar?who=me@home&k=secret", "https://host/a.tar?***"),
        ("https://host/a.tar#tok=secret", "https://host/a.tar#***"),
        ("https://host/a.tar?k=secret\nand more", "https://host/a.tar?***"),
    ],
)
def test_secrets_are_not_shown(url: str, shown: str) -> None:
    assert storage.redact(url) == shown


def test_a_clients_own_words_show_no_secret() -> None:
    words = "403, url='https://u:p@host/a.tar?sig=secret', for https://host/b?secret: forbidden"
    with pytest.raises(StorageError) as error, objects.translate_errors("https://host/a.tar?***"):
        raise PermissionError(words)
    assert "secret" not in str(error.value)
    assert "url='https://***@host/a.tar?***', for https://host/b?***: forbidden" in str(error.value)


def test_messages_show_no_secret() -> None:
    for call in (storage.stat, storage.open_read, lambda url: resolve([url])):
        with pytest.raises((InputError, OSError)) as caught:
            call("memory://user:secret@nowhere/a.tar")
        assert "secret" not in str(caught.value)
    with pytest.raises(InputError) as refused:
        storage.stat("nosuch://user:secret@place/a")
    assert "secret" not in str(refused.value)
    assert "nosuch" in str(refused.value)
    with pytest.raises(InputError, match=r"cannot open `nosuch://place/0.tar`"):
        resolve(["nosuch://place/0.tar"])


@pytest.fixture
def tars(root: str) -> str:
    for name in ("a/00000.tar", "a/00001.tar", "a/00002.tar", "b/00000.tar", "b/x.parquet"):
        storage.write_bytes(storage.join(root, name), name.encode())
    return root


@pytest.mark.parametrize(
    ("patterns", "folder", "names"),
    [
        (["a/*.tar"], "a", ["00000.tar", "00001.tar", "00002.tar"]),
        (["a/{00001..00002}.tar"], "a", ["00001.tar", "00002.tar"]),
        (["a/00001.tar"], "a", ["00001.tar"]),
        (["*/00000.tar"], "", ["a/00000.tar", "b/00000.tar"]),
        (["{b,a}/00000.tar"], "", ["a/00000.tar", "b/00000.tar"]),
        (["a/00001.tar", "b/*.parquet"], "", ["a/00001.tar", "b/x.parquet"]),
        (["a/00001.tar", "a/*1.tar"], "a", ["00001.tar"]),
        (["**/0000[12].tar"], "", ["a/00001.tar", "a/00002.tar"]),
    ],
)
def test_patterns_name_files_below_a_fixed_prefix(
    tars: str, patterns: list[str], folder: str, names: list[str]
) -> None:
    found = resolve([storage.join(tars, pattern) for pattern in patterns])
    assert [file.relative for file in found.files] == names
    assert found.prefix == storage.absolute(storage.join(tars, folder))
    for file in found.files:
        assert storage.read_bytes(file.path).decode().endswith(file.relative.split("/")[-1])
        assert file.size == storage.stat(file.path).size
        assert file.stamp == storage.stat(file.path).stamp


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a/*.zip", r"matches nothing: .*/a`, which holds 00000.tar, 00001.tar, 00002.tar"),
        ("a/{00001..00005}.tar", r"00003.tar` is not there \(one of 3 missing of 5\)"),
        ("c/d/x.tar", "is not there: the nearest directory"),
        ("a", "is a directory"),
        ("a/{0..", "a brace is not closed"),
        ("a/{0..999}.tar", "names more than 500 files"),
    ],
)
def test_a_pattern_that_names_nothing_says_what_is_there(
    tars: str, pattern: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_files, "MAX_BRACES", 500)
    with pytest.raises(InputError, match=message):
        resolve([storage.join(tars, pattern)])


def test_a_relative_path_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.tar").write_bytes(b"1")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert resolve(["../x.tar"]).prefix == str(tmp_path)
    assert resolve(["../*.tar"]).files[0].path == os.path.join(tmp_path, "x.tar")


def test_one_entry_lies_on_one_store(tars: str, tmp_path: Path) -> None:
    (tmp_path / "y.tar").write_bytes(b"1")
    if "://" in tars:
        with pytest.raises(InputError, match="different stores"):
            resolve([storage.join(tars, "a/*.tar"), str(tmp_path / "y.tar")])


WRITER = """
import sys
from tamis.pipeline.store import storage
with storage.write_atomic(sys.argv[1]) as file:
    file.write(b"a" * 100_000)
    file.flush()
    print("half", flush=True)
    sys.stdin.readline()
    file.write(b"a" * 100_000)
"""


def test_what_a_killed_run_left_at_work_does_not_meet_the_next(tmp_path: Path) -> None:
    """Two processes write the same file at once: it is one's or the other's, never some of each."""
    path = tmp_path / "file"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as left:
        assert left.stdin is not None
        assert left.stdout is not None
        assert left.stdout.readline() == "half\n"
        storage.write_bytes(str(path), b"b" * 200_000)
        assert path.read_bytes() == b"b" * 200_000
        left.stdin.write("\n")
        left.stdin.close()
        assert left.wait() == 0
    assert path.read_bytes() == b"a" * 200_000
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("protocol", sorted(storage.STORES - {"s3", "s3a"}))
def test_no_store_keeps_listings(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker has written must not be hidden by what its driver saw before."""

    class Client(fsspec.AbstractFileSystem):  # type: ignore[misc]
        """Stands for a client that may not be installed: they take this option from fsspec, all of them."""

        cachable = False

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return path.partition("://")[2]

    clients = importlib.import_module("fsspec.registry")._registry
    monkeypatch.setitem(clients, protocol, Client)
    fs, _ = storage.filesystem(f"{protocol}://bucket/run")
    assert isinstance(fs, Client)
    assert not fs.dircache.use_listings_cache


def test_a_disk_tells_what_fsspec_tells(tmp_path: Path) -> None:
    """Of files, directories, links, and what is not there."""
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()
    for name, target in (("link", "file"), ("linked", "folder"), ("nowhere", "gone")):
        (tmp_path / name).symlink_to(tmp_path / target)
    ours, theirs = local.Disk(), fsspec.filesystem("file")

    def plain(infos: list[dict[str, object]]) -> list[tuple[object, object]]:
        return sorted((info["name"], info["type"]) for info in infos)

    assert plain(ours.ls(str(tmp_path))) == plain(theirs.ls(str(tmp_path), detail=True))
    assert plain(ours.ls(str(tmp_path / "file"))) == [(str(tmp_path / "file"), "file")]
    for name in ("file", "folder", "link", "linked", "nowhere", "gone", "file/below"):
        path = str(tmp_path / name)
        for ask in ("exists", "isfile", "isdir"):
            assert getattr(ours, ask)(path) == getattr(theirs, ask)(path)
        try:
            told = theirs.info(path)
        except OSError as error:
            with pytest.raises(type(error)):
                ours.info(path)
        else:
            assert ours.info(path).items() >= {k: told[k] for k in ("name", "size", "type")}.items()


@pytest.mark.parametrize("path", ["runs/mine", "./a:b", "~/x", "file:///tmp/x/", "/tmp/a:b"])
def test_a_path_of_this_machine_is_what_fsspec_makes_of_it(path: str) -> None:
    assert storage.is_local(path)
    assert storage.filesystem(path)[1] == fsspec.core.url_to_fs(path)[1]
