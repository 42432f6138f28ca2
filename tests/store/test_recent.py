"""What was used lately is kept within a bound, as a list of the whole past says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.store.recent import Recent


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 9)), max_size=60),
    st.integers(0, 20),
)
def test_those_used_last_are_kept_as_many_as_fit(
    asked: list[tuple[bool, int, int]], most: int
) -> None:
    """Size and value are one number; of a key that is kept twice the later value counts."""
    recent = Recent[int, int](most, lambda value: value)
    past: list[tuple[int, int]] = []
    for keeps, key, value in asked:
        there = dict(past).get(key)
        if not keeps:
            assert recent.get(key) == there
        others = [one for one in past if one[0] != key]
        if keeps:
            recent.keep(key, value)
            past = [*others, (key, value)]
        elif there is not None:
            past = [*others, (key, there)]
        while sum(size for _, size in past) > most:
            past.pop(0)
        assert len(recent) == len(past)
    assert [recent.get(key) for key, _ in past] == [value for _, value in past]


def test_without_a_size_each_counts_as_one() -> None:
    recent = Recent[str, str](2)
    for key in "abc":
        recent.keep(key, key)
    assert [recent.get(key) for key in "abc"] == [None, "b", "c"]
    recent.clear()
    assert not len(recent)
