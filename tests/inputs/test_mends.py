"""What is said of inputs that are read another way: the mend is the one that helps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tamis.pipeline.inputs.entries import listed
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.job import Input


def refused(path: Path | str) -> str:
    with pytest.raises((InputError, JobError)) as told:
        listed(Input(path=(str(path),)))
    return str(told.value)


@pytest.mark.parametrize("first", ["0.json", "0.txt", "0.cr2", "0.md", "a/0.json"])
def test_a_pattern_over_pictures_is_told_of_their_folder(tmp_path: Path, first: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / first).write_text('{"caption": "one"}')
    (tmp_path / "b.png").touch()
    pattern = f"{tmp_path}/**/*.*"
    assert f"1.jpg lies beside its caption 1.txt: name that: {tmp_path}/" in refused(pattern)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["a", "b"], "it holds a JSON list of texts, and samples are objects"),
        ([1, 2.5], "it holds a JSON list of numbers, and"),
        ([["a", "b"]], "it holds a JSON list of lists, and"),
        (["a", None, {}], "it holds a JSON list of nulls and objects and texts, and"),
        ("a", "it holds one JSON text, and"),
        (7, "it holds one JSON number, and"),
        (None, "it holds one JSON null, and"),
        (True, "it holds one JSON truth, and"),
        ({"a": 1}, "it holds one JSON object, not a list of them"),
    ],
)
def test_what_a_json_holds_is_said_as_it_is(tmp_path: Path, value: Any, said: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert said in refused(tmp_path / "a.json")
    assert said in refused(tmp_path)


@pytest.mark.parametrize("name", ["b{1}", "b{1,2}", "b[1]", "b*", "b?"])
@pytest.mark.parametrize("end", ["", "/"])
def test_a_directory_with_the_name_of_a_pattern(tmp_path: Path, name: str, end: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "1.png").touch()
    assert "* ? [ ] { } are patterns: give it a name without them" in refused(
        f"{tmp_path}/{name}{end}"
    )
