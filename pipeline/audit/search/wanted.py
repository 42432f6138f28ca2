"""The samples that a search is about: kept, dropped or all, and those that meet a condition on the ledger's columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.arrays import BoolArray, Int64Array
from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.steps.shared.audit import Row
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.schemas.errors import InputError
from tamis.schemas.scope import Scope

if TYPE_CHECKING:
    import duckdb

Among = Literal["kept", "dropped", "all"]

FATES: dict[Among, str] = {"kept": "kept", "dropped": "NOT kept", "all": "true"}
"""Conditions on the ledger's rows."""


class Wanted:
    """The samples that are kept, dropped or either, and meet ``where``, a condition in SQL; read from the ledger.

    The ledger is read a bundle at a time, so that memory does not grow with it.
    """

    def __init__(
        self,
        run: FinishedRun,
        among: Among,
        where: str | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """``values``: of the parameters in ``where``, by name.

        Raises:
            InputError: DuckDB refuses the condition.
        """
        self._run, self.among, self.where, self._values = run, among, where, dict(values or {})
        self._condition = FATES[among] if where is None else f"{FATES[among]} AND ({where}\n)"
        self._opened: duckdb.DuckDBPyConnection | None = None
        if where is not None:
            self._check(where)

    @property
    def is_everything(self) -> bool:
        """Whether every sample is wanted."""
        return self.among == "all" and self.where is None

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._opened is None:
            self._opened = sql.connect(self._run, tables=False)
            sql.confine(self._opened, self._run)
        return self._opened

    def _check(self, where: str) -> None:
        import duckdb

        query = f"SELECT sid FROM ledger WHERE {self._condition} LIMIT 0"
        if not where.strip():
            raise InputError("--where is empty: write a condition, or leave it out")
        try:
            duckdb.SQLExpression(where)  # one by itself, whatever stands around it
            self._connection.execute(query, self._values)
        except (duckdb.Error, TypeError) as error:  # a TypeError: it is no text in UTF-8
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> InputError:
        return InputError(f"--where: {' '.join(str(error).split())}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Context in which the ledger is read; what a condition does to its values is no damage of the run."""
        import duckdb

        try:
            yield
        except duckdb.IOException as error:
            raise sql.unreadable(error, self._run) from None
        except duckdb.Error as error:
            raise (
                sql.unreadable(error, self._run) if self.where is None else self._refused(error)
            ) from None

    def of_bundle(self, number: int) -> Int64Array | None:
        """The sids of a bundle's parts that are wanted, ascending; None for all."""
        if self.is_everything:
            return None
        name = f"{paths.task_name(Scope.BUNDLE, number)}.parquet"
        file = sql.reading([storage.join(self._run.root, paths.LEDGER, name)])
        with self._reading():
            asked = f"SELECT sid FROM {file} WHERE {self._condition}"
            found = self._connection.execute(asked, self._values)
            return np.sort(np.asarray(found.fetchnumpy()["sid"], np.int64))

    def uids(self) -> Iterator[list[str]]:
        """The uids of the samples that are wanted, a list for each bundle of parts, in the order of the ledger."""
        for name in self._run.outputs("ledger"):
            file = sql.reading([storage.join(self._run.root, name)])
            asked = f"SELECT uid FROM {file} WHERE {self._condition} ORDER BY sid"
            with self._reading():
                found = self._connection.execute(asked, self._values).fetchall()
            yield [uid for (uid,) in found]

    def are(self, sids: Int64Array) -> BoolArray:
        """Whether each of some samples, (n,), is wanted: one reading of the ledger's columns."""
        if self.is_everything:
            return np.ones(len(sids), bool)
        connection = self._connection
        connection.register("found", pa.table({"sid": sids}))
        with self._reading():
            asked = f"SELECT sid FROM found JOIN ledger USING (sid) WHERE {self._condition}"
            wanted = connection.execute(asked, self._values).fetchnumpy()["sid"]
        connection.unregister("found")
        return np.isin(sids, wanted)

    def has_fate(self, row: Row) -> bool:
        """Whether the sample of a ledger row is kept, dropped or either, as asked; ``where`` is not looked at."""
        return self.among == "all" or row["kept"] == (self.among == "kept")

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._opened is not None:
            self._opened.close()
