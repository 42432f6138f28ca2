"""What the benchmarks beside other programs share: where those are installed, and whole commands timed.

Each peer lies in a virtual environment of its own, FOLDER/NAME, for their requirements exclude each other and ours:
``make peers`` makes them from ``tests/benchmarks/peers/``, and ``TAMIS_PEERS`` names another folder. Where one is not
there its rows say so. A peer's own side is a script ``_peer_*.py``, run by its own interpreter.

Ours and theirs are whole commands, from the call to the exit, as a user waits for them: wall seconds, and the processor
seconds of all processes that they start.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests.benchmarks._table import Row, faster

FOLDER = "TAMIS_PEERS"
ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
LOOK = 0.2
"""Seconds between two looks at the processes of a command."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spent:
    """Seconds of one command."""

    wall: float
    processor: float


Command = Callable[[int], Spent]
"""Does the work of one round, whose number it is given."""


def interpreter(peer: str) -> Path | None:
    """The Python of the peer's environment, where it is installed."""
    folder = Path(os.environ.get(FOLDER) or ROOT / "build" / "peers")
    python = (folder / peer / "bin" / "python").absolute()
    return python if python.exists() else None


def release(peer: str) -> str:
    """Its name and version, by its environment."""
    python = interpreter(peer)
    sites = python.parents[1].glob("lib/python*/site-packages") if python else ()
    found = metadata.distributions(name=peer, path=[str(site) for site in sites])
    return " ".join([peer, *(one.version for one in found)])


def ours(job: Path, text: str) -> Spent:
    """``tamis run`` over a job, which is written to ``job`` first."""
    job.write_text(text)
    # As the installed command would, on whatever processors there are, and on no GPU: the peers have none either.
    return timed([sys.executable, "-m", "tamis.jobs", "run", str(job), "--progress", "none"], {})


def theirs(python: Path, script: str, *arguments: object) -> Spent:
    """A script beside this file, by the peer's interpreter."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "WANDB_MODE": "disabled"}
    return timed([str(python), str(HERE / script), *map(str, arguments)], offline)


def timed(command: Sequence[str], environment: Mapping[str, str]) -> Spent:
    """The command, done in the root of this repository.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    given = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment}
    # Ours is found from where it runs, theirs must not find ours, and both may keep what they compile.
    for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
        given.pop(name, None)
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    watch = _Watch(process.pid)
    watch.start()
    said, _ = process.communicate()
    wall = time.perf_counter() - began
    used = watch.stop()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {said.decode(errors='replace')[-3000:]}")
    return Spent(wall, used)


class _Watch(threading.Thread):
    """The processor seconds of a process and all below it, dead ones too.

    What a process has used is looked up while it lives: nobody is told of the children of a child that was killed,
    which is how Ray ends its workers. Of one that was waited for, the system knows better: the larger sum counts.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._below = {pid}
        self._used: dict[int, float] = {}
        self._before = _waited_for()
        self._ended = threading.Event()

    def run(self) -> None:
        """Until stopped."""
        while not self._ended.wait(LOOK):
            self._look()

    def stop(self) -> float:
        """No more looks; seconds of all that were seen."""
        self._ended.set()
        self.join()
        return max(sum(self._used.values()), _waited_for() - self._before)

    def _look(self) -> None:
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # ended since it was listed
                # After the name, which may hold blanks: state, parent, ...; user and system ticks are the 12th, 13th.
                fields = path.read_text().rpartition(")")[2].split()
                pid = int(path.parent.name)
                if int(fields[1]) in self._below:
                    self._below.add(pid)
                if pid in self._below:
                    self._used[pid] = (int(fields[11]) + int(fields[12])) / TICKS


def _waited_for() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def take_turns(works: Mapping[str, Command], rounds: int) -> dict[str, list[Spent]]:
    """What each took, round by round; who comes first changes."""
    spent: dict[str, list[Spent]] = {name: [] for name in works}
    for number in range(rounds):
        names = list(works)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            took = works[name](number)
            print(f"  {name}: {took.wall:.1f} s, {took.processor:.1f} CPU s", flush=True)
            spent[name].append(took)
    return spent


def beside(
    what: str,
    peer: str,
    amount: float,
    unit: str,
    ours: Sequence[Spent],
    theirs: Sequence[Spent],
) -> list[Row]:
    """A row by the clock and one by processor time."""
    pair = ([spent.wall for spent in ours], [spent.wall for spent in theirs])
    used = ([spent.processor for spent in ours], [spent.processor for spent in theirs])
    return [
        faster(what, peer, amount, f"{unit}/s", *pair, goal="> 1"),
        faster(f"{what}, processor", peer, amount, f"{unit}/CPU s", *used, goal="> 1"),
    ]


def growth(
    what: str,
    peer: str,
    amount: float,
    unit: str,
    ours: Sequence[Sequence[Spent]],
    theirs: Sequence[Sequence[Spent]],
) -> Row:
    """What ``amount`` more costs, in processor time: starts, imports and models are the same at both sizes.

    Args:
        what, peer, unit: for the row.
        amount: by which the second size is larger.
        ours, theirs: the rounds of the first size and of the second.
    """
    mine, other = (
        statistics.median(spent.processor for spent in large)
        - statistics.median(spent.processor for spent in small)
        for small, large in (ours, theirs)
    )
    what = f"{what}, what more of them costs"
    if min(mine, other) <= 0:  # the sizes are too near: nothing but noise lies between them
        return Row(what, peer, None, None, f"{unit}/CPU s", None)
    rates = amount / mine, amount / other
    return Row(what, peer, *rates, f"{unit}/CPU s", rates[0] / rates[1], goal="> 1")


def missing(what: str, peer: str) -> Row:
    """In place of what was not measured."""
    return Row(what, f"{peer}: not installed", None, None, "", None)
