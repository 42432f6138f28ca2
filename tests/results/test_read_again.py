"""A result is an input again: the same samples under the same uids, whatever the input was."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.results.sidecars import ours_in
from tests.support.running import ledger, make_plan, picture, run_here

ROWS = 3
TEXTS = [["one thing", "two things"], ["three things"], ["four", "five", "six"]]
UIDS = [f"{n + 1:032x}" for n in range(ROWS)]


def rows(uid: str, text: str, lists: bool) -> list[dict[str, Any]]:
    texts = [one if lists else one[0] for one in TEXTS]
    return [{uid: u, text: t, "more": n} for n, (u, t) in enumerate(zip(UIDS, texts, strict=True))]


def written(folder: Path, form: str, fields: list[dict[str, Any]], pictures: bool) -> Path:
    """An input of some rows, with or without pictures."""
    folder.mkdir()
    for number in range(ROWS if pictures else 0):
        (folder / f"{number}.png").write_bytes(picture(number))
    if form == "tar":
        with tarfile.open(folder / "x.tar", "w") as tar:
            for number, one in enumerate(fields):
                members = {"png": picture(number), "json": json.dumps(one, indent=1).encode()}
                for suffix, data in members.items():
                    info = tarfile.TarInfo(f"{number}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        return folder / "x.tar"
    beside = [
        {**one, **({"file_name": f"{n}.png"} if pictures else {})} for n, one in enumerate(fields)
    ]
    if form == "parquet":
        inside = [
            {**one, **({"image": picture(n)} if pictures else {})} for n, one in enumerate(fields)
        ]
        pq.write_table(pa.Table.from_pylist(inside), folder / "x.parquet")
    elif form == "csv":
        lines = [",".join(beside[0]), *(",".join(map(str, one.values())) for one in beside)]
        (folder / "x.csv").write_text("\n".join(lines))
    else:
        (folder / "x.jsonl").write_text("\n".join(map(json.dumps, beside)))
    return folder / f"x.{form}"


def run(output: Path, path: Path | str, form: str = "auto", **entry: Any) -> list[tuple[str, str]]:
    """(uid, caption) of the samples that a job keeps; it drops none."""
    steps = f"  - write: {{samples_per_shard: 4, format: {form}}}"
    run_here(make_plan(output, path, steps, input=[{"path": str(path), **entry}]))
    assert {row["reason"] for row in ledger(output)} == {None}
    found = []
    for file in sorted((output / "shards").glob("*.parquet")):
        table = pq.read_table(file)
        names = ours_in(table.schema)
        columns = (table[names.get(name, name)].to_pylist() for name in ("uid", "caption"))
        found += list(zip(*columns, strict=True))
    return found


def shards(output: Path) -> str:
    """The pattern of a result's files: tars where there are any."""
    ending = "tar" if any((output / "shards").glob("*.tar")) else "parquet"
    return f"{output}/shards/*.{ending}"


def jsons(output: Path) -> list[bytes]:
    """The json members of a result."""
    found = []
    for path in sorted((output / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            found += [tar.extractfile(one).read() for one in tar if one.name.endswith(".json")]  # type: ignore[union-attr]
    return found


CASES = [
    (form, captions, pictures)
    for form in ("tar", "parquet", "jsonl", "csv")
    for captions in ("one", "first", "each")
    for pictures in (True, False)
    if (form != "csv" or captions == "one") and (form != "tar" or pictures)
]
"""CSV has no lists, and a tar without pictures no samples."""


@pytest.mark.parametrize(("form", "captions", "pictures"), CASES)
def test_a_result_is_the_same_samples_again(
    tmp_path: Path, form: str, captions: str, pictures: bool
) -> None:
    lists = captions != "one"
    fields = rows("uid", "caption", lists)
    path = written(tmp_path / "in", form, fields, pictures)
    first = run(tmp_path / "1", path, captions=captions)
    assert len(first) == (6 if captions == "each" else ROWS)
    assert {uid for uid, _ in first} >= set(UIDS)
    assert run(tmp_path / "2", shards(tmp_path / "1")) == first
    assert run(tmp_path / "3", shards(tmp_path / "2")) == first
    assert jsons(tmp_path / "2") == jsons(tmp_path / "1")
    if form == "tar":
        assert set(jsons(tmp_path / "1")) == {json.dumps(one, indent=1).encode() for one in fields}


@pytest.mark.parametrize("form", ["tar", "parquet", "jsonl"])
def test_as_parquet_with_pictures_too(tmp_path: Path, form: str) -> None:
    path = written(tmp_path / "in", form, rows("uid", "caption", True), True)
    first = run(tmp_path / "1", path, "parquet", captions="each")
    assert run(tmp_path / "2", f"{tmp_path}/1/shards/*.parquet", "parquet") == first
    assert run(tmp_path / "3", f"{tmp_path}/2/shards/*.parquet") == first


@pytest.mark.parametrize("form", ["tar", "parquet", "jsonl"])
@pytest.mark.parametrize("told", ["named", "none"])
def test_uids_under_another_name_or_made_ones_come_again(
    tmp_path: Path, form: str, told: str
) -> None:
    own = "id" if told == "named" else "uid"
    path = written(tmp_path / "in", form, rows(own, "caption", False), True)
    first = run(tmp_path / "1", path, columns={"uid": "id" if told == "named" else "none"})
    assert ({uid for uid, _ in first} == set(UIDS)) == (told == "named")
    assert run(tmp_path / "2", shards(tmp_path / "1")) == first


def test_a_sample_whose_json_says_its_uid_has_no_more_members(tmp_path: Path) -> None:
    path = written(tmp_path / "in", "jsonl", rows("uid", "caption", True), True)
    run(tmp_path / "1", path, captions="each")
    with tarfile.open(tmp_path / "1/shards/00000.tar") as tar:
        names = [name.partition(".")[2] for name in tar.getnames()]
    assert names.count("png") == 4
    assert names.count("tamis.uid") == 1  # of the second caption of the first row
