"""What is written as YAML is read as it was, wherever it stands."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tamis.schemas import yaml12

CHARACTERS = "ab 0.-_:,#[]{}'\"\\&*!|>%@`~?\n\t\r\x00\x1b\x85\u2028\u202e\ufeff\u00e9\U0001f600"
WORDS = [
    "null",
    "~",
    "true",
    "No",
    "1e3",
    "0x1f",
    "010",
    ".inf",
    "<<",
    "",
    " ",
    "- a",
    "a: b",
    "---",
]


def texts() -> list[str]:
    draw = random.Random(4)
    return WORDS + ["".join(draw.choices(CHARACTERS, k=draw.randint(1, 6))) for _ in range(2000)]


def test_a_text_comes_back() -> None:
    for text in texts():
        for written in (yaml12.flow(text), yaml12.quoted(text)):
            assert written.isprintable()
            for line in (f"a: {written}", f"{{a: {written}, b: 1}}", f"a: [{written}, x]"):
                found = yaml12.load(line)["a"]
                assert found in (text, [text, "x"]), (text, line)
        assert yaml12.load(f"a: {yaml12.flow({text: 1})}")["a"] == {text: 1}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"min": 2, "of": ["a b", "a, b"]}, '{min: 2, of: [a b, "a, b"]}'),
        ([True, None, 0.5], "[true, null, 0.5]"),
        ("open_clip:ViT-B-32/laion2b", "open_clip:ViT-B-32/laion2b"),
        ("010", '"010"'),
    ],
)
def test_a_value_stands_on_one_line(value: Any, line: str) -> None:
    assert yaml12.flow(value) == line
    assert yaml12.load(f"a: {line}") == {"a": value}
