"""What names a sample, and what a story waits for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.audit.story.story import is_uid


def test_a_uid_is_32_hex_digits() -> None:
    assert is_uid("0123456789abcdef0123456789ABCDEF")
    assert not is_uid("0123456789abcdef0123456789ABCDEG")
    assert not is_uid("0123456789abcdef")


def test_a_place_in_a_concept_is_told_without_pandas(embedded: Any) -> None:
    """Arrow imports it for most ways to an array, and it takes longer than all else that the command does."""
    root = embedded()
    rows = pa.concat_tables([pq.read_table(path) for path in (root / "ledger").glob("*.parquet")])
    dropped = dict(zip(rows["step"].to_pylist(), rows["key"].to_pylist(), strict=True))
    code = (
        "import sys; from tamis.jobs.cli import main\n"
        "for key in sys.argv[2:]:\n"
        "    try: main(['explain', sys.argv[1], key])\n"
        "    except SystemExit as ended: assert not ended.code, ended\n"
        "print(sorted({'duckdb', 'pandas', 'torch'} & set(sys.modules)))"
    )
    asked = [dropped["density"], dropped["semantic_duplicates"]]
    command = [sys.executable, "-c", code, str(root), *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "density" in done.stdout
