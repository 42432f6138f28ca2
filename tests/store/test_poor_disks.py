"""Disks that lack what others have: second names of files, a sync of directories, listings that are up to date."""

from __future__ import annotations

import builtins
import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.host import bytes_read
from tamis.pipeline.store import lease, local, storage
from tamis.pipeline.store.lease import FILE, Lease
from tamis.schemas.errors import StateError, StorageError
from tests.support.leases import assert_that_one_of_six_holds
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

STEPS = "- signals: [words]\n- rules: {words: {min: 1}}\n- write: {samples_per_shard: 4}"
NO_LINK = [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK]


def without(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """A disk on which a call of ``os`` fails, whoever calls it."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, fail)


def files(folder: Path) -> Path:
    samples = [Sample(f"k{i}", picture(i * 999), "two words", {"n": i}) for i in range(10)]
    return write_tar(folder / "in/0.tar", samples)


@pytest.mark.parametrize("number", NO_LINK)
def test_a_run_needs_no_second_names(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = files(tmp_path)
    run_here(make_plan(tmp_path / "sound", made, STEPS))
    without(monkeypatch, "link", number)
    run_here(make_plan(tmp_path / "run", made, STEPS))
    for name in ("shards", "ledger", "tables", "ledger_index"):
        assert contents(tmp_path / "run" / name) == contents(tmp_path / "sound" / name)
    assert not [path for path in (tmp_path / "run").rglob("*") if "lock" in path.name]
    (tmp_path / "run" / FILE).write_text(json.dumps(living()))
    with pytest.raises(StateError, match="another run is at work"), Lease(str(tmp_path / "run")):
        pass


def living() -> dict[str, Any]:
    return {"host": "elsewhere", "process": 7, "renewed": time.time()}


def test_a_lock_that_is_just_being_written_is_somebodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is there before its content: of six runs at once one begins."""
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.5)
    without(monkeypatch, "link", errno.ENOTSUP)

    def slow(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        file = builtins.open(path, mode, *arguments, **options)  # noqa: SIM115 - the caller closes it
        if mode == "rb" and f"{FILE}." in str(path) and "takeover" not in str(path):
            time.sleep(0.1)
        return file

    monkeypatch.setattr(local, "open", slow, raising=False)
    for _ in range(3):
        assert_that_one_of_six_holds(tmp_path, lambda _: None)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_directory_that_cannot_be_synced_is_none_the_worse(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def sync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    run_here(make_plan(tmp_path / "run", files(tmp_path), STEPS))
    assert (tmp_path / "run/manifest.json").exists()
    assert storage.listing(str(tmp_path / "run/shards"))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.ESTALE, errno.EDQUOT])
def test_a_write_that_fails_when_the_file_is_closed_is_told(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a network's disk, which holds back what is written. Without a sync, too, nothing appears."""
    real = bytes_read.CountedFile.close

    def close(file: Any) -> None:
        fails = not file.closed and file.writable()
        real(file)
        if fails:
            raise OSError(number, os.strerror(number))

    storage.write_bytes(f"{tmp_path}/old", b"old")
    monkeypatch.setattr(bytes_read.CountedFile, "close", close)
    for name in ("old", "new"):
        with storage.without_sync(), pytest.raises(StorageError, match="cannot be written"):
            storage.write_bytes(f"{tmp_path}/{name}", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"old": b"old"}


def test_what_is_removed_while_it_is_open_may_stay_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS's silly renames, which cannot be removed: they are nobody's, and hinder neither a run nor who reads it."""

    def settings(bound: int) -> str:
        return STEPS.replace("words: {min: 1}", f"words: {{min: {bound}}}")

    made = files(tmp_path)
    run_here(make_plan(tmp_path / "sound", made, settings(2)))
    run_here(make_plan(tmp_path / "run", made, settings(1)))
    folders = [tmp_path / "run", *(path for path in (tmp_path / "run").rglob("*") if path.is_dir())]
    left = [folder / ".nfs0000000000a1b2c300000001" for folder in folders]
    for path in left:
        path.write_bytes(b"x")
    for name in ("unlink", "remove"):
        real = getattr(os, name)

        def remove(path: Any, *arguments: Any, real: Any = real, **options: Any) -> None:
            if os.path.basename(os.fspath(path)).startswith(".nfs"):
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
            real(path, *arguments, **options)

        monkeypatch.setattr(os, name, remove)
    run_here(make_plan(tmp_path / "run", made, settings(2)))
    assert all(path.exists() for path in left)
    for path in left:
        path.rename(tmp_path / "elsewhere")
    for name in ("shards", "ledger", "tables", "ledger_index"):
        assert contents(tmp_path / "run" / name) == contents(tmp_path / "sound" / name)


def test_what_verify_reads_may_have_such_names_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(make_plan(tmp_path / "run", files(tmp_path), STEPS))
    for folder in ("", "shards", "tables/signals/values", "ledger"):
        (tmp_path / "run" / folder / ".nfs0000000000a1b2c300000001").write_bytes(b"x")
    with pytest.raises(SystemExit) as ended:
        main(["verify", f"{tmp_path}/run", "--deep"])
    assert ended.value.code == 0, capsys.readouterr().out
