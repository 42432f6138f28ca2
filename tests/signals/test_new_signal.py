"""A signal that a test brings along, by the recipe in CONTRIBUTING.md: computed, bounded, explained and reported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.audit.story.story import stories
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.signals import caption_signals, registry
from tamis.pipeline.signals.kinds import TextSignal
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar

STEPS = """
  - signals: [words, vowels]
  - rules: {vowels: {min: 2}}
  - write"""


def vowels(texts: Sequence[str | None]) -> np.ndarray:
    """(n,) int64 vowels of each caption."""
    return np.array([sum(letter in "aeiou" for letter in text or "") for text in texts])


def test_it_is_computed_bounded_explained_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = TextSignal(
        doc="vowels of the caption",
        unit="vowels",
        dtype=registry.SIGNALS["words"].dtype,
        load=lambda: caption_signals._text(vowels),
    )
    monkeypatch.setitem(registry.SIGNALS, "vowels", entry)
    captions = ["sky", "an apple", "a red boat", "rhythm"]
    samples = [Sample(f"{i}", picture(i), text, {}) for i, text in enumerate(captions)]
    plan = make_plan(tmp_path / "run", write_tar(tmp_path / "in" / "0.tar", samples), STEPS)
    assert "vowels" in str(preview(plan))
    run_here(plan)
    assert {row["key"]: (row["vowels"], row["kept"]) for row in ledger(tmp_path / "run")} == {
        "0": (0, False),
        "1": (3, True),
        "2": (4, True),
        "3": (0, False),
    }
    run = open_run(str(tmp_path / "run"))
    (story,) = stories(run, "0", 1)[1]
    assert "vowels 0" in str(in_words(story)["steps"])
    assert report(run).count(b"vowels") > 1
