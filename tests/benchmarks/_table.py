"""What the scripts here share: works that take turns, one table for people, JSON for machines.

A script calls ``show``. Where ``TAMIS_BENCH`` names a folder, its rows are kept there too, and

    python tests/benchmarks/_table.py FOLDER

puts all of them into one table, and into FOLDER/speed.json and speed.md. It needs the standard library only.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

FOLDER = "TAMIS_BENCH"
ALL, PAGE = "speed.json", "speed.md"
PACKAGES = (
    *("tamis", "torch", "open_clip_torch", "faiss-cpu", "faiss-gpu", "numpy", "pyarrow", "pillow"),
    *("ray", "webdataset", "torchvision", "datasketch"),
)


@dataclass(frozen=True)
class Row:
    """What is measured beside what: both in ``unit``, the ratio with the spread of its rounds."""

    what: str
    beside: str
    ours: float | None
    theirs: float | None
    unit: str
    ratio: float | None
    low: float | None = None
    high: float | None = None
    goal: str = ""


def race(
    works: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
    before: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of each work and round, without what is done ``before`` each.

    They take turns, so that a busy machine meets all alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        names = list(works)
        # Who comes first changes: what the caches hold is nobody's advantage.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            before()
            began = clock()
            works[name]()
            seconds[name].append(clock() - began)
    return seconds


def faster(
    what: str,
    beside: str,
    amount: float,
    unit: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    goal: str = "",
) -> Row:
    """Rates of both, ``amount`` by the median of their seconds, and the ratio of rates, round by round."""
    ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
    rate, other = (amount / statistics.median(seconds) for seconds in (ours, theirs))
    middle = statistics.median(ratios)
    return Row(what, beside, rate, other, unit, middle, min(ratios), max(ratios), goal)


def machine() -> dict[str, str | int]:
    """What the figures hold for."""
    found: dict[str, str | int] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _processor() -> str:
    """The processor's name, with family and model: a virtual machine may call them all by one name."""
    with suppress(OSError, KeyError):
        told = dict[str, str]()
        for line in Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            told[name.strip()] = value.strip()
        return f"{told['model name']} {told['cpu family']}/{told['model']}"
    return platform.processor() or platform.machine()


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table, and keep it where ``TAMIS_BENCH`` says."""
    print(title)
    put(rows)
    folder = os.environ.get(FOLDER)
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        script = Path(sys.argv[0]).stem
        name = f"{script}-{len(list(Path(folder).glob(f'{script}-*.json')))}.json"
        kept = {"title": title, "machine": machine(), "rows": [asdict(row) for row in rows]}
        Path(folder, name).write_text(json.dumps(kept, indent=1) + "\n")


def put(rows: Sequence[Row]) -> None:
    """The table alone."""
    lines = _lines(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join([line[0].ljust(widths[0]), *cells[1:]]).rstrip())
    print(flush=True)


def _lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Cells as they are shown, the heading first."""
    lines: list[tuple[str, ...]] = [("", "ours", "beside it", "", "ratio", "spread", "goal")]
    for row in rows:
        spread = "" if row.low is None or row.high is None else f"{row.low:.2f}-{row.high:.2f}"
        name = f"{row.what} / {row.beside}" if row.beside else row.what
        numbers = (_number(row.ours), _number(row.theirs), row.unit, _number(row.ratio))
        lines.append((name, *numbers, spread, row.goal))
    return lines


def page(tables: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """All of them as Markdown, with what they hold for."""
    found = ", ".join(f"{name} {value}" for name, value in machine().items())
    parts = [f"# What `make bench` measured\n\n{found}."]
    for title, rows in tables:
        heading, *lines = (f"| {' | '.join(line)} |" for line in _lines(rows))
        rule = f"|---|{'---:|' * 5}---|"
        parts.append("\n".join([f"## {title[:1].upper()}{title[1:]}\n", heading, rule, *lines]))
    return "\n\n".join(parts) + "\n"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def main() -> None:
    """One table of all that the scripts have kept."""
    folder = Path(sys.argv[1])
    kept = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    kept = [one for one in kept if "rows" in one]
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    tables = [(one["title"], [Row(**row) for row in one["rows"]]) for one in kept]
    for title, rows in tables:
        print(title)
        put(rows)
    (folder / PAGE).write_text(page(tables))
    whole = {
        "machine": machine(),
        "tables": [{k: one[k] for k in ("title", "rows")} for one in kept],
    }
    (folder / ALL).write_text(json.dumps(whole, indent=1) + "\n")
    print(f"for machines: {folder / ALL}; to be read: {folder / PAGE}")


if __name__ == "__main__":
    main()
