"""Verification of a finished run: recount and rehash it, and compare with its manifest, its plan and its inputs.

Everything that follows from the result's files is computed from them anew. Files are read a block at a time, the
ledger a part at a time. Tables between the steps, and embeddings that came with the input, may be as large as all
other files together: only their sizes and footers are read, unless the check is ``deep``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace

import pyarrow.parquet as pq

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.funnel import funnel
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.audit.verify import embedding_files, vectors
from tamis.pipeline.audit.verify.recount import Recount
from tamis.pipeline.inputs.entries import reading_of
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.input_files import InputFile, prefix_of
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import CONTENT, require_content
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks import phase_index, plan_files
from tamis.pipeline.tasks.phase_index import PhaseFiles
from tamis.pipeline.tasks.sources import INDEX
from tamis.pipeline.tasks.stored_job import read_job
from tamis.schemas.errors import InputError, StateError, TamisError
from tamis.schemas.job import Job
from tamis.schemas.layout import JOB, MANIFEST, PLAN, PLAN_TABLE
from tamis.schemas.manifest import Input, Output

BLOCK = 1 << 20
"""Bytes hashed at a time."""

RESULTS = ("ledger", "ledger_index", "shards", "subsets")
"""Folders in which every file must be in the manifest."""


@dataclass(frozen=True)
class Fault:
    """An error: its file, and a message."""

    path: str
    what: str


@dataclass
class Seen:
    """Counts of what a verification has read; ``notes``: what it could not read, a line each."""

    outputs: int = 0
    inputs: int = 0
    embeddings: int = 0  # that came with the input
    tables: int = 0
    bytes: int = 0
    rows: int = 0
    notes: list[str] = field(default_factory=list)


def verify(run: FinishedRun, seen: Seen, deep: bool = False) -> Iterator[Fault]:
    """Every fault of a run, one after another.

    ``deep``: read the tables between the steps whole, and compare embeddings that came with the input, and vectors
    beside the shards, with the stored ones.
    """
    broken = [Fault(*fault) for fault in run.files.damaged()]
    yield from broken
    if broken:
        seen.notes.append("nothing else was looked at: manifest/ says what there should be")
        return
    yield from _account(run)
    yield from _outputs(run, seen)
    yield from _inputs(run, seen, deep)
    yield from _tables(run, seen, deep)
    if deep:
        for path, what in vectors.other_rows(run):
            yield Fault(path, what)
    with closing(Recount(run)) as recount:
        for path, what in recount.faults():
            yield Fault(path, what)
        seen.rows = recount.rows


def _account(run: FinishedRun) -> Iterator[Fault]:
    """Check that the manifest adds up, and compare it with ``plan.json``."""
    try:
        funnel(run)
    except StateError as error:
        yield Fault(MANIFEST, str(error))
    broken = [Fault(*fault) for fault in plan_files.faults(run.root)]
    if broken:
        yield from broken
        return
    parts, sources = run.parts, run.source_names
    if sources != [record.source for record in run.files.inputs]:
        yield Fault(PLAN, "lists other inputs than manifest.json")
        return
    rows = [0] * len(sources)
    for part in parts:
        rows[part.file] += part.rows
    for record, count in zip(run.files.inputs, rows, strict=True):
        if record.rows != count:
            yield Fault(
                PLAN,
                f"{record.source}: its parts have {count:,} rows, manifest.json says {record.rows:,}",
            )
    if sum(rows) != run.manifest.rows_in:
        yield Fault(
            "plan.json", f"{sum(rows):,} rows in all, manifest.json says {run.manifest.rows_in:,}"
        )


def _outputs(run: FinishedRun, seen: Seen) -> Iterator[Fault]:
    """Compare size, hash and rows of each result file with the manifest; and find files that it does not list."""
    outputs = run.files.outputs
    whole_paths = [storage.join(run.root, record.path) for record in outputs]
    for record, path, (what, size) in zip(
        outputs, whole_paths, _differences(zip(whole_paths, outputs, strict=True)), strict=True
    ):
        seen.outputs += 1
        seen.bytes += size
        fault = what
        if what is None and record.path.endswith(".parquet"):
            fault = _rows_differ(path, record.rows)
        if what is None and record.path.endswith(".npz"):
            fault = vectors.rows_differ(path, record.rows)
        if fault is not None:
            yield Fault(record.path, fault)
    listed = {record.path for record in run.files.outputs}
    for folder in RESULTS:
        for name in storage.listing(storage.join(run.root, folder)):
            if f"{folder}/{name}" not in listed:
                yield Fault(f"{folder}/{name}", "is not in manifest.json")


Hashed = tuple[str | None, int]
"""(difference of a file from its record, None if there is none; bytes hashed)."""


def _differences(files: Iterable[tuple[str | InputFile, Output | Input]]) -> Iterator[Hashed]:
    """Compare each (path, record), in order; in threads on all processors, since hashing releases the GIL."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(lambda file: _difference(*file), files)


def _blocks(file: str | InputFile) -> Iterator[bytes]:
    if isinstance(file, InputFile):
        yield from format_of(file).blocks(file)
        return
    with storage.open_read(file) as stream:
        while block := stream.read(BLOCK):
            yield block


def _difference(file: str | InputFile, record: Output | Input) -> Hashed:
    try:
        path = file if isinstance(file, str) else file.path
        size = record.bytes if path.endswith("/") else storage.stat(path).size
        if size != record.bytes:
            return f"has {size:,} bytes, manifest.json says {record.bytes:,}", 0
        digest, size = hashlib.sha256(), 0
        for block in _blocks(file):
            digest.update(block)
            size += len(block)
    except (InputError, FileNotFoundError):
        return "is missing", 0
    if size != record.bytes:
        return f"has {size:,} bytes, manifest.json says {record.bytes:,}", size
    if digest.hexdigest() != record.sha256:
        return f"has sha256 {digest.hexdigest()}, manifest.json says {record.sha256}", size
    return None, size


def _rows_differ(path: str, rows: int) -> str | None:
    try:
        with storage.open_table(path) as raw:
            count = pq.read_metadata(raw).num_rows
    except CONTENT as error:
        require_content(error, path)
        return f"cannot be read: {error}"
    return None if count == rows else f"has {count:,} rows, manifest.json says {rows:,}"


def _inputs(run: FinishedRun, seen: Seen, deep: bool) -> Iterator[Fault]:
    """Compare size and hash of each input that is still there; and its embeddings."""
    if not storage.exists(storage.join(run.root, JOB)):
        seen.notes.append(
            f"the inputs were not looked at: {JOB}, which says where they are, is missing"
        )
        return
    try:
        job = read_job(run.root)
    except TamisError as error:
        yield Fault(JOB, f"cannot be read, and so the inputs were not looked at: {error}")
        return
    try:
        inputs = run.inputs
    except StateError:  # a fault that is reported for itself
        seen.notes.append(f"the inputs were not looked at: {PLAN_TABLE} cannot be read")
        return
    missing: list[str] = []
    present: list[tuple[str | InputFile, Input]] = []
    for record, planned in zip(run.files.inputs, inputs, strict=True):
        file = _located(job, planned)
        if file is None or not storage.exists(file.path):
            missing.append(record.source)
        else:
            present.append((file, record))
    for (_, record), (what, size) in zip(present, _differences(present), strict=True):
        seen.inputs += 1
        seen.bytes += size
        if what is not None:
            yield Fault(record.source, f"{what}: the input has changed since")
    if missing:
        seen.notes.append(
            f"{len(missing):,} of {len(run.files.inputs):,} inputs are no longer where job.yaml says and were "
            f"not looked at: {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}"
        )
    yield from _embeddings(run, job, seen, deep)


def _embeddings(run: FinishedRun, job: Job, seen: Seen, deep: bool) -> Iterator[Fault]:
    """Compare the sizes of embeddings that came with the input; if ``deep``, also their rows."""
    if not run.files.embeddings:
        if any(embed.takes_embeddings for embed in job.embeds):
            seen.notes.append(
                "embeddings that came with the input were not looked at: manifest.json, which an earlier version "
                "wrote, does not list them"
            )
        return
    now = embedding_files.files_now(job)
    for record in run.files.embeddings:
        seen.embeddings += embedding_files.address_of(now.get(record.source), record) is not None
    gone = len(run.files.embeddings) - seen.embeddings
    if gone:
        seen.notes.append(
            f"{gone:,} of {len(run.files.embeddings):,} embeddings that came with the input are no longer where "
            "job.yaml says and were not looked at"
        )
    wrong = False
    for path, what in embedding_files.wrong_sizes(run, now):
        wrong = True
        yield Fault(path, what)
    if deep and not wrong:  # a file of another size has other rows: one report is enough
        for path, what in embedding_files.other_rows(run, now):
            yield Fault(path, what)


def _located(job: Job, file: InputFile) -> InputFile | None:
    """The input file where the job has it; None if no entry has its name."""
    for known in job.input:
        if known.name == file.entry:
            below = file.relative.removeprefix("./")
            path = f"{prefix_of(known.path).rstrip('/')}/{below}"
            return replace(file, path=path, reading=reading_of(known))
    return None


def _tables(run: FinishedRun, seen: Seen, deep: bool) -> Iterator[Fault]:
    """Compare each file below ``tables/`` with its phase's index, and receipts with the manifest."""
    top = storage.join(run.root, paths.TABLES)
    steps = storage.folders_in(top)
    if not steps:
        seen.notes.append("the tables were not looked at: tables/ has been cleared")
    outputs = {record.path: asdict(record) for record in run.files.outputs}
    cleared = 0
    for step in steps:
        for phase in storage.folders_in(storage.join(top, step)):
            folder = paths.folder(step, phase)
            if PhaseFiles(run.root, folder, writable=False).is_cleared:
                cleared += 1
            else:
                yield from _phase(run, folder, outputs, seen, deep)
    if cleared:
        seen.notes.append(f"`tamis clean` has removed the tables of {counted(cleared, 'phase')}")


def _phase(
    run: FinishedRun,
    folder: str,
    outputs: dict[str, dict[str, object]],
    seen: Seen,
    deep: bool,
) -> Iterator[Fault]:
    path = storage.join(run.root, folder)
    sizes = storage.listing(path)
    index = phase_index.read_index(run.root, folder) if INDEX in sizes else None
    if index is None:
        yield Fault(f"{folder}/{INDEX}", "is missing or damaged")
    known = {f"{name}.parquet": at for name, at in index.positions.items()} if index else {}
    for name in sorted({*known, *sizes} - {INDEX}):
        if index is None or name not in known:
            yield Fault(f"{folder}/{name}", "is not in its phase's index")
            continue
        record = index.file(known[name])
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
