"""Recounts and rehashes a finished run against its manifest, its plan and its inputs: what does not hold is a fault.

Nothing of the result is taken on trust that can be computed from its files. Files are read a block at a time, the
ledger a part at a time. Of the tables between the steps, and of embeddings that came with the input, which may be
as large as all else together, only sizes and footers are looked at unless it is to be ``deep``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.funnel import funnel
from tamis.pipeline.audit.verify import embedding_files
from tamis.pipeline.audit.verify.recount import Recount
from tamis.pipeline.inputs.input_files import prefix_of
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import CONTENT, require_content
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks import phase_index
from tamis.schemas.errors import InputError, JobError, StateError
from tamis.schemas.job import Job
from tamis.schemas.manifest import Input, Output
from tamis.schemas.parse import parse_job

BLOCK = 1 << 20
"""Bytes that are hashed at a time."""

RESULTS = ("ledger", "ledger_index", "shards", "subsets")
"""Folders that hold nothing but files of the result."""


@dataclass(frozen=True)
class Fault:
    """Something that does not hold: where, and what."""

    path: str
    what: str


@dataclass
class Seen:
    """What a verification has looked at; ``notes`` say what it could not look at."""

    outputs: int = 0
    inputs: int = 0
    embeddings: int = 0  # that came with the input
    tables: int = 0
    bytes: int = 0
    rows: int = 0
    notes: list[str] = field(default_factory=list)


def verify(run: FinishedRun, seen: Seen, deep: bool = False) -> Iterator[Fault]:
    """Every fault of a run, as it is found; ``deep``: the tables between the steps are read whole too, and
    embeddings that came with the input are compared with what is stored of them.
    """
    yield from _account(run)
    yield from _outputs(run, seen)
    yield from _inputs(run, seen, deep)
    yield from _tables(run, seen, deep)
    with closing(Recount(run)) as recount:
        for path, what in recount.faults():
            yield Fault(path, what)
        seen.rows = recount.rows


def _account(run: FinishedRun) -> Iterator[Fault]:
    """The manifest in itself, and against ``plan.json``."""
    try:
        funnel(run)
    except StateError as error:
        yield Fault("manifest.json", str(error))
    try:
        parts, sources = run.parts, [file.source for file in run.inputs]
    except StateError:
        there = storage.exists(storage.join(run.root, "plan.json"))
        yield Fault("plan.json", "is damaged" if there else "is missing")
        return
    except (OSError, ValueError, KeyError) as error:
        yield Fault("plan.json", f"cannot be read: {error}")
        return
    if sources != [record.source for record in run.manifest.inputs]:
        yield Fault("plan.json", "lists other inputs than manifest.json")
        return
    rows = [0] * len(sources)
    for file, _, count in parts:
        rows[file] += count
    for record, count in zip(run.manifest.inputs, rows, strict=True):
        if record.rows != count:
            yield Fault(
                "plan.json",
                f"{record.source}: its parts have {count:,} rows, manifest.json says {record.rows:,}",
            )
    if sum(rows) != run.manifest.rows_in:
        yield Fault(
            "plan.json", f"{sum(rows):,} rows in all, manifest.json says {run.manifest.rows_in:,}"
        )


def _outputs(run: FinishedRun, seen: Seen) -> Iterator[Fault]:
    """Each file of the result: there, as long, with that hash and that many rows; and no other."""
    outputs = run.manifest.outputs
    places = [storage.join(run.root, record.path) for record in outputs]
    for record, path, (what, size) in zip(
        outputs, places, _differences(zip(places, outputs, strict=True)), strict=True
    ):
        seen.outputs += 1
        seen.bytes += size
        whole = what is None and record.path.endswith(".parquet")
        fault = _rows_differ(path, record.rows) if whole else what
        if fault is not None:
            yield Fault(record.path, fault)
    listed = {record.path for record in run.manifest.outputs}
    for folder in RESULTS:
        for name in storage.listing(storage.join(run.root, folder)):
            if f"{folder}/{name}" not in listed:
                yield Fault(f"{folder}/{name}", "is not in manifest.json")


Hashed = tuple[str | None, int]
"""What of a file is not as recorded, None where all is; and the bytes that were hashed."""


def _differences(files: Iterable[tuple[str, Output | Input]]) -> Iterator[Hashed]:
    """Of each (path, record), in order; on all processors: hashing lets others work."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(lambda file: _difference(*file), files)


def _difference(path: str, record: Output | Input) -> Hashed:
    try:
        size = storage.stat(path).size
        if size != record.bytes:
            return f"has {size:,} bytes, manifest.json says {record.bytes:,}", 0
        digest = hashlib.sha256()
        with storage.open_read(path) as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except (InputError, FileNotFoundError):
        return "is missing", 0
    if digest.hexdigest() != record.sha256:
        return f"has sha256 {digest.hexdigest()}, manifest.json says {record.sha256}", size
    return None, size


def _rows_differ(path: str, rows: int) -> str | None:
    try:
        with storage.open_table(path) as raw:
            found = pq.read_metadata(raw).num_rows
    except CONTENT as error:
        require_content(error, path)
        return f"cannot be read: {error}"
    return None if found == rows else f"has {found:,} rows, manifest.json says {rows:,}"


def _inputs(run: FinishedRun, seen: Seen, deep: bool) -> Iterator[Fault]:
    """Each input that is still where the job says: as long, and with that hash; and its embeddings."""
    path = storage.join(run.root, "job.yaml")
    if not storage.exists(path):
        seen.notes.append(
            "the inputs were not looked at: job.yaml, which says where they are, is missing"
        )
        return
    try:
        job = parse_job(storage.read_bytes(path).decode(), path)
    except (UnicodeDecodeError, JobError) as error:
        yield Fault("job.yaml", f"cannot be read, and so the inputs were not looked at: {error}")
        return
    missing: list[str] = []
    there: list[tuple[str, Input]] = []
    for record in run.manifest.inputs:
        place = _place(job, record.source)
        if place is None or not storage.exists(place):
            missing.append(record.source)
        else:
            there.append((place, record))
    for (_, record), (what, size) in zip(there, _differences(there), strict=True):
        seen.inputs += 1
        seen.bytes += size
        if what is not None:
            yield Fault(record.source, f"{what}: the input has changed since")
    if missing:
        seen.notes.append(
            f"{len(missing):,} of {len(run.manifest.inputs):,} inputs are no longer where job.yaml says and were "
            f"not looked at: {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}"
        )
    yield from _embeddings(run, job, seen, deep)


def _embeddings(run: FinishedRun, job: Job, seen: Seen, deep: bool) -> Iterator[Fault]:
    """Embeddings that came with the input: as long as they were, and ``deep`` with the rows that are stored."""
    if not run.manifest.embeddings:
        if any(embed.takes_embeddings for embed in job.embeds):
            seen.notes.append(
                "embeddings that came with the input were not looked at: manifest.json, which an earlier version "
                "wrote, does not list them"
            )
        return
    now = embedding_files.files_now(job)
    for record in run.manifest.embeddings:
        seen.embeddings += embedding_files.address_of(now.get(record.source), record.of) is not None
    gone = len(run.manifest.embeddings) - seen.embeddings
    if gone:
        seen.notes.append(
            f"{gone:,} of {len(run.manifest.embeddings):,} embeddings that came with the input are no longer where "
            "job.yaml says and were not looked at"
        )
    wrong = False
    for path, what in embedding_files.wrong_sizes(run, now):
        wrong = True
        yield Fault(path, what)
    if deep and not wrong:  # what has another size has other rows: once is enough
        for path, what in embedding_files.other_rows(run, now):
            yield Fault(path, what)


def _place(job: Job, source: str) -> str | None:
    """Where an input file should lie."""
    entry, _, relative = source.partition("/")
    for known in job.input:
        if known.name == entry:
            return storage.join(prefix_of(known.path), relative)
    return None


def _tables(run: FinishedRun, seen: Seen, deep: bool) -> Iterator[Fault]:
    """Each part file below ``tables/``: indexed, whole, and ours; and receipts say what the manifest says."""
    top = storage.join(run.root, paths.TABLES)
    steps = storage.folders_in(top)
    if not steps:
        seen.notes.append("the tables were not looked at: tables/ has been cleared")
    outputs = {record.path: record.model_dump() for record in run.manifest.outputs}
    for step in steps:
        for phase in storage.folders_in(storage.join(top, step)):
            yield from _phase(run, paths.folder(step, phase), outputs, seen, deep)


def _phase(
    run: FinishedRun,
    folder: str,
    outputs: dict[str, dict[str, object]],
    seen: Seen,
    deep: bool,
) -> Iterator[Fault]:
    path = storage.join(run.root, folder)
    sizes = storage.listing(path)
    index = phase_index.read_index(path) if phase_index.INDEX in sizes else {"": None}
    if None in index.values():
        yield Fault(f"{folder}/{phase_index.INDEX}", "is missing or damaged")
    known = {f"{name}.parquet": file for name, file in index.items() if file is not None}
    for name in sorted({*known, *sizes} - {phase_index.INDEX}):
        record = known.get(name)
        if record is None:
            yield Fault(f"{folder}/{name}", "is not in its phase's index")
            continue
        what = _table_differs(run.root, record, sizes.get(name), deep)
        seen.tables += 1
        if what is not None:
            yield Fault(f"{folder}/{name}", what)
        for made in record.notes.get("outputs", ()):
            if outputs.get(made["path"]) != made:
                yield Fault(
                    made["path"], f"manifest.json and {folder}/{name} say different things of it"
                )


def _table_differs(root: str, record: TableFile, size: int | None, deep: bool) -> str | None:
    if size is None:
        return "is missing"
    if size != record.bytes:
        return f"has {size:,} bytes, its phase's index says {record.bytes:,}"
    if part_files.inspect(root, record.path, size) != record:
        return "its footer is not what was written"
    if deep and not part_files.is_sound(root, record):
        return "its rows are not what was written"
    return None
