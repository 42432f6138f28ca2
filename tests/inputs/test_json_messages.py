"""What is said of a line that is no JSON object: what is wrong with it, and the mend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.inputs.test_table import rows_of

ROW = '{"url": "http://h/0", "caption": "one"}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (ROW + ",", "the line ends in a comma: take it away"),
        (ROW + " , ", "the line ends in a comma: take it away"),
        (ROW + ROW, "several objects stand in one line"),
        (ROW + ", " + ROW, "several objects stand in one line"),
        (ROW + "]", "behind its object stands ']': take it away"),
        (ROW + " words", "behind its object stands 'words': take it away"),
        ("[1, 2]", "it is no JSON object"),
        (ROW[:-9], "the line ends inside of quotes: close them; in a text"),
    ],
)
def test_a_line_that_is_no_object(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f"{ROW}\n{line}\n{ROW}\n")
    first, damaged, last = rows_of(path)
    assert message in damaged["message"]
    assert first["text"] == last["text"] == "one"


@pytest.mark.parametrize("between", ["", "\r\n", " "])
def test_a_list_without_a_comma_says_so(tmp_path: Path, between: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(f"[{ROW},\r\n{ROW}{between}{ROW},{ROW}]")
    first, damaged, last = rows_of(path)
    assert damaged["message"] == "no comma stands between two objects of the list: write one"
    assert first["text"] == last["text"] == json.loads(ROW)["caption"]
