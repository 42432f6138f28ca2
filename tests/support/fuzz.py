"""The long fuzz run: ``python -m tests.support.fuzz 20000`` reads that many mutated tars and parquet files.

A crash of the interpreter or a hang must not end the run: cases are read by child processes, a stretch at a
time, and a stretch that fails is halved until its case stands alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.support.fuzzing import check

STRETCH = 500
WORKERS = 2
SECONDS_A_CASE = 0.5
SECONDS_TO_START = 60


def read(start: int, stop: int) -> Counter[str]:
    """Check some cases in this process."""
    came_of: Counter[str] = Counter()
    for number in range(start, stop):
        try:
            came_of[check(number)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            came_of[f"case {number}: {type(error).__name__}: {error}"] += 1
    return came_of


def in_child(start: int, stop: int) -> Counter[str]:
    """Check some cases in a process of its own, halving the stretch where that process dies or hangs."""
    command = [sys.executable, "-m", "tests.support.fuzz", str(start), str(stop)]
    limit = SECONDS_TO_START + SECONDS_A_CASE * (stop - start)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        if done.returncode == 0:
            pairs = [line.split("\t") for line in done.stdout.splitlines()]
            return Counter({name: int(count) for count, name in pairs})
        end = f"exit status {done.returncode}"
    except subprocess.TimeoutExpired:
        end = f"no end within {limit:.0f} s"
    if stop - start == 1:
        return Counter({f"case {start}: {end}": 1})
    middle = (start + stop) // 2
    return in_child(start, middle) + in_child(middle, stop)


def main(arguments: list[str]) -> int:
    """One number: so many cases; two: from the first up to the second, in this process."""
    numbers = [int(argument) for argument in arguments] or [20_000]
    if len(numbers) == 2:
        for name, count in read(*numbers).items():
            sys.stdout.write(f"{count}\t{' '.join(name.split())}\n")
        return 0
    total, began = Counter[str](), time.monotonic()
    stretches = [(at, min(at + STRETCH, numbers[0])) for at in range(0, numbers[0], STRETCH)]
    with ThreadPoolExecutor(WORKERS) as pool:
        for found in pool.map(lambda stretch: in_child(*stretch), stretches):
            total += found
    failed = {name: count for name, count in total.items() if name.startswith("case ")}
    rest = ", ".join(f"{count} {name}" for name, count in sorted((total - Counter(failed)).items()))
    seconds = time.monotonic() - began
    lines = [f"{total.total()} files in {seconds:.0f} s: {rest}; {len(failed)} failed", *failed]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if failed or total.total() != numbers[0] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
