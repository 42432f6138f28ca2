from __future__ import annotations

from collections import Counter

from tests.support.fuzzing import check, mutated


def test_nothing_is_lost_in_mutated_files() -> None:
    came_of = Counter(check(number) for number in range(400))
    assert came_of["damaged"] > 100
    assert came_of["sound"] > 10


def test_a_case_is_the_same_every_time() -> None:
    assert [mutated(number)[1] for number in range(20)] == [mutated(i)[1] for i in range(20)]
