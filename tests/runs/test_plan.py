"""A plan: what its steps make is asked once, however many parts look it up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.pipeline.steps.signals.step import Signals
from tamis.pipeline.tasks.product import Product
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

STEPS = """
  - signals: [words]
  - rules: {words: {min: 1}}
"""


def test_steps_are_asked_once_what_they_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [Sample(f"{number}", picture(number), "two words", {}) for number in range(6)]
    write_tar(tmp_path / "0.tar", samples)
    plan = make_plan(tmp_path / "run", tmp_path / "*.tar", STEPS, part_samples=1)
    asked: list[str] = []
    makes = Signals.makes

    def counted(step: Signals) -> dict[Product, str]:
        asked.append(step.name)
        return dict(makes(step))

    monkeypatch.setattr(Signals, "makes", counted)
    run_here(plan)
    assert asked == ["signals"]
