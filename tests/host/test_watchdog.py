"""Where nothing happens for a while, a notice names what is waited for; nothing is ended for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tamis.pipeline.host.watchdog import Watchdog
from tamis.pipeline.runs import walk as run
from tamis.pipeline.tasks.perform import Here, Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.schemas.events import Event, Notice
from tests.support.running import Sample, make_plan, picture, write_tar

STEPS = "  - signals: [words]\n  - rules: {words: {min: 1}}\n  - write: {}"


class Stuck(Here):
    """In one phase a task does not end before the watchdog has been heard."""

    def __init__(self, root: str, heard: threading.Event) -> None:
        super().__init__(root)
        self._heard = heard

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        for work in works:
            if (phase.name, work.task.name) == ("values", "part-00002"):
                assert self._heard.wait(60)
            yield from super().run(phase, [work])


def test_the_stuck_part_is_named_and_waited_for(tmp_path: Path) -> None:
    write_tar(tmp_path / "in.tar", [Sample(f"{i}", picture(i), "two words", {}) for i in range(4)])
    resources = {"stuck_after": 0.2}
    made = make_plan(
        tmp_path / "run", tmp_path / "in.tar", STEPS, part_samples=1, resources=resources
    )
    heard = threading.Event()
    told: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, Notice):
            told.append(event.text)
            if "signals values" in event.text:
                heard.set()

    run.run(made, [observe], executor=Stuck(made.root, heard))
    (text,) = {
        text.split(" for ")[0] + text[text.index(";") :] for text in told if "values" in text
    }
    assert text == "signals values: no task has ended; waiting for part-00002, part-00003"


def test_it_barks_again_and_is_quiet_when_fed() -> None:
    heard: list[float] = []
    with Watchdog(0.1, heard.append):
        deadline = time.monotonic() + 60
        while len(heard) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(heard) >= 3
    assert heard == sorted(heard)
    assert heard[0] >= 0.1
    quiet: list[float] = []
    with Watchdog(60, quiet.append) as watchdog:
        watchdog.feed()
    assert quiet == []
