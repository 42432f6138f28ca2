"""Samples that stand in a list, or in another set, are left out, or all others: a look-up in a sorted list.

The list is read once, by the task ``list``, and every task of the verdict reads its table; a list that is not to be
revealed leaves no table: then each of them reads the file itself. Nothing is exchanged, and a worker holds one part and
the list. Embeddings are compared by ``by_embedding``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.inputs.formats import PICTURE_COLUMNS, may_have_url
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.signals import origins
from tamis.pipeline.steps.exclude import by_embedding, entries, run_entries
from tamis.pipeline.steps.exclude.config import EXCLUDED, IMAGE_MD5, NOT_LISTED, On
from tamis.pipeline.steps.exclude.config import Exclude as Config
from tamis.pipeline.steps.exclude.entries import Listing
from tamis.pipeline.steps.exclude.lookups import Bounds, Keys, Lookup, Pictures
from tamis.pipeline.steps.exclude.run_entries import KeptPictures
from tamis.pipeline.steps.shared.over_embedding import embedding_named
from tamis.pipeline.steps.shared.pictures import check_pictures
from tamis.pipeline.steps.shared.vector_sets import VectorSet
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import scatter
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.parts import Part
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo, location
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.nearest import nearest

Ints = npt.NDArray[np.int64]

COLUMNS: dict[On, list[str]] = {
    "uid": ["uid"],
    "url": ["url"],
    "domain": ["url"],
    "sha256": ["sha256"],
    "md5": [],
    "phash": ["phash", "layout"],
    "embedding": [],
    "caption": ["text"],
    "signal": [],
}
"""What is compared -> its columns of the table of ingest."""

OPENED = ["pixels", *PICTURE_COLUMNS]
"""Columns that are needed too where pictures are opened."""


@dataclass(frozen=True, kw_only=True)
class Matching(Listing):
    """Arguments of ``decide``."""

    rule: str  # the list's name in the ledger
    signal: str | None
    bounds: Bounds | None  # of pictures
    all_but: bool
    redact: bool
    file: InputFile | None = location()  # of the part, where pictures are opened


class Exclude(Step):
    """``list``, the entries that samples are compared with, and ``verdict``; of embeddings ``values`` before it."""

    version = 3
    passing = ("list",)

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        self.embedding = ""
        if config.on == "embedding":
            self.embedding = embedding_named(job, config.embedding, config.name)

    def needs(self) -> Sequence[Product]:
        """The embedding or the column that is compared, if it is one."""
        signal = self.config.compared_signal
        of = [product.embedding(self.embedding)] if self.embedding else []
        return of if signal is None else [*of, product.signal(signal)]

    def makes(self) -> Mapping[Product, str]:
        """The distance from the nearest listed vector, unless nothing of the list may be stored."""
        revealed = self.embedding and self.config.reveal
        return {product.signal(self.name): "values"} if revealed else {}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """The list is there and begins with an entry, and the input has what is compared.

        Raises:
            InputError: the list is missing or empty, lacks the column, or holds something else.
            JobError: no input has URLs or pictures, the signal is no text or not named, or gaps would be left before
                other steps.
        """
        config = self.config
        self._check_settings()
        steps = self.job.steps
        names = [step.name for step in steps]
        for step in steps[names.index(self.name) + 1 :] if config.gaps else ():
            if not (step.is_last or step.leaves_gaps):
                raise JobError(
                    f"{self.name}: `gaps: true` is for a step right before `write`, and {step.name} comes after it: "
                    "move it there, or leave `gaps` out"
                )
        if config.on == "phash":
            check_pictures(self.name, inputs)
        if config.on in ("url", "domain") and inputs and not any(map(may_have_url, inputs)):
            raise JobError(
                f"{self.name}: compares URLs, and no input has a column of them: compare something else, with `on:`"
            )
        compared = config.compared_signal
        texts = origins.text_signals(steps, inputs) if compared else set()
        if compared == IMAGE_MD5 and compared not in texts:
            raise JobError(
                f"{self.name}: compares {IMAGE_MD5}, which no step makes: put `signals: [{IMAGE_MD5}]` before it, or "
                "name the column that has it with `signal:`"
            )
        if compared is not None and compared not in texts:
            known = nearest(compared, sorted(texts)) if texts else ""
            raise JobError(
                f"{self.name}: no signal of text `{compared}`{known}: numbers are bounded in a `rules` step"
            )
        if config.on == "embedding":
            self._listed()
        else:
            listing = self._listing("")
            entries.check_first(listing)
            if self._opens:
                KeptPictures(listing.path, listing.shown, listing.reveal).check()

    def _check_settings(self) -> None:
        """Settings that go with one another."""
        config = self.config
        if config.on == "signal" and config.signal is None:
            raise JobError(f"{self.name}: `signal` goes with `on: signal`: give both, or neither")
        if config.all_but and config.on == "embedding":
            raise JobError(
                f"{self.name}: `all_but` goes with lists of names, not with `on: embedding`: what lies near vectors is "
                "kept by `target: {measure: nearest}`"
            )

    @property
    def _opens(self) -> bool:
        """True if pictures are opened: a list that is no run has none."""
        return self.config.looks and run_entries.is_run(storage.absolute(self.config.path))

    def _listed(self) -> VectorSet:
        embed = next(step for step in self.job.embeds if step.makes_embedding == self.embedding)
        shown = f"{self.name}: {by_embedding.LISTED}"
        with entries.unnamed(self.config.path, shown, self.config.reveal):
            return by_embedding.listed_vectors(self.config, embed, self.job.seed)

    def _listing(self, sha256: str) -> Listing:
        config, path = self.config, storage.absolute(self.config.path)
        shown = f"{self.name}: the list"
        if config.reveal:
            shown += f" `{storage.redact(config.path)}`"
        column = config.column or config.compared_signal
        return Listing(
            sha256=sha256,
            on=config.on,
            column=column,
            shown=shown,
            reveal=config.reveal,
            path=path,
        )

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        config = self.config
        if config.on == "embedding":
            yield from by_embedding.phases(context, config, self.embedding, self._listed())
            return
        listing = self._listing("")
        with entries.unnamed(listing.path, listing.shown, listing.reveal):
            sha256 = entries.digest(listing.path, config.on)
        listing = replace(listing, sha256=sha256)
        yield listed("list", read_list, [Task.whole("list", {}, listing)])
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        compared = config.compared_signal
        if compared is not None:
            signal = context.signal(compared)
            inputs["signal"] = signal
        opens, most = self._opens, context.job.limits.max_pixels
        detail = config.detail if opens else None
        bounds = Bounds(config.within, config.difference, detail, most)
        matching = Matching(
            **vars(listing),
            rule=entries.rule_of(config, sha256),
            signal=compared,
            bounds=bounds if config.on == "phash" else None,
            all_but=config.all_but,
            redact=config.redact,
            file=None,
        )

        def in_file(part: Part) -> Matching:
            return replace(matching, file=context.inputs[part.file])

        shared = {"list": context.done(self.name, "list").whole()}
        each = in_file if opens else None
        tasks = EachPart(context.parts, inputs, matching, shared=shared, each=each, together=True)
        yield Phase(VERDICT, decide, tasks)


def read_list(io: TaskIo[Listing]) -> Iterator[pa.Table]:
    """The whole list, of schema KEYS or HASHES; without a row where it is not to be revealed. Notes its sha256."""
    io.notes["sha256"] = io.args.sha256
    table = entries.read(io.args)
    yield table if io.args.reveal else table.slice(0, 0)


def decide(io: TaskIo[Matching]) -> Iterator[pa.Table]:
    """The samples of a bundle that stand in the list, a table a part."""
    table = io.read("list") if io.args.reveal else entries.held(_as_listed(io.args))
    table = table.combine_chunks()
    lookup = lookup_of(io.args, table)
    for part in io.parts():
        yield _excluded(part, lookup, table)


def _as_listed(args: Matching) -> Listing:
    """The arguments of the phase ``list``."""
    return Listing(**{field.name: getattr(args, field.name) for field in fields(Listing)})


def lookup_of(args: Matching, table: pa.Table) -> Lookup:
    """A list as a search needs it."""
    if args.bounds is None:
        return Keys(table, args.on)
    opens = args.bounds.detail is not None
    kept = KeptPictures(args.path, args.shown, args.reveal) if opens else None
    return Pictures(table, args.bounds, kept)


def _excluded(io: TaskIo[Matching], lookup: Lookup, table: pa.Table) -> pa.Table:
    args = io.args
    rows = io.living_rows()
    found = lookup.find(_compared(io, rows), args.file)
    if args.all_but:
        others = np.delete(rows, found.row)
        return drops(io, others, NOT_LISTED, rule=[args.rule] * len(others))
    count = len(found.row)
    columns: dict[str, Any] = {"rule": [args.rule] * count}
    if args.reveal:
        columns["partner"] = table["uid"].take(pa.array(found.entry))
        columns["message"] = [None] * count if args.redact else found.said
    if args.reveal and args.bounds is not None and found.bits is not None:
        columns["value"] = columns["partner_value"] = found.bits.astype(np.float64)
        columns["bound"] = np.full(count, float(args.bounds.within))
    return drops(io, rows[found.row], EXCLUDED, **columns)


def _compared(io: TaskIo[Matching], rows: Ints) -> pa.Table:
    """The compared values of a part's rows."""
    if io.args.signal is None:
        opened = OPENED if io.args.file is not None else []
        table = io.read("ingest", [*COLUMNS[io.args.on], *opened])
    else:
        stored = scatter(io.read("signal", ["row", io.args.signal]), io.rows)
        table = stored.select([io.args.signal])
    return table.take(pa.array(rows)).combine_chunks()
