"""Seconds of the views of `tamis browse` over a finished run: each asked for the first time, and once more.

    PYTHONPATH=. python -m tests.benchmarks.views RUN [--beside OTHER]

RUN has concepts. By the clock, and of processors.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.beside import Beside
from tamis.pipeline.audit.browse.questions import OF_A_RUN
from tamis.pipeline.audit.reading.finished_run import open_run

BOX = "-1.12,-1.12,1.12,1.12"
CONCEPTS = 4
"""Concepts that are opened: of the largest and the smaller ones."""

View = tuple[str, Callable[[], Any]]


def show(view: View) -> None:
    """Ask twice, and print what it took."""
    name, ask = view
    said = []
    for _ in range(2):
        began, busy = time.perf_counter(), time.process_time()
        ask()
        said.append(
            f"{time.perf_counter() - began:7.2f} s {time.process_time() - busy:7.2f} s of processors"
        )
    print(f"{name:28} {'   again '.join(said)}", flush=True)


def of_a_run(browser: Browser) -> Iterator[View]:
    """The views of one run."""
    yield "samples", lambda: browser.samples({})
    yield "counts", lambda: browser.counts({})
    yield "map of concepts", lambda: browser.concepts
    shown = browser.concepts["concepts"]
    for position in range(0, len(shown), max(1, len(shown) // CONCEPTS)):
        asked = {"cluster": str(shown[position]["cluster"]), "box": BOX}
        name = f"a concept of {shown[position]['samples']:,}"
        yield name, partial(OF_A_RUN["/api/members"], browser, asked)


def of_two_runs(beside: Beside) -> Iterator[View]:
    """The views of a run beside another."""
    yield "fates that differ", beside.moves
    for move in beside.moves()[:1]:
        asked = {name: move[name] or "" for name in ("before", "after")}
        yield "samples of a pair of fates", partial(beside.samples, asked)


def main() -> None:
    """Print a line a view."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--beside")
    given = parser.parse_args()
    browser = Browser(open_run(given.run), in_words)
    for view in of_a_run(browser):
        show(view)
    if given.beside is None:
        return
    with closing(Beside(browser, Browser(open_run(given.beside), in_words))) as beside:
        for view in of_two_runs(beside):
            show(view)


if __name__ == "__main__":
    main()
