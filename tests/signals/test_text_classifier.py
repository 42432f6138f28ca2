"""Classifiers of captions in files of fastText's, as signals of a job."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.signals.text_classifier import TextClassifier
from tamis.schemas.errors import JobError, ModelError
from tests.support.fasttext_file import rude
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar

pytest.importorskip("fasttext")

CAPTIONS = ["you idiot", "a bird", "an idiot\nand a bird", " ", "something else"]


def probability(mean: float) -> float:
    """Of `rude`, by the two labels' softmax."""
    return 1 / (1 + math.exp(-2 * mean))


# The end of a line is a word of the model's: it counts in the mean.
RUDE = [probability(mean) for mean in (1.5, -1.5, 0.0)]


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    samples = [Sample(f"{i}", picture(i), text, {}) for i, text in enumerate(CAPTIONS)]
    return write_tar(tmp_path / "in" / "0.tar", samples)


def step(tmp_path: Path, more: str = "labels: {toxic: rude}") -> str:
    return (
        f"  - signals: {{names: [toxic], classifiers: {{toxic: {tmp_path}/models/toxic.bin}}, {more}}}\n"
        "  - rules: {toxic: {max: 0.9, missing: keep}}"
    )


def values(run: Path) -> list[Any]:
    return [row["toxic"] for row in ledger(run)]


def test_a_signal_is_the_probability_of_a_label(tmp_path: Path) -> None:
    model = TextClassifier(str(rude(tmp_path / "toxic.bin")), "toxic.bin")
    found = model.values([*CAPTIONS, None], "rude").to_pylist()
    assert found[:3] == pytest.approx(RUDE, abs=1e-4)
    assert found[3:] == [None, pytest.approx(0.5, abs=1e-4), None]


def test_without_a_label_it_is_the_likeliest_one(tmp_path: Path) -> None:
    model = TextClassifier(str(rude(tmp_path / "toxic.bin")), "toxic.bin")
    assert model.values(["you idiot", "a bird", ""], None).to_pylist() == ["rude", "kind", None]


def test_a_job_stores_it_and_decides_by_it_again_without_the_file(
    tmp_path: Path, tar: Path
) -> None:
    file = rude(tmp_path / "models" / "toxic.bin")
    run_here(make_plan(tmp_path / "run", tar, step(tmp_path)))
    assert values(tmp_path / "run")[:3] == pytest.approx(RUDE, abs=1e-4)
    assert [row["kept"] for row in ledger(tmp_path / "run")] == [False, True, True, False, True]
    file.unlink()
    assert whatif(open_run(str(tmp_path / "run")), ["rules.toxic.max=0.4"]).kept_after == 1


def test_another_model_or_label_computes_again(tmp_path: Path, tar: Path) -> None:
    def tasks(more: str = "labels: {toxic: rude}") -> int:
        return run_here(make_plan(tmp_path / "run", tar, step(tmp_path, more))).tasks_run

    rude(tmp_path / "models" / "toxic.bin")
    assert tasks() > 2
    assert tasks() == 0
    assert tasks("labels: {toxic: kind}") > 0
    before = values(tmp_path / "run")
    rude(tmp_path / "models" / "toxic.bin", weight=1.0)
    assert tasks("labels: {toxic: kind}") > 0
    assert values(tmp_path / "run") != before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("labels: {toxic: rued}", "has no label `rued`; did you mean `rude`"),
        ("labels: {toxic: 5ab}", "has no label `5ab`; known: kind, rude$"),
        ("labels: {words: rude}", "labels: `words`: is a signal of `classifiers`"),
        ("lists: {toxic: a.txt}", "`toxic` stands twice among heads, lists, classifiers and"),
        ("", r"rules: toxic is text, which `min` and `max` cannot bound"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    more: str, message: str, tmp_path: Path, tar: Path
) -> None:
    rude(tmp_path / "models" / "toxic.bin")
    with pytest.raises((JobError, ModelError), match=message):
        make_plan(tmp_path / "run", tar, step(tmp_path, more))


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_a_file_that_is_no_model_is_one_line(
    content: bytes | None, tmp_path: Path, tar: Path
) -> None:
    if content is not None:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "toxic.bin").write_bytes(content)
    with pytest.raises(ModelError, match=r"toxic.bin (cannot be read|is no model)") as told:
        make_plan(tmp_path / "run", tar, step(tmp_path))
    assert "\n" not in str(told.value)
