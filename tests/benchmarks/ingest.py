"""The ingest step beside what it cannot do without: tar headers, sha256 of every byte, every picture decoded once.

The step is all of its tasks as the engine does them, tables written. The floor is a straight loop over the same tars
with the standard library, hashlib and Pillow, and keeps nothing. Once by the processor time of one process, and once by
the clock with a process for every processor. A third row says what ingest's checks of headers, names, captions and
layout take of its time.

    PYTHONPATH=. python tests/benchmarks/ingest.py --copies 2
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

from PIL import Image

from tamis.pipeline.inputs import captions
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.inputs.tar import rows as tar_rows
from tamis.pipeline.inputs.tar import tar_header
from tamis.pipeline.inputs.tar.webdataset import IMAGE_SUFFIXES
from tamis.pipeline.tasks.perform import perform
from tests.benchmarks._steps import EXAMPLES, Recorded, members, recorded, write_tar
from tests.benchmarks._table import Row, faster, race, show
from tests.benchmarks.write import photographs

CORES = len(os.sched_getaffinity(0))

JOB = """
name: speed
input: [{{path: '{folder}/*.tar'}}]
output: {output}
steps: [{{signals: [characters]}}]
"""


def straight(path: Path) -> None:
    """What any program has to do that knows every member, its hash, and whether a picture is one."""
    with tarfile.open(path) as tar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of palettes with transparency
        for info in tar:
            file = tar.extractfile(info)
            data = file.read() if file is not None else b""
            hashlib.sha256(data).digest()
            if info.name.rpartition(".")[2] in IMAGE_SUFFIXES:
                Image.open(io.BytesIO(data)).load()


def spread(pool: ProcessPoolExecutor, done: Recorded) -> None:
    """The step's tasks, phase by phase, on all processors."""
    for phase, works in done.seen:
        if phase.name in {"files", "uids", "unique", "verdict"} and works[0].path.startswith(
            "tables/ingest/"
        ):
            list(pool.map(partial(perform, phase.function, done.root), works))


def measure(name: str, tars: Sequence[Path], output: Path, rounds: int) -> Iterator[Row]:
    """One process, and all."""
    count = sum(name.rpartition(".")[2] in IMAGE_SUFFIXES for name, _ in members(tars))
    done = recorded(JOB.format(folder=tars[0].parent, output=output))
    floor = "headers + sha256 + decode, a straight loop"
    seconds = race(
        {"step": lambda: done.again("ingest"), "floor": lambda: [*map(straight, tars)]}, rounds
    )
    yield faster(name, floor, count, "pairs/CPU s", seconds["step"], seconds["floor"], ">= 0.85")
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        works: dict[str, Callable[[], object]] = {
            "step": partial(spread, pool, done),
            "floor": lambda: list(pool.map(straight, tars)),
        }
        for work in works.values():  # the processes start and import
            work()
        seconds = race(works, rounds, time.perf_counter)
    name = f"{name}, {CORES} processes"
    yield faster(name, floor, count, "pairs/s", seconds["step"], seconds["floor"], ">= 0.85")


def checks(path: Path, rounds: int) -> Row:
    """What looking costs: with the answers of all checks given beforehand it would be this much faster.

    A few hundredths are no more than the noise of a round, so that there are many, and their median counts.
    """
    source = InputFile("input", path.name, str(path), "tar", path.stat().st_size)
    works = {
        "checked": lambda: list(ingest_file(source, IngestOptions())),
        "believed": lambda: without_checks(source),
    }
    seconds = race(works, 4 * rounds)
    both = zip(seconds["checked"], seconds["believed"], strict=True)
    share = sorted(1 - believed / checked for checked, believed in both)
    checked, believed = (statistics.median(seconds[name]) for name in works)
    quarter = len(share) // 4
    return Row(
        "all checks together, a share (spread: of the middle half)",
        "ingest",
        checked,
        believed,
        "CPU s",
        statistics.median(share),
        share[quarter],
        share[-1 - quarter],
        "<= 0.05",
    )


def without_checks(source: InputFile) -> object:
    """Ingest that believes every header, name, caption and layout."""
    with ExitStack() as stack:
        for owner, name, answer in (
            (tar_header, "_checksum_fits", True),
            (tar_header, "is_unsafe", False),
            (captions, "is_text", True),
            (tar_rows, "_layout_fault", {}),
            (IngestOptions, "why_unopened", None),
        ):
            stack.enter_context(mock.patch.object(owner, name, lambda *_, _answer=answer: _answer))
        believed = mock.patch.object(captions, "judge_caption", lambda text, *_: {"text": text})
        stack.enter_context(believed)
        return list(ingest_file(source, IngestOptions()))


def main() -> None:
    """One table: clip art, and JPEGs of 512 pixels."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--copies", type=int, default=2, help="of the example's four tars")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tamis-ingest-") as name:
        folder = Path(name)
        known = list(members(sorted(EXAMPLES.glob("*.tar"))))
        art = [write_tar(folder / "art" / f"{n}.tar", known) for n in range(given.copies)]
        rows += measure("clip art", art, folder / "art-run", given.rounds)
        some = list(members([photographs(folder, 200) / "00000.tar"]))
        jpegs = [write_tar(folder / "jpeg" / f"{n}.tar", some) for n in range(2 * given.copies)]
        rows += measure("JPEGs", jpegs, folder / "jpeg-run", given.rounds)
        rows.append(checks(art[0], given.rounds))
    show("ingest", rows)


if __name__ == "__main__":
    main()
