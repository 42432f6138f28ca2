"""The near-duplicates step over synthetic captions, through Ray: time, and the peak memory of every process.

The input is parquet of metadata alone, a tenth of it near-duplicates of other captions. The figure of the step
is captions by the CPU seconds of all its processes, from the ingested table to the stored verdict. Beside it stand two
yardsticks: the bare kernel (text to band keys), timed in this process just before, which is less than the step does;
and the whole method from texts to verified edges in one fresh process, everything in memory and no files
(``near.find``), which is all of it but the exchange and the verdict.

``--kill SECONDS``: the run is first begun by the command and killed then, with all its processes; what it had used is
in the first phase that ends after it, and in the whole.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.algorithms.near_captions import folding, minhash, search
from tamis.pipeline.runs import plan
from tamis.pipeline.runs import walk as run
from tamis.schemas.events import Event, PhaseEnded, StepEnded
from tamis.schemas.parse import parse_job
from tests.benchmarks._table import Row, show

FILE_ROWS = 250_000
WORDS = 11
CHANGED = 0.1
ALONE = 1_000_000
"""Captions that the method is given in one memory, at most: about 3 GB."""

JOB = """
name: scale
input: [{{path: '{captions}/*.parquet'}}]
output: {folder}/run
resources: {{cpus: {cpus}}}
steps:
  - exact_duplicates: {{on: url_text}}
  - near_duplicates: {{agree: none}}
"""


def vocabulary(generator: np.random.Generator) -> npt.NDArray[np.str_]:
    """50,000 words of two to ten letters, as frequent as those of English."""
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    weight = 1.0 / (np.arange(26) + 3)
    drawn = generator.choice(letters, (50_000, 10), p=weight / weight.sum())
    lengths = np.clip(generator.poisson(5, 50_000), 2, 10)
    return np.array(["".join(row[:length]) for row, length in zip(drawn, lengths, strict=True)])


def captions(words: npt.NDArray[np.str_], count: int, seed: int) -> list[str]:
    """``count`` captions of about WORDS words; a tenth repeat an earlier one with one letter or word changed."""
    generator = np.random.default_rng(seed)
    weight = 1.0 / (np.arange(len(words)) + 2.7)
    sizes = np.clip(generator.poisson(WORDS, count), 3, 40)
    picks = generator.choice(len(words), int(sizes.sum()), p=weight / weight.sum())
    made: list[str] = []
    changed = generator.random(count) < CHANGED
    origin = (generator.random(count) * np.arange(count)).astype(np.int64)
    for row, pick in enumerate(np.split(picks, np.cumsum(sizes)[:-1])):
        if changed[row] and row:
            copied = made[origin[row]].split(" ")
            copied[int(pick[0]) % len(copied)] = str(words[pick[1]])
            made.append(" ".join(copied) if len(copied) > 4 else made[origin[row]] + " s")
        else:
            made.append(" ".join(words[pick]))
    return made


def write(folder: Path, count: int) -> list[str]:
    """Files of FILE_ROWS captions each, but those that are there; returns the first file's captions."""
    words = vocabulary(np.random.default_rng(1))
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, count, FILE_ROWS)):
        path = folder / f"{number:05d}.parquet"
        if path.exists():
            continue
        rows = min(FILE_ROWS, count - start)
        made = captions(words, rows, 2 + number)
        url = pa.array([f"https://example.org/{start + row}" for row in range(rows)])
        half = path.with_suffix(".half")
        pq.write_table(pa.table({"url": url, "text": pa.array(made)}), half)
        half.rename(path)
    first: list[str] = pq.read_table(folder / "00000.parquet", columns=["text"])["text"].to_pylist()
    return first


class Watch(threading.Thread):
    """Looks at this process and all below it; keeps each one's peak memory and CPU seconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak: dict[tuple[str, int], int] = {}
        self.cpu: dict[tuple[str, int], float] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        """Until stopped, a few times a second."""
        while not self._ended.wait(0.2):
            self.look()

    def look(self) -> None:
        """Once."""
        here = psutil.Process()
        for process in [here, *here.children(recursive=True)]:
            try:
                name = "driver" if process == here else process.name().partition(":")[0]
                status = Path(f"/proc/{process.pid}/status").read_text()
                times = process.cpu_times()
            except (psutil.Error, OSError):
                continue  # it has ended between being listed and being looked at
            found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
            if found:
                self.peak[name, process.pid] = int(found[0]) << 10
                self.cpu[name, process.pid] = times.user + times.system

    def stop(self) -> None:
        """The last look."""
        self._ended.set()
        self.join()


class Clock:
    """An observer: wall seconds a phase, and what the watched workers have used when a step ends."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.wall: dict[str, float] = defaultdict(float)
        self.used: dict[str, float] = {}
        watch.look()  # this process has made the input: that is no phase's
        self._before = sum(watch.cpu.values())

    def __call__(self, event: Event) -> None:
        """Note it."""
        if isinstance(event, PhaseEnded):
            self.watch.look()
            total = sum(self.watch.cpu.values())
            name = f"{event.step}/{event.phase}"
            self.used[name], self._before = total - self._before, total
            self.wall[name] = event.seconds
        elif isinstance(event, StepEnded):
            print(f"  {event.step}: {event.entered:,} in, dropped {event.dropped}")


def kernel(texts: list[str]) -> float:
    """Captions a CPU second, from text to band keys, 20,000 at a time."""
    before = time.process_time()
    for start in range(0, len(texts), 20_000):
        minhash.Scheme().keys(folding.normalise(texts[start : start + 20_000]))
    return len(texts) / (time.process_time() - before)


def alone(folder: Path) -> float:
    """Captions a CPU second of the whole method in this process, over the first ALONE of the folder's."""
    texts: list[str] = []
    for path in sorted(folder.glob("*.parquet")):
        if len(texts) < ALONE:
            texts += pq.read_table(path, columns=["text"])["text"].to_pylist()
    texts = texts[:ALONE]
    uid = np.random.default_rng(0).integers(0, 2**64, (len(texts), 2), dtype=np.uint64)
    before = time.process_time()
    search.find(texts, uid)
    return len(texts) / (time.process_time() - before)


def in_a_fresh_process(folder: Path) -> float:
    """The same, where nothing else has touched the memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(alone, folder).result()


def begun_and_killed(job: str, folder: Path, seconds: float) -> None:
    """Begin the run by the command, and kill it and all below it after so many seconds."""
    (folder / "job.yaml").write_text(job)
    command = [sys.executable, "-m", "tamis.jobs", "run", str(folder / "job.yaml")]
    begun = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        begun.wait(seconds)
        sys.exit(f"the run had ended within {seconds:.0f} s: --kill must be earlier")
    except subprocess.TimeoutExpired:
        below = psutil.Process(begun.pid).children(recursive=True)
        os.kill(begun.pid, signal.SIGKILL)
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        begun.wait()
    tables = sum(path.is_file() for path in (folder / "run" / "tables").rglob("*"))
    print(f"  killed after {seconds:.0f} s, with {tables:,} tables; resumed:")


def on_disk(run: Path, count: int) -> None:
    """Print the bytes a caption of each phase's tables, of each step's, and of the whole run."""
    steps = sorted((run / "tables").iterdir())
    for folder in [*(phase for step in steps for phase in sorted(step.iterdir())), *steps, run]:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        name = folder.relative_to(run.parent).as_posix().removeprefix("run/tables/")
        print(f"  {name:32} {size / count:8.1f} B a caption on disk")


def measure(count: int, cpus: int, folder: Path, given: Path, kill: float | None) -> float:
    """Make the input, do the job, print the figures; returns CPU microseconds a caption of the whole run."""
    print(f"{count:,} captions on {cpus} processors", flush=True)
    rate = kernel(write(given, count))
    whole = in_a_fresh_process(given)
    watch = Watch()
    clock = Clock(watch)
    described = JOB.format(folder=folder, captions=given, cpus=cpus)
    watch.start()
    started = time.perf_counter()
    if kill is not None:
        begun_and_killed(described, folder, kill)
    run.run(plan.make(parse_job(described, "scale")), (clock,))
    elapsed = time.perf_counter() - started
    watch.stop()
    step = {name: used for name, used in clock.used.items() if name.startswith("near")}
    for name, used in clock.used.items():
        print(f"  {name:28} {clock.wall[name]:8.1f} s {used:8.1f} CPU s")
    cpu = sum(step.values())
    wall = sum(clock.wall[name] for name in step)
    everything = sum(clock.used.values())
    print(
        f"  the step: {wall:.1f} s, {cpu:.1f} CPU s; the whole run: {elapsed:.1f} s, {everything:.1f} CPU s"
    )
    step_rate = count / cpu
    show(
        f"near captions, the whole step over {count:,}, a processor second",
        [
            Row("step", name, step_rate, other, "/s", step_rate / other, goal=goal)
            for name, other, goal in (
                ("kernel, text to band keys", rate, ">= .6"),
                ("whole method in one process, no files", whole, ""),
            )
        ],
    )
    for (name, pid), peak in sorted(watch.peak.items(), key=lambda item: -item[1])[:12]:
        print(f"  {peak >> 20:6} MiB  {name} {pid}")
    on_disk(folder / "run", count)
    return everything / count * 1e6


def main() -> None:
    """Every count, and the cost of each by the first's."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--captions", type=int, nargs="+", default=[1_000_000])
    options.add_argument("--cpus", type=int, default=2)
    options.add_argument("--kill", type=float, metavar="SECONDS", help="only of the last count")
    options.add_argument(
        "--folder", type=Path, help="on a disk with about half a GB a million captions"
    )
    options.add_argument("--input", type=Path, help="where captions are made once, and left")
    given = options.parse_args()
    costs: list[float] = []
    for place, count in enumerate(given.captions):
        last = place == len(given.captions) - 1
        folder = Path(tempfile.mkdtemp(prefix="tamis-scale-", dir=given.folder))
        made = (given.input or folder) / f"{count}"
        try:
            costs.append(measure(count, given.cpus, folder, made, given.kill if last else None))
        finally:
            shutil.rmtree(folder)
        print(
            f"  {costs[-1]:.2f} CPU us a caption, {costs[-1] / costs[0]:.2f} x the first's",
            flush=True,
        )


if __name__ == "__main__":
    main()
