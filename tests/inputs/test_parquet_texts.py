"""Text of parquet that is none, or has no bound: no run ends by it, and nothing is written that others cannot read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.inputs.parquet.texts import MAX_BYTES, bounded, repaired
from tests.support.running import ledger, make_plan, run_here

BYTES = st.lists(
    st.none() | st.binary(max_size=9) | st.text(max_size=5).map(str.encode), min_size=1
)


def stored(values: list[bytes | None], kind: pa.DataType) -> pa.Array:
    """Bytes as an array of strings, as a writer that checks nothing would."""
    wide = kind == pa.large_string()
    raw = pa.array(values, pa.large_binary() if wide else pa.binary())
    return pa.Array.from_buffers(kind, len(raw), raw.buffers(), raw.null_count)


def text(value: bytes | None, errors: str) -> str | None:
    try:
        return None if value is None else value.decode(errors=errors)
    except UnicodeDecodeError:
        return None


@given(BYTES, st.sampled_from([pa.string(), pa.large_string()]), st.booleans())
def test_each_text_is_its_own(values: list[bytes | None], kind: pa.DataType, coded: bool) -> None:
    array = stored(values, kind)
    if coded:
        codes = pa.array([*range(len(values))][::-1], pa.int32())
        array, values = pa.DictionaryArray.from_arrays(codes, array), values[::-1]
    column = pa.chunked_array([array, array.slice(1)])
    made = repaired(column)
    assert made.type == column.type
    made.validate(full=True)
    assert made.to_pylist() == [text(one, "replace") for one in [*values, *values[1:]]]
    if not coded:
        assert bounded(column).to_pylist() == [
            text(one, "strict") for one in [*values, *values[1:]]
        ]


@given(BYTES)
def test_text_inside_other_values(values: list[bytes | None]) -> None:
    array = pa.StructArray.from_arrays([stored(values, pa.string())], ["a"])
    found = repaired(pa.chunked_array([array])).to_pylist()
    for value, one in zip(values, found, strict=True):
        bad = value is not None and text(value, "strict") is None
        assert one == (None if bad else {"a": text(value, "strict")})


@pytest.mark.parametrize("size", [MAX_BYTES, MAX_BYTES + 1])
def test_a_signal_of_text_has_a_bound(size: int) -> None:
    found = bounded(pa.chunked_array([["x" * size, "y"]]))
    assert found.to_pylist() == ["x" * size if size <= MAX_BYTES else None, "y"]
    assert size > MAX_BYTES or found.nbytes > size
    assert size <= MAX_BYTES or found.nbytes < 1000


def test_a_run_over_text_that_is_none(tmp_path: Path) -> None:
    values = [b"good", b"\xff\xfe", b"good", None, b"caf\xe9", b"good"]
    table = pa.table({
        "uid": [f"{i:032x}" for i in range(6)],
        "text": [f"caption {i}" for i in range(6)],
        "label": stored(values, pa.string()),
        "other": stored(values, pa.string()).dictionary_encode(),
        "inside": pa.StructArray.from_arrays([stored(values, pa.string())], ["a"]),
    })  # fmt: skip
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in/0.parquet")
    steps = "- signals: [label]\n- rules: {label: {in: [good], missing: keep}}\n- write"
    run_here(make_plan(tmp_path / "run", f"{tmp_path}/in/*.parquet", steps))
    assert [row["label"] for row in ledger(tmp_path / "run")] == [
        "good", None, "good", None, None, "good",
    ]  # fmt: skip
    assert report(open_run(str(tmp_path / "run")))
    sidecar = pq.read_table(tmp_path / "run/shards/00000.parquet")
    sidecar.validate(full=True)
    columns = {name: sidecar[name].to_pylist() for name in sidecar.column_names}
    assert columns["other"] == ["good", "\ufffd\ufffd", "good", None, "caf\ufffd", "good"]
    assert columns["inside"][1] is None
