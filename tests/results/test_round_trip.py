"""Every column of an input is in the result, under its name, of its type, with its values."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.results.sidecars import ours_in
from tests.support.running import make_plan, picture, run_here, subset_uids

ROWS = 6
STEPS = """
  - signals: [words]
  - rules: {words: {min: 2}}
  - write"""

LAION = pa.table(
    {
        "SAMPLE_ID": pa.array([float(2**40 + i) for i in range(ROWS)], pa.float64()),
        "URL": [f"https://example.org/{i}.jpg" for i in range(ROWS)],
        "TEXT": ["one"] + [f"caption number {i}" for i in range(1, ROWS)],
        "HEIGHT": pa.array([256.0] * ROWS, pa.float64()),
        "WIDTH": pa.array([512.0] * ROWS, pa.float64()),
        "LICENSE": ["?", None, "cc-by", "cc-by", "?", "?"],
        "NSFW": ["UNLIKELY", "UNSURE", None, "NSFW", "UNLIKELY", "UNLIKELY"],
        "similarity": pa.array([0.25 + i / 100 for i in range(ROWS)], pa.float64()),
    }
)
COMMONPOOL = pa.table(
    {
        "uid": [f"{i:032x}" for i in range(ROWS)],
        "url": [f"https://example.org/{i}.jpg" for i in range(ROWS)],
        "text": ["one"] + [f"caption number {i}" for i in range(1, ROWS)],
        "original_width": pa.array([640] * ROWS, pa.int64()),
        "original_height": pa.array([480] * ROWS, pa.int64()),
        "clip_b32_similarity_score": pa.array([0.3] * ROWS, pa.float32()),
        "clip_l14_similarity_score": pa.array([0.2] * ROWS, pa.float32()),
        "face_bboxes": pa.array(
            [[], [[0.1, 0.2, 0.3, 0.4]], None, [], [], []], pa.list_(pa.list_(pa.float64()))
        ),
        "sha256": ["ab" * 32] * ROWS,
    }
)
HUGGING_FACE = pa.table(
    {
        "image": pa.array(
            [{"bytes": picture(i), "path": f"{i}.png"} for i in range(ROWS)],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        ),
        "caption": ["one"] + [f"caption number {i}" for i in range(1, ROWS)],
        "label": pa.array(range(ROWS), pa.int8()),
        "when": pa.array(range(ROWS), pa.timestamp("ms")),
        "tags": pa.array([["a", "b"], [], None, ["c"], [], []]),
    }
)


def parquet(folder: Path, table: pa.Table) -> Path:
    folder.mkdir()
    pq.write_table(table, folder / "0.parquet", row_group_size=4)
    return folder / "*.parquet"


def img2dataset(
    folder: Path, fields: Sequence[dict[str, Any] | None], caption: bool = True
) -> Path:
    """Tars as img2dataset writes them; without ``caption`` it stands in the json alone."""
    folder.mkdir()
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number, one in enumerate(fields):
            members = {"png": picture(number)}
            if one is not None:
                members["json"] = json.dumps(one, indent=2).encode()
            if caption:
                members["txt"] = f"caption number {number}".encode()
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{number:09d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return folder / "*.tar"


def written(tmp_path: Path, pattern: Path, steps: str = STEPS) -> pa.Table:
    """The parquet files of the result, of three samples a shard at most, after a deep verification."""
    root = tmp_path / "run"
    run_here(make_plan(root, pattern, steps, part_samples=2))
    assert list(verify(open_run(str(root)), Seen(), deep=True)) == []
    tables = [pq.read_table(path) for path in sorted((root / "shards").glob("*.parquet"))]
    assert len({table.schema for table in tables}) == 1
    return pa.concat_tables(tables)


def members(tmp_path: Path) -> list[dict[str, bytes]]:
    """The members of each sample in the result, by suffix."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted((tmp_path / "run/shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                key, _, suffix = info.name.partition(".")
                file = tar.extractfile(info)
                assert file is not None
                found.setdefault(key, {})[suffix] = file.read()
    return list(found.values())


@pytest.mark.parametrize("table", [LAION, COMMONPOOL], ids=["laion", "commonpool"])
def test_metadata_keep_every_column_with_type_and_values(tmp_path: Path, table: pa.Table) -> None:
    result = written(tmp_path, parquet(tmp_path / "in", table))
    for name in table.column_names:
        assert result[name].combine_chunks() == table[name].slice(1).combine_chunks(), name
    assert result["words"].to_pylist() == [3] * (ROWS - 1)
    assert (
        result[ours_in(result.schema)["caption"]].to_pylist()
        == table["text" if "text" in table.column_names else "TEXT"].to_pylist()[1:]
    )
    assert set(result["status"].to_pylist()) == {None}  # nothing was fetched
    counts = json.loads((tmp_path / "run/shards/00000_stats.json").read_text())
    assert (counts["count"], counts["successes"]) == (ROWS - 1, 0)


def test_pictures_of_parquet_go_into_tars_with_a_json_of_the_other_columns(tmp_path: Path) -> None:
    result = written(tmp_path, parquet(tmp_path / "in", HUGGING_FACE))
    for name in ("caption", "label", "when", "tags"):
        assert result[name].combine_chunks() == HUGGING_FACE[name].slice(1).combine_chunks(), name
    assert result["image"].to_pylist() == [{"path": f"{i}.png"} for i in range(1, ROWS)]
    samples = members(tmp_path)
    assert [set(sample) for sample in samples] == [{"png", "txt", "json"}] * (ROWS - 1)
    first = json.loads(samples[0]["json"])
    assert first == {
        "image": {"path": "1.png"},
        "caption": "caption number 1",
        "label": 1,
        "when": "1970-01-01T00:00:00.001000",
        "tags": [],
    }


def test_parquet_of_pictures_holds_the_pictures(tmp_path: Path) -> None:
    steps = f"{STEPS}: {{format: parquet, samples_per_shard: 3}}"
    result = written(tmp_path, parquet(tmp_path / "in", HUGGING_FACE), steps)
    assert result.select(HUGGING_FACE.column_names).to_pylist() == HUGGING_FACE.slice(1).to_pylist()
    for field in HUGGING_FACE.schema:
        assert result.schema.field(field.name).type == field.type
    assert set(result["status"].to_pylist()) == {"success"}
    loaded = load_dataset(
        "parquet",
        data_files=str(tmp_path / "run/shards/*.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert loaded[0]["image"].size == (8, 8)
    again = run_here(make_plan(tmp_path / "again", tmp_path / "run/shards/*.parquet", STEPS))
    assert again.accounts[-1].kept == ROWS - 1


def test_parquet_of_tars_holds_the_pictures_unless_it_is_told_not_to(tmp_path: Path) -> None:
    pattern = img2dataset(tmp_path / "in", [None] * ROWS)
    result = written(tmp_path, pattern, f"{STEPS}: {{format: parquet}}")
    assert [image["bytes"] for image in result["image"].to_pylist()] == list(
        map(picture, range(ROWS))
    )
    run_here(
        make_plan(tmp_path / "bare", pattern, f"{STEPS}: {{format: parquet, pictures: false}}")
    )
    assert "image" not in pq.read_schema(tmp_path / "bare/shards/00000.parquet").names


FIELDS = [
    {
        "url": f"https://example.org/{i}",
        "caption": f"caption number {i}",
        "key": f"{i:09d}",
        "status": "success",
        "width": 8,
        "height": 8,
        "punsafe": 0.5 if i else 0,
        "mixed": i if i % 2 else "text",
        "boxes": [[i, 0.5]] if i else [],
        "exif": "{}",
    }
    for i in range(ROWS)
]


def test_json_members_stay_byte_for_byte_and_are_columns(tmp_path: Path) -> None:
    result = written(tmp_path, img2dataset(tmp_path / "in", list(FIELDS)))
    assert [sample["json"] for sample in members(tmp_path)] == [
        json.dumps(one, indent=2).encode() for one in FIELDS
    ]
    rows = result.to_pylist()
    for row, one in zip(rows, FIELDS, strict=True):
        text = one["mixed"] if isinstance(one["mixed"], str) else json.dumps(one["mixed"])
        assert {name: row[name] for name in one} == {**one, "mixed": text}
    assert result.schema.field("punsafe").type == pa.float64()
    assert result.schema.field("boxes").type == pa.list_(pa.list_(pa.float64()))


def test_only_ours_that_say_something_else_get_the_prefix(tmp_path: Path) -> None:
    fields = [{**one, "width": 9, "uid": f"{i:032x}"} for i, one in enumerate(FIELDS)]
    result = written(tmp_path, img2dataset(tmp_path / "in", fields))
    prefixed = {name for name in result.column_names if name.startswith("tamis_")}
    assert prefixed == {"tamis_key", "tamis_width"}
    names = ours_in(result.schema)
    assert names["key"] == "tamis_key"
    assert names["caption"] == "caption"
    assert sorted(result[names["uid"]].to_pylist()) == subset_uids(tmp_path / "run")


def test_a_caption_of_the_json_gets_its_txt(tmp_path: Path) -> None:
    written(tmp_path, img2dataset(tmp_path / "in", list(FIELDS), caption=False))
    assert [sample["txt"].decode() for sample in members(tmp_path)] == [
        one["caption"] for one in FIELDS
    ]


def test_json_with_signals_has_the_inputs_fields_and_them(tmp_path: Path) -> None:
    pattern = img2dataset(tmp_path / "in", [*FIELDS[:-1], None])
    written(tmp_path, pattern, f"{STEPS}: {{json: signals}}")
    due = [{**one, "words": 3} for one in FIELDS[:-1]] + [{"words": 3}]
    assert [json.loads(sample["json"]) for sample in members(tmp_path)] == due


def test_columns_may_be_chosen(tmp_path: Path) -> None:
    steps = f"{STEPS}: {{columns: [LICENSE]}}"
    result = written(tmp_path, parquet(tmp_path / "in", LAION), steps)
    assert "LICENSE" in result.column_names
    assert not {"NSFW", "similarity", "words", "TEXT"} & set(result.column_names)


def test_an_unknown_column_is_refused_by_the_plan(tmp_path: Path) -> None:
    steps = f"{STEPS}: {{columns: [LICENCE]}}"
    with pytest.raises(Exception, match=r"called `LICENCE`; did you mean `LICENSE`"):
        make_plan(tmp_path / "run", parquet(tmp_path / "in", LAION), steps)


def test_files_that_disagree_share_a_type_that_holds_both(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, values in enumerate(([1, 2], [1.5, None], ["x", "y"])):
        table = pa.table({"text": ["two words"] * 2, "a": values, f"only_{number}": [True, False]})
        pq.write_table(table, folder / f"{number}.parquet")
    result = written(tmp_path, folder / "*.parquet")
    assert result["a"].to_pylist() == ["1", "2", "1.5", None, "x", "y"]
    assert result["only_1"].to_pylist() == [None, None, True, False, None, None]
