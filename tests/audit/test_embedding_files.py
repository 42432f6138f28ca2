"""Embeddings that came with the input, and have changed since: verify finds it, whatif says it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.inputs import embedding_files
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import storage
from tamis.schemas.errors import StateError
from tests.support.embedded import blobs, write_input
from tests.support.running import make_plan, run_here

STEPS = """
  - embed: {encoder: precomputed}
  - density: {clusters: 2, neighbours: 1, keep: 0.5}
  - write: {format: parquet}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The input ``in`` and a finished run over it: two files, three parts each."""
    entry = write_input(tmp_path / "in", blobs([20, 20], [0.3, 0.5], dim=8), files=2)
    run_here(make_plan(tmp_path / "run", "", STEPS, input=[entry], part_samples=8))
    return tmp_path


def faults(folder: Path, deep: bool) -> list[tuple[str, str]]:
    run = open_run(str(folder / "run"))
    return [(fault.path, fault.what) for fault in verify(run, Seen(), deep)]


def change(folder: Path, more_rows: int) -> None:
    """Other numbers in the second file's embeddings."""
    path = folder / "in" / "img_emb_00001.npy"
    old = np.load(path)
    new = np.concatenate([old, old[:more_rows]])
    new[3] = -new[3]
    np.save(path, new)


NAME = "input/00001.parquet: image embeddings img_emb_00001.npy"


def test_what_is_as_it_was_has_no_fault_and_is_looked_at(folder: Path) -> None:
    run, seen = open_run(str(folder / "run")), Seen()
    assert list(verify(run, seen, deep=True)) == []
    assert (seen.embeddings, seen.notes) == (2, [])
    assert [record.name for record in run.files.embeddings] == [
        "img_emb_00000.npy",
        "img_emb_00001.npy",
    ]


def test_another_size_is_a_fault(folder: Path) -> None:
    change(folder, more_rows=2)
    for deep in (False, True):
        [(path, what)] = faults(folder, deep)
        assert path == NAME
        assert what.startswith("has 480 bytes, manifest.json says 448")


def test_other_numbers_are_found_by_deep(folder: Path) -> None:
    change(folder, more_rows=0)
    assert faults(folder, deep=False) == []
    [(path, what)] = faults(folder, deep=True)
    assert (path, what.partition(":")[0]) == (NAME, "1 row other than what is stored")


def test_whatif_says_that_embeddings_changed(folder: Path) -> None:
    change(folder, more_rows=0)
    with pytest.raises(StateError, match="embeddings that came with the input have changed"):
        whatif(open_run(str(folder / "run")), ["density.keep=0.4"])


def test_what_has_been_cleared_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "run" / "tables")
    with pytest.raises(StateError, match=r"tables/, from which .* has been cleared"):
        whatif(open_run(str(folder / "run")), ["density.keep=0.4"])
    (folder / "run" / "plan.parquet").unlink()
    with pytest.raises(StateError, match=r"plan\.parquet, .* is missing"):
        open_run(str(folder / "run")).parts  # noqa: B018 - reading it is what fails
    found = dict(faults(folder, deep=False))
    assert "is missing" in found["plan.parquet"]


def test_stamps_are_taken_from_listings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that each file would give for itself; only one that a listing leaves out is asked."""
    names = [f"{number}.npy" for number in range(5)] + [".hidden.npy"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    paths = [str(tmp_path / name) for name in names]
    inputs = [
        InputFile(
            "input", name, "", "parquet", 0, image_embeddings=path, text_embeddings=f"{path}#t"
        )
        for name, path in zip(names, paths, strict=True)
    ]
    truth = {path: storage.stat(path) for path in paths}
    asked: list[str] = []
    stat = storage.stat

    def counted(path: str) -> storage.File:
        asked.append(path)
        return stat(path)

    monkeypatch.setattr(storage, "stat", counted)
    stamps = embedding_files.stamps(inputs)
    assert {path: (file.size, file.stamp) for path, file in stamps.items()} == {
        path: (file.size, file.stamp) for path, file in truth.items()
    }
    assert asked == [paths[-1]]
