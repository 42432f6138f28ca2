"""Tables in text that are not written as UTF-8 in lines are one line with the mend: of `init`, and of `plan`."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from tamis.jobs.job_files.draft import fitted
from tamis.schemas.errors import InputError, JobError
from tests.support.running import make_plan

STEPS = "\n  - signals: [words]\n  - rules: {words: {min: 1}}"

ROWS = [{"url": f"http://example.org/{i}", "text": f"a caption {i}"} for i in range(5)]

TEXTS = {
    "jsonl": "".join(f"{json.dumps(row)}\n" for row in ROWS),
    "csv": "url,text\n" + "".join(f"{row['url']},{row['text']}\n" for row in ROWS),
}

FORMS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "UTF-16": (lambda text: text.encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
    "UTF-16 of the other order": (
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        "iconv -f UTF-16 -t UTF-8",
    ),
    "gzip": (lambda text: gzip.compress(text.encode()), "gunzip"),
    "bzip2": (lambda text: bz2.compress(text.encode()), "bunzip2"),
    "xz": (lambda text: lzma.compress(text.encode()), "unxz"),
}


@pytest.mark.parametrize("suffix", TEXTS)
@pytest.mark.parametrize("form", FORMS)
def test_what_the_first_bytes_say_is_said_with_the_mend(
    suffix: str, form: str, tmp_path: Path
) -> None:
    write, mend = FORMS[form]
    path = tmp_path / f"table.{suffix}"
    path.write_bytes(write(TEXTS[suffix]))
    with pytest.raises(InputError) as told:
        fitted([str(path)])
    assert mend in str(told.value)
    with pytest.raises(JobError) as refused:
        make_plan(tmp_path / "run", path, STEPS)
    assert f"input/table.{suffix} cannot be read: " in str(refused.value)
    assert mend in str(refused.value)


def test_lines_that_end_in_returns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_bytes(TEXTS["jsonl"].replace("\n", "\r").encode())
    with pytest.raises(InputError, match=r"its lines end in \\r alone"):
        fitted([str(path)])


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_samples_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="has no samples"):
        fitted([str(path)])
