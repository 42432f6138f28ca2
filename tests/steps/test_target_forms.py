"""What a target of captions may be written as, and what is said of all else before a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.inputs.parquet.format import PARQUET
from tamis.pipeline.inputs.table.format import CSV, JSONL
from tamis.pipeline.steps.shared.config import CAPTIONS
from tamis.schemas.errors import TamisError
from tests.support.running import make_plan, write_tar
from tests.support.step_cases import captioned

WANTED = ["a red house, by the sea", "the flag of Norway"]


def of_cells(mark: str) -> Callable[[Path], object]:
    rows = [f'{number}{mark}"{text}"' for number, text in enumerate(WANTED)]
    return lambda path: path.write_text("\n".join([f"id{mark}caption", *rows, f"9{mark}", ""]))


def of_lines(path: Path) -> None:
    rows = [{"caption": text} for text in WANTED]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, {"caption": None}]))


def of_columns(path: Path) -> None:
    pq.write_table(pa.table({"caption": [*WANTED, ""]}), path)


WRITERS: dict[str, Callable[[Path], object]] = {
    ".txt": lambda path: path.write_text("\n".join([*WANTED, "", " "])),
    ".csv": of_cells(","),
    ".tsv": of_cells("\t"),
    ".json": lambda path: path.write_text(json.dumps([{"text": text} for text in WANTED])),
    **dict.fromkeys((".jsonl", ".ndjson"), of_lines),
    **dict.fromkeys(PARQUET.endings, of_columns),
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pool") / "a.tar"
    write_tar(path, captioned().usual[:8])
    return path


def planned(folder: Path, pool: Path, target: str, measure: str = "keep: 0.5") -> None:
    steps = f"- embed: {{encoder: demo}}\n- target: {{path: '{folder}/{target}', {measure}}}"
    make_plan(folder / "run", pool, steps)


def test_captions_are_text_and_the_tables_that_are_read() -> None:
    assert {*CAPTIONS} == {".txt", *PARQUET.endings, *CSV.endings, *JSONL.endings}


@pytest.mark.parametrize("ending", CAPTIONS)
def test_each_form_is_a_target(tmp_path: Path, pool: Path, ending: str) -> None:
    WRITERS[ending](tmp_path / f"words{ending.upper()}")
    planned(tmp_path, pool, f"words{ending.upper()}")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.csv.gz", b"\x1f\x8b", ".gz is packed, .*: unpack it first: gunzip -k 'DIR/x.csv.gz'"),
        ("x.xlsx", b"PK\x03\x04", r"pd.read_excel\('DIR/x.xlsx'\).to_parquet"),
        ("x.feather", b"ARROW1", r"pd.read_feather\('DIR/x.feather'\).to_parquet"),
        ("x.tar", b"\0" * 512, "of pictures a run is the target: make one by a job with this as"),
        ("x.jpg", b"\xff\xd8", "of pictures a run is the target"),
        ("x.heic", b"", "of pictures a run is the target"),
        ("x.md", b"words", r"x.md` is not read: a target is .* or captions \(.txt, .csv, "),
        ("x/1.jpg", b"\xff\xd8", "x` is no finished run, which has manifest.json: of pictures a"),
        ("x.csv", b"", "x.csv` has no captions: give at least one"),
        ("x.txt", b" \n\n", "x.txt` has no captions"),
        ("x.csv", b"titel,id\na,1\n", "no column `text`; it has titel, id: call that of the capt"),
        ("x.jsonl", b'{"text": 5}\n', "row 1: a caption is text in UTF-8, and this is int"),
        ("x.json", b'{"text": "a"', "x.json"),
        ("x.parquet", b"PAR1", "cannot be read as parquet"),
        ("x.txt", b"\xff\xfea\0", "not UTF-8"),
        (None, b"", "is not there: a target is a finished run"),
    ],
)
def test_what_is_none_is_told_before_the_run(
    tmp_path: Path, pool: Path, name: str | None, data: bytes, said: str
) -> None:
    if name is not None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with pytest.raises(TamisError, match=said.replace("DIR", re.escape(str(tmp_path)))) as told:
        planned(tmp_path, pool, (name or "x").removesuffix("/1.jpg"))
    assert "\n" not in str(told.value)


def test_pairs_are_no_table_of_captions(tmp_path: Path, pool: Path) -> None:
    of_cells(",")(tmp_path / "x.csv")
    with pytest.raises(TamisError, match="has one side alone, and pairs are needed"):
        planned(tmp_path, pool, "x.csv", "keep: 4, measure: influence")
