"""A story's comparison of a value with a bound is the one that the step makes."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit.explain import is_uid
from pipeline.audit.rule_check import passes
from pipeline.steps.rules import failures
from schemas.steps import Bound

NUMBERS = st.none() | st.integers(-5, 5) | st.floats(-5, 5) | st.just(float("nan"))
LIMITS = st.none() | st.integers(-5, 5).map(float) | st.floats(-5, 5)
MISSING = st.sampled_from(["drop", "keep"])
CHOICES = st.sampled_from(["en", "de", "1", "true", 1, 2.0, 2.5, True, False])


def agrees(value: object, bound: Bound) -> None:
    failed = failures(pa.array([value]), bound)
    assert passes(value, bound) == (not any(mask[0] for mask in failed.values()))


@given(NUMBERS, LIMITS, LIMITS, MISSING)
def test_numbers(value: float | None, low: float | None, high: float | None, missing: str) -> None:
    if low is None and high is None:
        low = 0.0
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    agrees(
        None if value is None else float(value),
        Bound.model_validate({"min": low, "max": high, "missing": missing}),
    )


@given(
    st.none()
    | st.sampled_from(["en", "de", "fr", "1"])
    | st.booleans()
    | st.sampled_from([1.0, 2.0, 2.5]),
    st.lists(CHOICES, min_size=1, max_size=4),
    MISSING,
)
def test_lists(value: object, choices: list[object], missing: str) -> None:
    agrees(value, Bound.model_validate({"in": choices, "missing": missing}))


def test_a_uid_is_32_hex_digits() -> None:
    assert is_uid("0123456789abcdef0123456789ABCDEF")
    assert not is_uid("0123456789abcdef0123456789ABCDEG")
    assert not is_uid("0123456789abcdef")
