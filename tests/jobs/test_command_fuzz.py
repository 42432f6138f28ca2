"""Commands with odd arguments: a share of what ``python -m tests.support.command_fuzz CASES`` calls."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.command_fuzz import World, check

CASES = 40


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whatever_is_asked_ends_in_order(tmp_path_factory: pytest.TempPathFactory) -> None:
    world, codes = World.made(tmp_path_factory.mktemp("world")), Counter[int]()
    for number in range(CASES):
        arguments = world.command(number)
        ended, faults = check(world, arguments)
        assert faults == [], (number, arguments, ended)
        codes[ended.code] += 1
    assert codes[0] > CASES / 20
    assert codes[2] > CASES / 4
