"""tamis as a library: open a finished run, and ask it what the command line answers.

What needs a table is imported when it is asked for.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from tamis.jobs.library.arguments import (
    Settings,
    check_among,
    check_names,
    checked,
    path_of,
    settings,
)
from tamis.schemas.errors import InputError, StateError
from tamis.schemas.layout import SUBSET
from tamis.schemas.nearest import nearest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from tamis.jobs.library.search import SearchOptions
    from tamis.pipeline.audit.again.whatif import Change
    from tamis.pipeline.audit.compare.diff import Difference
    from tamis.pipeline.audit.reading.finished_run import FinishedRun
    from tamis.schemas.budget import Budget
    from tamis.schemas.job import Job


class Run:
    """A finished run. ``path`` is its directory."""

    def __init__(self, path: str) -> None:
        """Open the run in ``path``, a directory or an fsspec URL.

        Raises:
            StateError: there is none, or it is not finished.
        """
        from tamis.pipeline.audit.reading.finished_run import open_run
        from tamis.pipeline.store import finished, storage

        self._watched = finished.Watched(storage.absolute(path))
        self._run: FinishedRun = open_run(path)
        self.path = path

    @property
    def kept(self) -> int:
        """Count of samples in the result."""
        return self._run.manifest.kept

    @property
    def total(self) -> int:
        """Count of samples of the input."""
        return self._run.manifest.rows_in

    def __len__(self) -> int:
        return self.kept

    def __repr__(self) -> str:
        return f"Run({self.path!r}: {self.kept:,} of {self.total:,} kept)"

    def _repr_html_(self) -> str:
        """The funnel, as a notebook shows it."""
        title = html.escape(f"{self.path}: {self.kept:,} of {self.total:,} samples kept")
        return f"<p><b>{title}</b></p>{self.funnel().to_html()}"

    @cached_property
    def job(self) -> Job:
        """The job that was run, every setting at its value."""
        from tamis.pipeline.audit.again.frozen_job import job_of

        return job_of(self._run)

    def funnel(self) -> pd.DataFrame:
        """A row for each step that decided, by name: entered, dropped, kept, and the dropped by reason."""
        import pandas as pd

        from tamis.pipeline.audit.reading.funnel import funnel

        rows = [
            {
                "step": step.step,
                "entered": step.entered,
                "dropped": sum(step.dropped.values()),
                "kept": step.kept,
                "reasons": dict(step.dropped),
            }
            for step in funnel(self._run).steps
        ]
        return pd.DataFrame(rows).set_index("step")

    def ledger(self, columns: Sequence[str] | None = None) -> pa.Table:
        """A row for each input sample, kept or dropped, by what and why. All of it is held in memory.

        Args:
            columns: the ledger's, such as ``["uid", "kept", "reason"]``; all by default.

        Raises:
            InputError: it has no such column.
            StateError: a file of it is damaged.
        """
        return self._tables("ledger/", columns)

    def subset(self, columns: Sequence[str] | None = None) -> pa.Table:
        """A row for each kept sample, with the input's columns and the signals: ``shards/*.parquet``, in order.

        Raises:
            InputError: they have no such column.
            StateError: there are none, or one is damaged.
        """
        return self._tables("shards/", columns)

    def _tables(self, folder: str, columns: Sequence[str] | None) -> pa.Table:
        import pyarrow as pa

        from tamis.pipeline.audit.reading.finished_run import sound
        from tamis.pipeline.store import storage
        from tamis.pipeline.store.parquet import ParquetFile

        check_names(columns)
        tables = []
        for output in self._run.files.outputs:
            if output.path.startswith(folder) and output.path.endswith(".parquet"):
                whole = storage.join(self._run.root, output.path)
                with sound(whole), storage.open_table(whole) as raw:
                    file = ParquetFile(raw)
                    known = file.schema_arrow.names
                    lacking = [name for name in columns or () if name not in known]
                    if not lacking:
                        tables.append(file.read(columns))
                if lacking:
                    raise InputError(
                        f"{self.path}: {folder}*.parquet has no column `{lacking[0]}`{nearest(lacking[0], known)}"
                    )
        self._watched.check()
        if not tables:
            raise StateError(f"{self.path}: has no {folder}*.parquet: its job has no step `write`")
        return pa.concat_tables(tables)

    def uids(self) -> list[str]:
        """The uids of the kept samples, 32 hex digits each, sorted, as `subset.npy` holds them."""
        from tamis.pipeline.store import numpy_arrays, storage

        try:
            halves = numpy_arrays.load_array(
                storage.read_bytes(storage.join(self._run.root, SUBSET))
            )
        except (FileNotFoundError, ValueError) as error:
            raise StateError(
                f"{self.path}: {SUBSET} cannot be read ({error}): `tamis run` with its job.yaml mends it"
            ) from None
        self._watched.check()
        return [f"{high:016x}{low:016x}" for high, low in halves.tolist()]

    def explain(self, sample: str) -> dict[str, Any]:
        """The whole story of a sample, by uid, key or URL: its data, its values at each step, why it stayed or went.

        Raises:
            StateError: no sample has that name.
        """
        from tamis.pipeline.audit.story.story import stories

        count, told = stories(self._run, checked(sample, str, "sample", "a uid, key or URL"), 1)
        if not count:
            raise StateError(f"{sample}: no sample of {self.path} has this uid, key or URL")
        return dict(told[0])

    def whatif(self, set: Settings, count: int = 20) -> Change:  # noqa: A002 - as on the command line
        """The samples that other settings would keep or drop, from the stored values; ``count`` of them are named.

        Raises:
            JobError: a setting that does not fit the job.
            StateError: something was never scored.
        """
        from tamis.pipeline.audit.again.whatif import whatif

        return whatif(self._run, settings(set), checked(count, int, "count", "a whole number"))

    def materialize(self, output: str | Path, set: Settings) -> Run:  # noqa: A002 - as on the command line
        """The run of the subset that ``whatif`` shows, written into ``output``."""
        from tamis.pipeline.audit.again.materialize import planned
        from tamis.pipeline.planning.where import is_small
        from tamis.pipeline.runs import walk

        folder = path_of(output, "output")
        made = planned(self._run, settings(set), folder)
        walk.run(made, base=self._run.root, local=is_small(made.job, self.total))
        return Run(folder)

    def diff(self, other: Run | str | Path, count: int = 20) -> Difference:
        """The differences of two runs: settings, inputs, and samples that only one of them keeps.

        Args:
            other: a run, or the directory of one.
            count: samples that are named.

        Raises:
            StateError: ``other`` is no finished run.
        """
        from tamis.pipeline.audit.compare.diff import diff

        if not isinstance(other, Run):
            return self.diff(open_run(other), count)
        checked(count, int, "count", "a whole number")
        return diff(self._run, other._run, count)  # noqa: SLF001 - of another of its class

    def budget(
        self,
        seen: float,
        set: Settings | None = None,  # noqa: A002 - likewise
        law: str | None = None,
    ) -> Budget:
        """The passes of ``seen`` samples of training over what is kept, and over each pool of a law: `tamis budget`."""
        from tamis.pipeline.audit.again.budget import budget, read_law

        checked(seen, (int, float), "seen", "a number of samples")
        return budget(self._run, seen, settings(set or {}), read_law(law) if law else None)

    def sql(self, query: str) -> pd.DataFrame:
        """The answer to a query over the ledger and the tables of the run, in DuckDB's SQL.

        Raises:
            InputError: it is no query, or DuckDB refuses it.
        """
        import pandas as pd

        from tamis.pipeline.audit.reading import sql, sql_tables

        checked(query, str, "query", "a query in SQL")
        connection = sql.connect(self._run)
        sql.confine(connection, self._run)
        names, rows = sql_tables.answer(self._run, connection, query)
        return pd.DataFrame(rows, columns=names)

    def search(self, text: str | None = None, **options: Unpack[SearchOptions]) -> pd.DataFrame:
        """The samples nearest to a text, a picture, a sample or a vector, with their ``cosine``: as `tamis search`.

        ``attrs`` of the table says how many vectors were ``searched``, ``of`` how many; with ``above`` also how many
        samples have that cosine.

        Args:
            text: words, for the run's own encoder.
            options: what else is sought, and which samples count: ``tamis.jobs.library.search.SearchOptions``.

        Raises:
            TamisError: the run has no embeddings, or the query cannot be encoded.
            TypeError: no option has such a name.
        """
        from tamis.jobs.library import search as searches

        return searches.table(self._run, searches.request(text, options))

    def search_as(
        self, output: str | Path, text: str | None = None, **options: Unpack[SearchOptions]
    ) -> Run:
        """What ``search`` finds, the ``n`` nearest or all ``above``, written as a run of its own into ``output``.

        Raises:
            TamisError: as ``search``; an option that no job can say, as ``where``; or the inputs have changed, or
                ``output`` holds another run.
            TypeError: as ``search``.
        """
        from tamis.jobs.library import search as searches

        folder = path_of(output, "output")
        searches.write(self._run, searches.request(text, options), folder)
        return Run(folder)

    def export(
        self,
        layout: str,
        output: str | Path,
        among: Literal["kept", "all"] = "kept",
        embedding: str | None = None,
    ) -> list[str]:
        """Write embeddings and metadata in a layout that others read, as `tamis export`; the paths of its files.

        Raises:
            TamisError: no such layout, no embeddings, or a folder that is not empty.
        """
        from tamis.pipeline.audit.export.export import export

        check_among(among)
        checked(layout, str, "layout", "its name")
        done = export(self._run, layout, path_of(output, "output"), among, embedding)
        return [f"{done.folder}/{name}" for name in done.files]

    def embeddings(
        self, among: Literal["kept", "all"] = "kept", embedding: str | None = None
    ) -> pa.Table:
        """``uid``, ``image`` and ``text``, lists of float16: a row a sample with a vector, in the ledger's order.

        All of it is held in memory; ``export`` writes it to files. ``text`` is there where captions are embedded.

        Args:
            among: the kept samples, or all.
            embedding: its name, where the job has several.

        Raises:
            TamisError: the run has no embeddings, or several and no name.
        """
        from tamis.pipeline.audit.export.rows import Rows
        from tamis.pipeline.audit.search.stored import Embedding

        check_among(among)
        return Rows(self._run, among, Embedding(self._run, embedding)).lists()

    def to_huggingface(self) -> Any:
        """The kept pairs as a ``datasets.Dataset``, from the shards; of metadata, or pictures in parquet, the subset.

        Raises:
            StateError: the package `datasets` is not installed.
        """
        from tamis.pipeline.results.load import shards

        try:
            import datasets
        except ImportError:
            raise StateError("to_huggingface needs the package: pip install datasets") from None
        if not any(output.path.endswith(".tar") for output in self._run.files.outputs):
            return datasets.Dataset(self.subset())
        files = {"train": shards(self._run.root)}
        return datasets.load_dataset("webdataset", data_files=files, split="train")

    def to_webdataset(self, shuffle: int = 0, seed: int = 0, tier: str | None = None) -> Any:
        """The kept pairs, or those of one tier, as a webdataset pipeline: see ``tamis.load``."""
        from tamis.pipeline.results.load import load

        return load(self._run.root, shuffle, seed, tier)


def open_run(path: str | Path) -> Run:
    """Open a finished run.

    Raises:
        StateError: there is none, or it is not finished.
        TypeError: it is no path.
    """
    return Run(path_of(path, "path"))
