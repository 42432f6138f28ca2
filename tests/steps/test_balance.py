"""Balance over concepts: what is found in captions, who is drawn, and what is said about the others."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import balance
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.steps.selectors.balance import step as balance_step
from tamis.schemas.errors import InputError
from tests.support.embedded import numbered, run_one
from tests.support.running import ledger
from tests.support.tables import table


def test_the_chances_of_the_method() -> None:
    assert balance.chances(np.array([40, 10, 3, 0]), 10).tolist() == [0.25, 1.0, 1.0, 1.0]
    assert balance.together([0.25]) == 0.25
    assert balance.together([0.25, 0.5]) == 0.625
    assert balance.together([]) == 0.0
    assert balance.together([0.1, 1.0]) == 1.0


def test_concepts_are_whole_words_side_by_side() -> None:
    concepts = balance.Concepts(["apple", "apple tree", "tree", "new york city", "york"])
    assert concepts.found("An APPLE-tree, and apple trees") == [0, 1, 2]
    assert concepts.found("New York  City") == [3, 4]
    assert concepts.found("new city of york") == [4]
    assert concepts.found("pineapple &amp; ap ple") == []
    assert concepts.found(None) == concepts.found("") == []
    assert balance.words("caf\u00e9 \u201cOl\u00e9\u201d, 3x") == ["caf\u00e9", "ol\u00e9", "3x"]


WORDS = st.lists(st.sampled_from(["a", "b", "aa", "c"]), min_size=1, max_size=6).map(" ".join)


@given(st.lists(WORDS, unique=True, max_size=12), WORDS)
def test_found_is_what_a_search_for_each_finds(concepts: list[str], text: str) -> None:
    expected = [n for n, one in enumerate(concepts) if re.search(rf"(?<!\w){one}(?!\w)", text)]
    assert balance.Concepts(concepts).found(text) == expected


# The step. Concepts: cat in 30 captions, red in 10 (5 of them of cats too), bird in 2, none in 3.

TEXTS = ["a cat"] * 25 + ["red cat"] * 5 + ["red"] * 5 + ["bird"] * 2 + ["zebra"] * 3


def run(folder: Path, settings: str, concepts: str = "cat\nRed!\nBird\ncat\n") -> list[int]:
    (folder / "c.txt").write_text(concepts)
    made = numbered(len(TEXTS), text=TEXTS)
    return run_one(folder, made, f"- balance: {{list: {folder}/c.txt{settings}}}", part_samples=7)


def expected(most: int) -> list[int]:
    uid = np.array([[0, n] for n in range(len(TEXTS))], np.uint64)
    draw = order.uniform(order.hashed(uid, 42, "balance"))
    chance = {"cat": min(1, most / 30), "red": min(1, most / 10), "bird": min(1, most / 2)}
    kept = []
    for number, text in enumerate(TEXTS):
        missed = 1.0
        for word in text.split():
            missed *= 1 - chance.get(word, 0)
        if draw[number] < 1 - missed:
            kept.append(number)
    return kept


@pytest.mark.parametrize("most", [2, 5, 10, 30])
def test_who_is_drawn(most: int, tmp_path: Path) -> None:
    kept = run(tmp_path, f", most: {most}")
    assert kept == expected(most)
    assert most < 30 or kept == list(range(37))


def test_what_is_said_of_the_others(tmp_path: Path) -> None:
    run(tmp_path, ", most: 5")
    rows = [row for row in ledger(tmp_path / "run") if not row["kept"]]
    lost = [row for row in rows if row["reason"] == "frequent_concepts"]
    assert all(row["value"] >= row["bound"] and row["rule"] == "draw" for row in lost)
    said = {(row["text"], row["message"], round(row["bound"], 6)) for row in lost}
    assert said <= {
        ("a cat", "cat", round(1 / 6, 6)),
        ("red cat", "red", round(1 - 5 / 6 / 2, 6)),
        ("red", "red", 0.5),
    }
    assert len(said) == 3
    none = [row for row in rows if row["reason"] == "without_concept"]
    assert [row["text"] for row in none] == ["zebra"] * 3
    assert {row["message"] for row in none} == {None}
    made = table(tmp_path / "run", "balance", "chances")
    assert made["concept"].to_pylist() == ["bird", "cat", "red"]
    assert made["count"].to_pylist() == [2, 30, 10]


def test_captions_without_a_concept_may_stay(tmp_path: Path) -> None:
    kept = run(tmp_path, ", most: 5, unmatched: keep")
    assert kept == [*expected(5), 37, 38, 39]


def test_another_number_is_decided_again(tmp_path: Path) -> None:
    run(tmp_path, ", most: 5")
    change = whatif(open_run(str(tmp_path / "run")), ["balance.most=10"])
    assert change.kept_after == len(expected(10))
    assert change.came == len(set(expected(10)) - set(expected(5)))


def test_wrong_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="has no concepts: leave the step out, or give the list"):
        run(tmp_path, "", "\n \n")
    with pytest.raises(InputError, match=r"line 2: `\+\+` has no word: leave it out"):
        run(tmp_path, "", "cat\n++\n")
    monkeypatch.setattr(balance_step, "MOST_CONCEPTS", 2)
    with pytest.raises(InputError, match="more than 2 concepts, which is what a worker holds"):
        run(tmp_path, "")
    with pytest.raises(InputError, match="no file"):
        run(tmp_path, "x")
