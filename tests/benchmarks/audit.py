"""What the commands that read a finished run take at any size: wall time, processor time, peak memory.

Each command is a process of its own, start-up included, and is repeated; the table shows the quickest. On a shared
machine wall time says little: read the processor time, and beside it the yardstick, a Python process that imports
no more than numpy and pyarrow. The run is made first (tests/benchmarks/_finished_run.py), which takes far longer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

HERE = Path(__file__).parent
TAMIS = [sys.executable, "-m", "tamis.jobs"]
TICKS = os.sysconf("SC_CLK_TCK")

FIND = """
import sys
import duckdb
for step in ("density", "rules", "semantic_duplicates"):
    query = f"SELECT uid FROM '{sys.argv[1]}/ledger/bundle-00000.parquet' WHERE step = ? ORDER BY sid LIMIT 1"
    print(duckdb.execute(query, [step]).fetchall()[0][0])
"""


@dataclass(frozen=True)
class Measured:
    """One way to ask: seconds of wall and processor time, and the peak of resident memory in MB."""

    name: str
    goal: float | None
    wall: float
    cpu: float
    memory: float


class Peak(threading.Thread):
    """Looks at a process until it ends: VmHWM, which a child does not inherit, unlike what ``wait4`` tells."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self.memory = pid, 0.0
        self.start()

    def run(self) -> None:
        """A hundred times a second."""
        while found := memory(self._pid):
            self.memory = found
            time.sleep(0.01)


def memory(pid: int) -> float:
    """MB of resident memory at the peak; 0 where the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else 0.0


def command(name: str, goal: float | None, arguments: list[str], repeat: int) -> Measured:
    """The quickest of ``repeat`` runs, by processor time; the largest memory."""
    runs = []
    for _ in range(repeat):
        started = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        peak = Peak(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in {0, 1}:  # 1: verify has found something
            raise SystemExit(f"{' '.join(arguments)}: ended with {process.returncode}")
        wall = time.perf_counter() - started
        runs.append((used.ru_utime + used.ru_stime, wall, peak.memory))
    cpu, wall, _ = min(runs)
    return Measured(name, goal, wall, cpu, max(run[2] for run in runs))


@contextmanager
def served(run: str) -> Iterator[tuple[int, str]]:
    """``tamis browse``: its process and its address."""
    process = subprocess.Popen([*TAMIS, "browse", run, "--port", "0"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().decode().split()[0]
    finally:
        process.terminate()
        process.wait()


def used(pid: int) -> float:
    """Seconds of processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


FILTERS = {
    "by step and cluster": "step=density&cluster=7",
    "by reason": "reason=semantic_duplicate",
    "by a range": "min.clip_similarity=0.9&max.clip_similarity=0.91",
    "by a word": "text=" + quote("sea"),
    "of one input file": "source=input/00001.parquet",
}


def browsed(run: str, repeat: int) -> Iterator[Measured]:
    """Each question to the page's server: the first time it is asked apart from the quickest later one."""
    with served(run) as (pid, address):
        questions: dict[str, tuple[float | None, str]] = {
            "browse: the page opens": (None, "api/run")
        }
        for name, q in FILTERS.items():
            questions[f"browse: filter {name}, a page"] = (1.0, f"api/samples?{q}")
            questions[f"browse: filter {name}, all counted"] = (1.0, f"api/counts?{q}")
        questions["browse: a threshold moves"] = (
            1.0,
            "api/threshold?step=late&signal=characters&side=min&value=32",
        )
        for name, (goal, question) in questions.items():
            runs = []
            for _ in range(1 + repeat):
                before, started = used(pid), time.perf_counter()
                with urlopen(address + question) as answer:
                    answer.read()
                runs.append((used(pid) - before, time.perf_counter() - started))
            if goal is None:
                yield Measured(name, goal, runs[0][1], runs[0][0], memory(pid))
            else:
                cpu, wall = min(runs[1:])
                yield Measured(name, goal, wall, cpu, memory(pid))


def measure(run: str, repeat: int, slow: bool) -> Iterator[Measured]:
    """Every command; ``slow``: also those that read everything, once each."""
    found = subprocess.run(
        [sys.executable, "-c", FIND, run], capture_output=True, text=True, check=True
    )
    uids = dict(zip(("density", "rule", "semantic"), found.stdout.split(), strict=True))
    bare = [sys.executable, "-c", "import numpy, pyarrow.parquet"]
    yield command("yardstick: import numpy, pyarrow", None, bare, repeat)
    for name, uid in uids.items():
        yield command(f"explain ({name})", 0.3, [*TAMIS, "explain", run, uid], repeat)
    yield command("audit", 3, [*TAMIS, "audit", run], repeat)
    yield command("audit --sample", None, [*TAMIS, "audit", run, "--sample", "over_quota"], repeat)
    for by in ("source", "cluster"):
        yield command(f"audit --by {by}", None, [*TAMIS, "audit", run, "--by", by], repeat)
    for setting in (
        "density.keep=0.3",
        "semantic_duplicates.epsilon=0.03",
        "late.characters.min=32",
    ):
        asked = [*TAMIS, "whatif", run, "--set", setting]
        yield command(f"whatif {setting}", 5, asked, repeat)
    yield from browsed(run, repeat)
    if slow:
        for name in ("diff", "verify"):
            asked = [*TAMIS, name, run, *([run] if name == "diff" else [])]
            yield command(name, None, asked, 1)


def main() -> None:
    """Make the run, measure, print a table and write JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--folder", type=Path, help="kept, and used again; a temporary one else")
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--json", type=Path, help="also write the figures there")
    options.add_argument("--quick", action="store_true", help="without diff and verify")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tamis-bench-audit-") as temporary:
        folder = given.folder or Path(temporary)
        making = [sys.executable, str(HERE / "_finished_run.py"), str(folder)]
        subprocess.run([*making, "--rows", str(given.rows)], check=True)
        print(
            f"{given.rows:,} samples; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        )
        print(f"{'':44}{'goal':>7}{'wall':>10}{'CPU':>10}{'memory':>10}")
        figures = []
        for one in measure(str(folder / "run"), given.repeat, not given.quick):
            goal = f"{one.goal:g} s" if one.goal else ""
            times = f"{one.wall:8.2f} s{one.cpu:8.2f} s"
            print(f"{one.name:44}{goal:>7}{times}{one.memory:7,.0f} MB", flush=True)
            figures.append(asdict(one))
    if given.json:
        given.json.write_text(json.dumps({"rows": given.rows, "measured": figures}, indent=1))


if __name__ == "__main__":
    main()
