"""The benchmarks of choosing for a purpose: their works run, and their targets are no test pairs."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.benchmarks import for_target, purpose
from tests.support.running import Sample, picture, write_tar


@pytest.mark.parametrize("name", sorted(purpose.works(purpose.Rows())))
def test_a_work_answers_for_each_row(name: str) -> None:
    make, share = purpose.works(purpose.Rows())[name]
    found = make()(0)
    first = found[0] if isinstance(found, tuple) else found
    assert len(first) == purpose.PART  # type: ignore[arg-type]  # arrays all
    assert 0 < share <= 1


def test_quotas_are_those_that_were_asked_for() -> None:
    seconds, _ = purpose.groups(50_000)
    assert seconds > 0


def keys(path: str) -> list[str]:
    with tarfile.open(path.split("path: ")[1].rstrip("}")) as tar:
        return sorted({name.partition(".")[0] for name in tar.getnames()})


def test_a_set_of_pictures_is_divided_once(tmp_path: Path) -> None:
    samples = [Sample(f"k{n:02d}", picture(n), f"words {n}", {}) for n in range(30)]
    write_tar(tmp_path / "icons/held/birds.tar", samples)
    pairs = for_target.Pictures("x.tar", tmp_path / "icons")
    known, tested = pairs.drawn("birds", tmp_path, 10, 15)
    assert (len(keys(known)), len(keys(tested))) == (10, 15)
    assert not {*keys(known)} & {*keys(tested)}
    before = (tmp_path / "known.tar").stat().st_mtime_ns
    assert pairs.drawn("birds", tmp_path, 10, 15) == (known, tested)
    assert (tmp_path / "known.tar").stat().st_mtime_ns == before


def test_pairs_with_vectors_keep_them(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    names = ["twemoji"] * 12 + ["mine"] * 8
    columns = {"key": [f"k{n}" for n in range(20)], "text": [f"t{n}" for n in range(20)]}
    pq.write_table(pa.table({**columns, "set": names}), tmp_path / "in/pairs.parquet")
    for side in ("image", "text"):
        np.save(tmp_path / f"in/{side}.npy", np.arange(20, dtype=np.float16)[:, None])
    pairs = for_target.Vectors(tmp_path / "in", tmp_path / "out")
    pairs.drawn("twemoji", tmp_path / "out", 5, 4)
    rows = {}
    for name in ("pool", "known-in", "tested-in"):
        table = pq.read_table(tmp_path / f"out/{name}/pairs.parquet")
        rows[name] = [int(key[1:]) for key in table["key"].to_pylist()]
        assert np.load(tmp_path / f"out/{name}/text.npy").ravel().tolist() == rows[name]
    assert rows["pool"] == list(range(12, 20))
    assert (len(rows["known-in"]), len(rows["tested-in"])) == (5, 4)
    assert not {*rows["known-in"]} & {*rows["tested-in"]}
