"""Suggested bounds of a signal: what they keep is counted, and is about what was wanted."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tamis.pipeline.audit.reading.distributions import SHARES, suggestions


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def ledger(connection: duckdb.DuckDBPyConnection, values: list[float | None]) -> None:
    table = pa.table({"signal": pa.array(values), "kept": [True] * len(values)})
    connection.register("ledger", table)


@pytest.mark.parametrize("side", ["min", "max"])
@pytest.mark.parametrize("outlier", [1.0, 1e5])
def test_each_suggestion_keeps_about_its_share(
    connection: duckdb.DuckDBPyConnection, side: str, outlier: float
) -> None:
    values = np.random.default_rng(0).normal(0.2, 0.05, 5_000)
    values[0] *= outlier
    ledger(connection, [*values.tolist(), None])
    found = suggestions(connection, "signal", False, side, 0.28)
    assert found is not None
    bound, others = found

    def share(at: float) -> float:
        return float((values >= at if side == "min" else values <= at).mean())

    assert bound.share == pytest.approx(share(0.28))
    assert [one.share for one in others] == pytest.approx([share(one.bound) for one in others])
    assert [one.share for one in others] == pytest.approx(SHARES, abs=0.02)


def test_bounds_of_whole_numbers_are_whole(connection: duckdb.DuckDBPyConnection) -> None:
    ledger(connection, [float(i % 7) for i in range(700)])
    found = suggestions(connection, "signal", True, "min", 2)
    assert found is not None
    assert found[0].share == pytest.approx(5 / 7)
    assert {one.bound for one in found[1]} <= set(range(7))


def test_a_signal_without_values_or_of_one_has_no_suggestion_but_itself(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    ledger(connection, [None, None])
    assert suggestions(connection, "signal", False, "min", 1) is None
    ledger(connection, [3.0, 3.0])
    found = suggestions(connection, "signal", False, "min", 1)
    assert found is not None
    assert found[0].share == 1
    assert [one.bound for one in found[1]] == [3.0]
