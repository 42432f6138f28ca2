"""The lines of `explain` about a bound agree with what the rule decided, of values of every kind."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import stories
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar

CODE = """
import pyarrow as pa


def single(text: pa.Array) -> pa.FloatArray:
    return pa.array([VALUE] * len(text), pa.float32())


def nothing(text: str) -> float:
    return float("nan") if text == "a word" else 1.0


def word(text: str) -> str:
    return WORD if text == "a word" else "cat"
"""


def told(folder: Path, code: str, name: str, bound: str) -> tuple[bool, list[str]]:
    """Whether a run with that bound keeps the first of two samples, and the lines about the rule."""
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(code)
    samples = [Sample("0", picture(0), "a word", {}), Sample("1", picture(1), "another", {})]
    write_tar(folder / "0.tar", samples)
    steps = f"\n- signals: [{{file: {folder}/own.py, name: {name}}}]\n- rules: {{{name}: {bound}}}\n- write"
    run_here(make_plan(folder / "run", folder / "0.tar", steps))
    (row,) = (row for row in ledger(folder / "run") if row["key"] == "0")
    (story,) = stories(open_run(str(folder / "run")), row["uid"], 1)[1]
    (rules,) = (step for step in in_words(story)["steps"] if step["step"] == "rules")
    return row["kept"], rules["lines"]


@pytest.mark.parametrize(("value", "side"), [(0.7, "min"), (0.1, "max")])
def test_a_bound_is_compared_in_the_digits_of_the_signal(
    tmp_path: Path, value: float, side: str
) -> None:
    (stored,) = struct.unpack("f", struct.pack("f", value))
    assert stored < value if side == "min" else stored > value
    code = CODE.replace("VALUE", str(value))
    kept, lines = told(tmp_path, code, "single", f"{{{side}: {value}}}")
    assert kept
    assert lines == [f"single {value} {'>=' if side == 'min' else '<='} {value}"]


@pytest.mark.parametrize("missing", ["keep", "drop"])
def test_what_is_no_number_is_no_value(tmp_path: Path, missing: str) -> None:
    kept, lines = told(tmp_path, CODE, "nothing", f"{{min: 0, missing: {missing}}}")
    assert kept == (missing == "keep")
    said = "kept without a value" if kept else "a value is needed"
    assert f"nothing: {said}" in lines


@pytest.mark.parametrize(("word", "shown"), [("", '""'), ("a, b", '"a, b"'), ("bird", "bird")])
def test_texts_are_told_apart(tmp_path: Path, word: str, shown: str) -> None:
    code = CODE.replace("WORD", repr(word))
    assert told(tmp_path, code, "word", f'{{in: ["{word}"]}}') == (
        True,
        [f"word {shown} is in {shown}"],
    )
    kept, lines = told(tmp_path / "dropped", code, "word", "{in: [cat]}")
    assert not kept
    assert f"passes with rules.word.in with {shown}" in lines
