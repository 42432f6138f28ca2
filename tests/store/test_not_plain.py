"""What is no plain file: pipes and devices, which are never replaced, and never read without end."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tamis.pipeline.store import objects, storage
from tamis.schemas.errors import InputError, StorageError


def test_a_pipe_to_which_nobody_writes_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert storage.read_bytes(str(tmp_path / "pipe")) == b""


def test_a_pipe_is_read_to_its_end() -> None:
    """As a shell hands one over: ``<(command)``."""
    data = os.urandom(300_000)
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    assert storage.read_bytes(f"/dev/fd/{reading}") == data
    writer.join()
    os.close(reading)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/full"])
def test_a_device_is_not_read(path: str) -> None:
    with pytest.raises(InputError, match="is a device: name a file"):
        storage.read_bytes(path)


def test_nothing_takes_the_place_of_a_pipe_or_device(tmp_path: Path) -> None:
    targets = [tmp_path / "pipe"]
    os.mkfifo(targets[0])
    if os.geteuid() == 0:
        targets.append(tmp_path / "null")
        os.mknod(targets[1], stat.S_IFCHR | 0o666, os.makedev(1, 3))
    for target in targets:
        with pytest.raises(InputError, match="neither file nor directory"):
            storage.write_bytes(str(target), b"x")
        assert not stat.S_ISREG(target.stat().st_mode)
    assert sorted(tmp_path.iterdir()) == sorted(targets)


@pytest.mark.parametrize("name", ["d/" * 2040 + "x", "n" * 256, "d/" * 40_000 + "x"])
def test_a_path_that_is_too_long_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="name too long"):
        storage.write_bytes(f"{tmp_path}/{name}", b"x")
    why = storage.why_unwritable(f"{tmp_path}/{name}")
    assert why is not None
    assert "of at most" in why
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127])
def test_a_name_may_be_as_long_as_the_disk_has_them(name: str, tmp_path: Path) -> None:
    storage.write_bytes(f"{tmp_path}/{name}", b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "ask", [storage.exists, storage.is_folder, storage.is_file, storage.find, storage.read_bytes]
)
def test_an_address_that_its_client_does_not_know_is_one_line(ask: Callable[[str], object]) -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(InputError, match="cannot open `hf://nosuch`") as error:
        ask("hf://nosuch")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="cannot open `data:,x`"):
        storage.is_folder("data:,x")


@pytest.mark.parametrize("bug", [AttributeError, IndexError, KeyError, TypeError, ValueError])
def test_a_bug_is_told_as_a_bad_address_only_where_one_is_taken_apart(bug: type[Exception]) -> None:
    with pytest.raises(bug), objects.translate_errors("s3://bucket/a"):
        raise bug("oops")
    with (
        pytest.raises(InputError, match=r"cannot open `s3://bucket/a`: .*oops"),
        objects.of_address("s3://bucket/a"),
    ):
        raise bug("oops")
