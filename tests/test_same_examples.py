from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def examples() -> list[int]:
    found: list[int] = []

    @settings(max_examples=300)
    @given(st.integers())
    def drawn(value: int) -> None:
        found.append(value)

    drawn()
    return found


@pytest.mark.skipif(
    settings.get_current_profile_name() != "default", reason="looks for new examples"
)
def test_examples_do_not_depend_on_what_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = examples()
    numbers = ", ".join(str(1_000_003**power) for power in range(2, 40))
    (tmp_path / "full_of_numbers.py").write_text(f"NUMBERS = ({numbers})\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("full_of_numbers")
    assert examples() == before
    del sys.modules["full_of_numbers"]
