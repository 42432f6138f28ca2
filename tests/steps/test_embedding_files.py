"""Embeddings that come with the input: what does not fit is refused before a run, by the name of its file."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.schemas.errors import InputError
from tests.support.embedded import EMBED
from tests.support.running import make_plan, run_here

STEPS = f"{EMBED}\n- write"


def folder_of(tmp_path: Path, **arrays: Any) -> Path:
    """Two parquet files of six rows each, and .npy files; bytes stand as they are."""
    for number in range(2):
        captions = [f"caption {number} {i}" for i in range(6)]
        pq.write_table(pa.table({"text": captions}), tmp_path / f"{number}.parquet")
    for name, array in arrays.items():
        path = tmp_path / f"{name}.npy"
        if isinstance(array, bytes):
            path.write_bytes(array)
        else:
            np.save(path, array)
    return tmp_path


def vectors(rows: int, dim: int = 4) -> Any:
    return np.random.default_rng(0).normal(size=(rows, dim)).astype(np.float32)


def headed(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n"


def planned(folder: Path, **entry: str) -> Any:
    given = {"path": f"{folder}/*.parquet", "image_embeddings": f"{folder}/i*.npy", **entry}
    return make_plan(folder / "run", "", STEPS, input=[given])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (vectors(9), r"i1.npy`: 9 embeddings for the 6 rows of `.*1.parquet`: .* pair each"),
        (vectors(6, 5), r"i1.npy`: embeddings of 5 numbers, but `.*i0.npy` has 4"),
        (vectors(6, 0), r"i1.npy`: an array \(6, 0\): embeddings are \(rows, dim\), of 1 to"),
        (headed(b"{'descr': '<f4', 'fortran_order': False, 'shape': (6, -4), }"), r"\(6, -4\)"),
        (
            headed(b"{'descr': '<f4', 'fortran_order': False, 'shape': (6, 99999999999999), }"),
            r"i1.npy`: an array",
        ),
        (headed(b"{'descr': " + b"(" * 300), "i1.npy`: no numpy header"),
        (headed(b"{'descr': 'f3', 'fortran_order': False, 'shape': (2, 4), }"), "i1.npy`: no"),
        (headed(b"__import__('os').system('true')"), "i1.npy`: no numpy header: "),
        (b"", "i1.npy`: no numpy header"),
    ],
)
def test_what_does_not_fit_is_refused_by_plan(image: Any, message: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, i0=vectors(6), i1=image)
    with pytest.raises(InputError, match=message) as refused:
        planned(folder)
    assert "\n" not in str(refused.value)
    assert " at 0x" not in str(refused.value).replace("0x...", "")


def test_captions_and_pictures_are_of_one_dimension(tmp_path: Path) -> None:
    same = vectors(6)
    folder = folder_of(tmp_path, i0=same, i1=same, t0=same, t1=vectors(6, 5))
    with pytest.raises(InputError, match=r"t1.npy`: embeddings of 5 numbers, but .*i0.npy` has 4"):
        planned(folder, text_embeddings=f"{folder}/t*.npy")


@pytest.mark.parametrize("rows", [4, 5, 7])
def test_fewer_or_more_embeddings_than_rows_belong_to_others(tmp_path: Path, rows: int) -> None:
    folder = folder_of(tmp_path, i0=vectors(6), i1=vectors(rows))
    with pytest.raises(InputError, match=f"{rows} embeddings for the 6 rows of .* other rows"):
        planned(folder)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, i0=vectors(6), i1=vectors(6))
    (folder / "i1.npy").write_bytes((folder / "i1.npy").read_bytes()[:-4])
    with pytest.raises(InputError, match=r"i1.npy`: the array ends 4 bytes early"):
        run_here(planned(folder))


@pytest.mark.parametrize("rows", [5, 7])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_the_rows_of_a_table_in_text_are_counted_too(
    tmp_path: Path, ending: str, rows: int
) -> None:
    texts = [f"caption {number}" for number in range(6)]
    lines = ["text", *texts] if ending == "csv" else [f'{{"text": "{text}"}}' for text in texts]
    (tmp_path / f"a.{ending}").write_text("\n".join(lines))
    np.save(tmp_path / "a.npy", vectors(rows))
    entry = {"path": f"{tmp_path}/a.{ending}", "image_embeddings": f"{tmp_path}/a.npy"}
    steps = "- embed: {encoder: precomputed}\n- write"
    with pytest.raises(InputError, match=f"{rows} embeddings for the 6 rows of .* other rows"):
        run_here(make_plan(tmp_path / "run", "", steps, input=[entry]))
