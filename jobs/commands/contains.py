"""``tamis contains``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.compare.bare_inputs import ingested, is_run
from tamis.pipeline.audit.compare.contains import By, Containment, On, Pair, compare, of_runs
from tamis.pipeline.audit.reading.words import counted
from tamis.schemas.errors import JobError

BY_CONTENT = ("sha256", "pixels")
"""What can be compared that is the picture itself."""


def show_containment(
    paths: Sequence[str], *, by: By | None, on: On, sample: float, count: int, json: bool
) -> None:
    """Show which inputs stand in which others, and which of them could go.

    Raises:
        TamisError: no such run, its tables are gone, or nothing can be compared.
    """
    found = _compared(paths, by or ("run" if len(paths) > 1 else "source"), on, sample)
    if json:
        display.echo(display.as_json(_plain(found)))
        return
    out = display.console()
    pairs = found.pairs()
    if not pairs:
        out.print(f"no two of {display.count(len(found.names))} inputs share a {on}")
        return
    columns = [("input", "left"), ("stands in", "left"), ("shared", "right"), ("share", "right")]
    if sample < 1:
        columns.append(("95% interval", "right"))
    display.print_table(out, display.table(columns, [_row(found, p) for p in pairs[:count]]))
    if len(pairs) > count:
        out.print(f"the first {display.count(count)} of {display.count(len(pairs))}; -n shows more")
    out.print()
    contained = found.contained()
    may = "may stand" if sample < 1 else "stands"
    for one, keeper in contained:
        size = display.size(found.bytes[one])
        out.print(f"{found.names[one]} ({size}) {may} in {found.names[keeper]} as a whole")
    total = display.size(sum(found.bytes[one] for one, _ in contained))
    for one, keeper in found.all_but():
        out.print(
            f"{found.names[one]} {may} in {found.names[keeper]}, but for {counted(found.without[one], 'sample')} "
            f"without a {on}, or that could not be read: it is not among those that could go"
        )
    if contained and sample == 1:
        same = "" if on in BY_CONTENT else f", if the same {on} means the same sample"
        out.print(
            f"{counted(len(contained), 'input')} could be deleted, {total}{same}; the cost of making them again is "
            "not counted"
        )
    elif contained:
        out.print("a sample is no proof: without --sample every key is looked at")
    else:
        out.print(f"no input stands in another as a whole, by {on}")


def _compared(paths: Sequence[str], by: By, on: On, sample: float) -> Containment:
    """Finished runs by what they have stored; all else is input files, which are read first."""
    stored = [path for path in paths if is_run(path)]
    bare = [path for path in paths if path not in stored]
    given = of_runs([opened(path) for path in stored], by)
    if not bare:
        return compare(given, on, sample)
    if by == "entry":
        raise JobError(
            f"--by entry: {bare[0]} is no finished run, and has no entries: say source or run"
        )
    display.note("note: input files are read first, which takes as long as a run's ingest")
    with ingested(bare, by == "run") as more:
        return compare([*given, more], on, sample)


def _row(found: Containment, pair: Pair) -> list[str]:
    cells = [found.names[pair.a], found.names[pair.b], display.count(pair.shared)]
    cells.append(f"{100 * pair.share:.1f}%")
    if found.sample < 1:
        cells.append(f"{100 * pair.low:.1f}% to {100 * pair.high:.1f}%")
    return cells


def _plain(found: Containment) -> dict[str, Any]:
    counts = found.counts
    numbers = (counts.size.tolist(), counts.elsewhere.tolist(), found.without)
    rows = zip(found.names, found.bytes, *numbers, strict=True)
    return {
        "sample": found.sample,
        "sets": [
            {"name": name, "bytes": size, "keys": keys, "elsewhere": elsewhere, "without": without}
            for name, size, keys, elsewhere, without in rows
        ],
        "pairs": [
            {
                "a": found.names[pair.a],
                "b": found.names[pair.b],
                "shared": pair.shared,
                "share": pair.share,
                "interval": [pair.low, pair.high],
            }
            for pair in found.pairs()
        ],
        "contained": [
            {"name": found.names[one], "in": found.names[keeper], "bytes": found.bytes[one]}
            for one, keeper in found.contained()
        ],
    }
