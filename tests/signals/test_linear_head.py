"""Linear heads: the score, the two file formats, and what is refused."""

import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from tamis.pipeline.signals.linear_head import read_head
from tamis.schemas.errors import ModelError


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


WEIGHT = np.array([[1.0, -2.0, 0.5]], dtype=np.float32)
BIAS = np.array([3.0], dtype=np.float32)


@pytest.mark.parametrize(
    "data", [npz(weight=WEIGHT, bias=BIAS), save({"weight": WEIGHT, "bias": BIAS})]
)
def test_both_formats_give_the_weighted_sum_and_the_bias(data: bytes) -> None:
    head = read_head(data, "aesthetic")
    scores = head.score(np.array([[1, 1, 2], [0, 0, 0]], dtype=np.float16))
    assert head.dim == 3
    assert scores.dtype == np.float32
    assert scores.tolist() == [3.0, 3.0]


def test_sigmoid_makes_a_probability() -> None:
    head = read_head(npz(weight=np.array([1.0]), bias=0.0, sigmoid=1), "watermark")
    scores = head.score(np.array([[0.0], [np.log(3)], [-1e4], [1e4]], dtype=np.float64))
    assert scores.tolist() == pytest.approx([0.5, 0.75, 0.0, 1.0])


@given(st.integers(1, 40), st.integers(1, 2100), st.integers(0, 99))
def test_a_rows_score_does_not_depend_on_its_neighbours(dim: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((rows, dim)).astype(np.float16)
    head = read_head(npz(weight=rng.standard_normal(dim), bias=rng.standard_normal()), "head")
    together = head.score(embeddings)
    picked = rng.integers(0, rows, 5)
    assert together[picked].tolist() == [head.score(embeddings[[row]])[0] for row in picked]
    exact = embeddings.astype(np.float64) @ head.weight + head.bias
    assert together == pytest.approx(exact, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npz(weight=WEIGHT), r"has the arrays \['weight'\]"),
        (npz(weight=WEIGHT, bias=BIAS, scale=BIAS), "scale"),
        (npz(weight=np.ones((2, 3)), bias=BIAS), r"'weight': \(2, 3\)"),
        (npz(weight=WEIGHT, bias=np.ones(3)), r"'bias': \(3,\)"),
        (npz(weight=np.array([np.nan]), bias=BIAS), "out of range"),
        (npz(weight=WEIGHT, bias=BIAS, sigmoid=2), "out of range"),
        (npz(weight=np.array(["a"]), bias=BIAS), "no .npz or safetensors"),
        (npz(weight=np.array([None]), bias=BIAS), "no .npz or safetensors"),
        (pickle.dumps({"weight": [1.0], "bias": 0.0}), "no .npz or safetensors"),
        (b"PK\x03\x04 cut off", "no .npz or safetensors"),
        (b"", "no .npz or safetensors"),
    ],
)
def test_what_is_no_head_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=f"head mine.*{message}"):
        read_head(data, "mine")


def test_a_cut_file_is_refused() -> None:
    data = npz(weight=WEIGHT, bias=BIAS)
    for length in range(0, len(data), 7):
        with pytest.raises(ModelError):
            read_head(data[:length], "mine")


def test_an_embedding_of_another_size_is_refused() -> None:
    head = read_head(npz(weight=WEIGHT, bias=BIAS), "mine")
    with pytest.raises(ValueError, match=r"\(2, 4\); the head takes \(n, 3\)"):
        head.score(np.zeros((2, 4), dtype=np.float16))
