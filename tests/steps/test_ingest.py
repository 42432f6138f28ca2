"""Ingest through the walk: every sample has a uid of its own."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.schemas.errors import InputError
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar

WRITE = "  - write: {}"
UID = "0123456789abcdef0123456789abcdef"


def sample(key: str, **fields: str) -> Sample:
    """A pair whose json says what is given."""
    return Sample(key, picture(int(key)), f"caption {key}", fields)


def test_the_inputs_own_uid_is_taken(tmp_path: Path) -> None:
    write_tar(tmp_path / "in" / "0.tar", [sample("1", uid=UID), sample("2")])
    run_here(make_plan(tmp_path / "run", tmp_path / "in" / "*.tar", WRITE))
    rows = ledger(tmp_path / "run")
    assert rows[0]["uid"] == UID != rows[1]["uid"]


@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_an_input_without_samples_is_an_error_that_says_so(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"0.{kind}"
    if kind == "tar":
        path.write_bytes(bytes(10_240))
    else:
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    with pytest.raises(InputError, match="the input has no samples: no file has a row: "):
        run_here(make_plan(tmp_path / "run", path, WRITE))
