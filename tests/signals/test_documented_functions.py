"""The functions in docs/signals.md do what it says, with the job that stands above them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar

TEXT = (ROOT / "docs" / "signals.md").read_text().partition("## Functions of your own")[2]
SOURCES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", TEXT, re.DOTALL))


def test_the_documented_functions_give_signals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(SOURCES) == {"captions.py", "letters.py", "pictures.py"}
    for name, source in SOURCES.items():
        (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    found = re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    captions = {"a": "A red Boat", "draft-b": "an apple", "c": "sky"}
    samples = [Sample(key, picture(0xFF3300), text, {}) for key, text in captions.items()]
    tar = write_tar(tmp_path / "in" / "0.tar", samples)
    run_here(make_plan(tmp_path / "run", tar, found[1]))
    names = ("key", "vowels", "small_letters", "redness", "kept")
    assert [tuple(row[name] for name in names) for row in ledger(tmp_path / "run")] == [
        ("a", 4, 6, 204.0, True),
        ("draft-b", 3, 7, None, True),
        ("c", 0, 3, 204.0, False),
    ]
