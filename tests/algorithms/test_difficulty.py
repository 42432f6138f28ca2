"""s-CLIPLoss and EL2N among reference pairs: the case by hand, brute force, slicing, and numbers that overflow."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.choosing.difficulty import Measure, References
from tests.support.embedded import unit

COSINES = np.array([[0.30, 0.10, 0.05], [0.12, 0.25, 0.20], [0.02, 0.22, 0.28]])
"""Of picture i and caption j."""


def with_cosines() -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Pictures on the axes, and captions that have ``COSINES`` with them; a dimension of their own makes them unit."""
    image = np.eye(3, 6)
    text = np.zeros((3, 6))
    text[:, :3] = COSINES.T
    text[np.arange(3), np.arange(3, 6)] = np.sqrt(1 - (COSINES.T**2).sum(axis=1))
    return image.astype(np.float16), text.astype(np.float16)


def pairs(count: int, dim: int, seed: int) -> tuple[npt.NDArray[np.float16], ...]:
    draw = np.random.default_rng(seed)
    text = draw.standard_normal((count, dim))
    image = text + draw.standard_normal((count, dim))
    return unit(image).astype(np.float16), unit(text).astype(np.float16)


def brute(
    image: npt.NDArray[np.float16],
    text: npt.NDArray[np.float16],
    references: tuple[npt.NDArray[np.float16], ...],
    own: list[int],
    temperature: float,
) -> dict[str, list[float]]:
    """Both measures, a pair at a time, in extended precision."""
    found: dict[str, list[float]] = {"cliploss": [], "el2n": []}
    wide = [rows.astype(np.longdouble) for rows in (image, text, *references)]
    x, t, rx, rt = (rows / np.sqrt((rows**2).sum(axis=1, keepdims=True)) for rows in wide)
    for i, me in enumerate(own):
        others = [j for j in range(len(rx)) if j != me]
        cosine = x[i] @ t[i]
        logs, errors = [], []
        for row in (rt[others] @ x[i], rx[others] @ t[i]):
            powers = np.exp(np.append(row, cosine) / np.longdouble(temperature))
            logs.append(np.log(powers.mean()))
            share = powers / powers.sum()
            share[-1] -= 1
            errors.append(np.sqrt((share**2).sum()))
        found["cliploss"].append(float(cosine - temperature * sum(logs) / 2))
        found["el2n"].append(float(sum(errors) / 2))
    return found


def test_cliploss_by_hand() -> None:
    """The published case has sums; ours is their value plus T log 3."""
    image, text = with_cosines()
    value = References(image, text).difficulty(image, text, np.arange(3), "cliploss", 0.1)
    sums = value - 0.1 * np.log(3)
    assert sums == pytest.approx([-0.020029, -0.065286, -0.046116], abs=2e-4)


@pytest.mark.parametrize(("own", "value"), [(0, 0.424336), (2, 1.153465)])
def test_el2n_of_logits_by_hand(own: int, value: float) -> None:
    """Logits 2, 1 and 0, as cosines 1, .5 and 0 at T = .5, in both directions; the label is the first or the last."""
    plane = np.array(
        [[1, 0, 0], [0.5, np.sqrt(0.75), 0], [0, 0, 1]]
    )  # cosines with the first: 1, .5, 0
    image, text = plane[:1], plane[own : own + 1]
    others = np.delete(plane, own, axis=0)
    to_text = others if own == 0 else np.array([[0, 0, 1], [np.sqrt(0.75), 0, 0.5]])
    references = References(to_text.astype(np.float16), others.astype(np.float16))
    found = references.difficulty(
        image.astype(np.float16), text.astype(np.float16), np.array([-1]), "el2n", 0.5
    )
    assert found == pytest.approx([value], abs=1e-3)


def test_el2n_by_hand() -> None:
    image, text = with_cosines()
    value = References(image, text).difficulty(image, text, np.arange(3), "el2n", 0.1)
    assert value == pytest.approx([0.227331, 0.607974, 0.488136], abs=1e-3)


@given(
    st.integers(1, 12),
    st.integers(1, 9),
    st.integers(2, 20),
    st.sampled_from([0.01, 0.07, 1.0]),
    st.integers(0, 99),
)
def test_they_are_what_brute_force_says(
    n: int, references: int, dim: int, temperature: float, seed: int
) -> None:
    image, text = pairs(max(n, references), dim, seed)
    known = image[:references], text[:references]
    own = [i if i < references else -1 for i in range(n)]
    expected = brute(image[:n], text[:n], known, own, temperature)
    measures: tuple[Measure, ...] = ("cliploss", "el2n")
    for measure in measures:
        value = References(*known).difficulty(
            image[:n], text[:n], np.array(own), measure, temperature
        )
        assert value == pytest.approx(expected[measure], abs=2e-6)


def test_a_pair_counts_itself_once_whether_it_is_a_reference_or_not() -> None:
    """The mean over R + 1 pairs beside that over R: another value by a share of 1 / R, and the same order."""
    image, text = pairs(400, 16, 1)
    references = References(image[:300], text[:300])
    alone = References(image[1:300], text[1:300])
    inside = references.difficulty(image[:1], text[:1], np.array([0]), "cliploss", 0.05)
    outside = alone.difficulty(image[:1], text[:1], np.array([-1]), "cliploss", 0.05)
    assert inside == outside


def test_a_cold_temperature_does_not_overflow() -> None:
    image, text = pairs(20, 8, 2)
    with np.errstate(over="raise", invalid="raise"):
        value = References(image, text).difficulty(image, text, np.arange(20), "cliploss", 1e-4)
    assert np.isfinite(value).all()


@given(st.lists(st.integers(0, 700), max_size=3), st.sampled_from([8, 64]))
def test_slicing_changes_no_bit(cuts: list[int], dim: int) -> None:
    image, text = pairs(700, dim, 3)
    references = References(image[:50], text[:50])
    own = np.where(np.arange(700) < 50, np.arange(700), -1)
    whole = references.difficulty(image, text, own, "cliploss", 0.01)
    edges = [0, *sorted(cuts), 700]
    pieces = [
        references.difficulty(image[a:b], text[a:b], own[a:b], "cliploss", 0.01)
        for a, b in pairwise(edges)
    ]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_other_references_change_little() -> None:
    """Of the best 30% most are the same with other references, and with four times as many."""
    image, text = pairs(9_000, 32, 7)
    none = np.full(2_000, -1)

    def best(first: int, count: int) -> set[int]:
        known = slice(2_000 + first, 2_000 + first + count)
        value = References(image[known], text[known]).difficulty(
            image[:2_000], text[:2_000], none, "cliploss", 0.05
        )
        return set(np.argsort(-value)[:600].tolist())

    few, others, many = best(0, 1_000), best(3_000, 1_000), best(0, 4_000)
    assert len(few & others) > 0.75 * 600
    assert len(few & many) > 0.75 * 600


def test_wrong_captions_are_hard() -> None:
    image, text = pairs(300, 32, 4)
    text[:60] = text[np.roll(np.arange(60), 1)]
    references = References(image, text)
    for measure, sign in (("cliploss", -1), ("el2n", 1)):
        value = sign * references.difficulty(image, text, np.arange(300), measure, 0.05)  # type: ignore[arg-type]
        ranks = np.argsort(np.argsort(value))
        area = (ranks[:60].sum() - 60 * 59 / 2) / (60 * 240)
        assert area > 0.9
