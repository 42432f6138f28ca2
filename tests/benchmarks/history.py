"""The ratios of `make bench` over time: an entry a commit, a page of lines, and what fell since the entry before.

    PYTHONPATH=. python -m tests.benchmarks.history keep build/bench   # what `make bench` does at its end
    PYTHONPATH=. python -m tests.benchmarks.history page build/bench/history.html
    PYTHONPATH=. python -m tests.benchmarks.history fell               # ends with 1 if a ratio did

Entries lie in tests/benchmarks/history/, to be committed with what they measure. A ratio is compared with the last
entry of the same machine that has it, for a bench may measure a part; it is named if it is worse by more than a tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tamis.pipeline.audit.report.html import document, element, table, text
from tests.benchmarks._table import ALL, Row

FOLDER = Path(__file__).parent / "history"

WORSE = 0.1
"""Share of a ratio by which it is worse that is told."""

WIDTH, HEIGHT, MARGIN = 160, 36, 4
"""Of a line's picture, in pixels."""


@dataclass(frozen=True)
class Ratio:
    """One ratio of an entry, with the spread of its rounds; by a goal of "<" less is better."""

    ratio: float
    low: float | None = None
    high: float | None = None
    goal: str = ""

    @property
    def less_is_better(self) -> bool:
        """Whether a smaller ratio is the better one."""
        return self.goal.startswith("<")

    def worse_than(self, other: Ratio) -> float:
        """The share by which it is worse than ``other``; negative where it is better."""
        if not other.ratio:
            return 0.0
        change = self.ratio / other.ratio - 1
        return change if self.less_is_better else -change

    def meets(self, other: Ratio) -> bool:
        """Whether the rounds of the two overlap, so that the difference may be noise."""
        spans = (self.low, self.high, other.low, other.high)
        if None in spans:
            return False
        low, high, others_low, others_high = (float(one or 0) for one in spans)
        return low <= others_high and others_low <= high


@dataclass(frozen=True)
class Entry:
    """What one commit was measured at, on one machine.

    Attributes:
        commit: its short name; with a plus where files differed from it.
        at: its time, by git.
        machine: processor and number of cores.
        ratios: title, row and unit -> the ratio.
        versions: of the packages that were measured, and measured with.
    """

    commit: str
    at: str
    machine: str
    ratios: Mapping[str, Ratio]
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fall:
    """A ratio that is worse than that of an earlier entry."""

    name: str
    now: Ratio
    before: Ratio
    since: str

    def told(self) -> str:
        """One line."""
        noise = "; their rounds overlap" if self.now.meets(self.before) else ""
        share = f"{100 * self.now.worse_than(self.before):.0f}% worse"
        change = f"{self.before.ratio:.3g} -> {self.now.ratio:.3g}"
        return f"{self.name}: {change}, {share} since {self.since}{noise}"


def entries(folder: Path = FOLDER) -> list[Entry]:
    """All that are kept, in the order of their commits."""
    found = []
    for path in sorted(folder.glob("*.json")):
        told = json.loads(path.read_text())
        ratios = {name: Ratio(**ratio) for name, ratio in told["ratios"].items()}
        found.append(Entry(told["commit"], told["at"], told["machine"], ratios, told["versions"]))
    return sorted(found, key=lambda one: (one.at, one.commit))


def of_tables(tables: Sequence[Mapping[str, Any]]) -> dict[str, Ratio]:
    """The ratios of the tables of speed.json, in four digits; a row without one has none."""
    found = {}
    for one in tables:
        title = one["title"][:1].upper() + one["title"][1:]
        for row in (Row(**told) for told in one["rows"]):
            if row.ratio is not None:
                name = f"{title}: {row.what} / {row.beside} [{row.unit}]"
                figures = (row.ratio, row.low, row.high)
                ratio, low, high = (None if x is None else float(f"{x:.4g}") for x in figures)
                found[name] = Ratio(ratio or 0.0, low, high, row.goal)
    return found


def keep(entry: Entry, folder: Path = FOLDER) -> Path:
    """Write an entry; ratios that the same commit has already stay, where they were not measured anew."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{entry.at.translate({ord(sign): None for sign in '-:'})}-{entry.commit}.json"
    ratios = {name: asdict(ratio) for name, ratio in entry.ratios.items()}
    if path.exists():
        told = json.loads(path.read_text())
        if told["machine"] == entry.machine:
            ratios = told["ratios"] | ratios
    told = asdict(entry) | {"ratios": ratios}
    path.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
    return path


def measured(folder: Path) -> Entry:
    """What a finished `make bench` has left in a folder, as an entry of the commit that is checked out."""
    whole = json.loads((folder / ALL).read_text())
    date = "--date=format-local:%Y-%m-%dT%H:%M:%S"
    commit, at = _git("log", "-1", date, "--format=%h %cd", "--abbrev=9").split()
    # A commit's entry is written before it can be committed: that is no change.
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", f":!{FOLDER}")
    machine = f"{whole['machine']['processor']}, {whole['machine']['cores']} cores"
    versions = {
        name: str(version)
        for name, version in whole["machine"].items()
        if name not in {"processor", "cores"}
    }
    ratios = of_tables(whole["tables"])
    return Entry(commit + "+" * bool(changed), at, machine, ratios, versions)


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=FOLDER.parent,
        env={
            **os.environ,
            "TZ": "UTC",
        },  # else the order of entries would depend on where each was made
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"history: no commit can be named: {done.stderr.strip()}")
    return done.stdout.strip()


def compared(kept: Sequence[Entry]) -> Iterator[tuple[str, Ratio, Ratio, str]]:
    """(name, ratio, earlier ratio, earlier commit) of the last entry's ratios that an earlier one has."""
    if not kept:
        return
    last = kept[-1]
    earlier = [one for one in kept[:-1] if one.machine == last.machine]
    for name, ratio in last.ratios.items():
        for one in reversed(earlier):
            if name in one.ratios:
                yield name, ratio, one.ratios[name], one.commit
                break


def fell(kept: Sequence[Entry], worse: float = WORSE) -> list[Fall]:
    """The ratios of the last entry that are worse by more than ``worse``, the worst first."""
    falls = [Fall(*one) for one in compared(kept)]
    found = [fall for fall in falls if fall.now.worse_than(fall.before) > worse]
    return sorted(found, key=lambda fall: (-fall.now.worse_than(fall.before), fall.name))


def changed_versions(kept: Sequence[Entry], since: str) -> list[str]:
    """The packages that are others in the last entry than in that of a commit: what they do a ratio shows too."""
    now = kept[-1].versions
    before = next(one.versions for one in kept if one.commit == since)
    return [
        f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in sorted(now.keys() | before.keys())
        if now.get(name) != before.get(name)
    ]


def page(kept: Sequence[Entry]) -> bytes:
    """Every ratio as a line over the entries, UTF-8: no script, nothing from elsewhere."""
    lead = (
        f"{len(kept)} entries, from {kept[0].commit} to {kept[-1].commit}."
        if kept
        else "No entry yet."
    )
    body, falls = "", {fall.name for fall in fell(kept)}
    by_title: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for one in kept for name in one.ratios):
        by_title.setdefault(name.partition(": ")[0], []).append(name)
    columns = [("", "left"), ("first", "right"), ("last", "right"), ("goal", "left"), ("", "left")]
    for title, names in sorted(by_title.items()):
        rows = [[*_cells(name, kept, name in falls)] for name in names]
        body += element("section", element("h2", text(title)) + table(columns, rows, title))
    head = element("h1", "Ratios over time") + element("p", text(lead), class_="lead")
    return document("Ratios over time", element("header", head) + element("main", body, id="main"))


def _cells(name: str, kept: Sequence[Entry], has_fallen: bool) -> Iterator[str]:
    points = [(one, one.ratios[name]) for one in kept if name in one.ratios]
    last = f"{points[-1][1].ratio:.3g}"
    yield text(name.partition(": ")[2])
    yield f"{points[0][1].ratio:.3g}"
    yield element("b", f"{last} ↓") if has_fallen else last
    yield text(points[-1][1].goal)
    yield line(points)


def line(points: Sequence[tuple[Entry, Ratio]]) -> str:
    """The ratios of some entries as an SVG, from 0 to the largest; each point says its commit and machine."""
    top = max((ratio.high or ratio.ratio for _, ratio in points), default=1) or 1
    apart = (WIDTH - 2 * MARGIN) / max(1, len(points) - 1)

    def y(value: float) -> float:
        return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value / top, 2)

    drawn, path = "", []
    for place, (entry, ratio) in enumerate(points):
        x = round(MARGIN + apart * place, 2)
        path.append(f"{x},{y(ratio.ratio)}")
        told = element(
            "title", text(f"{entry.commit}: {ratio.ratio:.3g} ({entry.at}, {entry.machine})")
        )
        if ratio.low is not None and ratio.high is not None:
            drawn += element(
                "line",
                x1=x,
                x2=x,
                y1=y(ratio.low),
                y2=y(ratio.high),
                stroke="currentColor",
                opacity=0.3,
            )
        drawn += element("circle", told, cx=x, cy=y(ratio.ratio), r=2.5, fill="currentColor")
    drawn += element("polyline", points=" ".join(path), fill="none", stroke="currentColor")
    size = {"width": WIDTH, "height": HEIGHT, "viewBox": f"0 0 {WIDTH} {HEIGHT}"}
    return element("svg", drawn, role="img", **size)


def main(arguments: Sequence[str] | None = None) -> int:
    """One of the three."""
    options = argparse.ArgumentParser(description=__doc__)
    of = options.add_subparsers(dest="asked", required=True)
    of.add_parser("keep", help="add what `make bench` has left").add_argument("folder", type=Path)
    of.add_parser("page", help="write the page").add_argument("file", type=Path)
    of.add_parser("fell", help="name the ratios that fell")
    given = options.parse_args(arguments)
    if given.asked == "keep":
        print(f"kept: {keep(measured(given.folder))}; to be committed")
        return 0
    kept = entries()
    if given.asked == "page":
        given.file.write_bytes(page(kept))
        print(f"to be read: {given.file}")
        return 0
    found = fell(kept)
    for fall in found:
        print(fall.told())
    for since in dict.fromkeys(fall.since for fall in found):
        changed = ", ".join(changed_versions(kept, since))
        print(
            f"other packages than at {since}: {changed}" if changed else f"packages as at {since}"
        )
    count = sum(1 for _ in compared(kept))
    print(f"{len(found)} of {count} ratios that were measured before fell by more than {WORSE:.0%}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
