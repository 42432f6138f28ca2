"""Signals of parquet inputs: columns as they are, pictures in cells, heads over stored embeddings."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.steps.signals.tasks import Computed, values
from tamis.pipeline.tables import writing
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.perform import Outcome, Work, perform
from tamis.pipeline.tasks.task import Task
from tamis.schemas.errors import JobError, ModelError
from tamis.schemas.scope import Scope
from tamis.schemas.tables import DROPS, embedding_type
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar
from tests.support.tables import table

ROWS = 130
STEPS = """
  - signals: {name: first, names: [words]}
  - rules: {words: {min: 3}}
  - signals: {name: second, names: [punsafe, PWATERMARK, NSFW, likes, aspect_ratio, height]}"""


def metadata(rows: int = ROWS, seed: int = 1) -> pa.Table:
    """Columns such as LAION's; every third caption has two words."""
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "URL": [f"https://example.org/{i}.jpg" for i in range(rows)],
            "TEXT": ["two words" if i % 3 == 0 else f"a caption of {i}" for i in range(rows)],
            "WIDTH": pa.array(random.integers(1, 900, rows), pa.int32()),
            "HEIGHT": pa.array(random.integers(1, 900, rows), pa.int64()),
            "punsafe": pa.array(random.random(rows, dtype=np.float32)),
            "pwatermark": pa.array(random.random(rows), mask=random.random(rows) < 0.2),
            "NSFW": pa.array(random.choice(["UNLIKELY", "UNSURE"], rows)).dictionary_encode(),
            "likes": pa.array([2**53 + 1 + i for i in range(rows)], pa.int64()),
        }
    )


def test_columns_are_read_for_the_living_rows_of_every_row_group(tmp_path: Path) -> None:
    given = metadata()
    pq.write_table(given, tmp_path / "a.parquet", row_group_size=40)
    run_here(make_plan(tmp_path / "run", tmp_path / "a.parquet", STEPS, part_samples=25))
    living = [row for i, row in enumerate(given.to_pylist()) if i % 3]
    found = table(tmp_path / "run", "second", "values")
    types = {name: str(found.schema.field(name).type) for name in ("punsafe", "NSFW", "likes")}
    assert types == {"punsafe": "float", "NSFW": "string", "likes": "double"}
    for row, raw in zip(found.to_pylist(), living, strict=True):
        assert row["punsafe"] == raw["punsafe"]
        assert row["PWATERMARK"] == raw["pwatermark"]
        assert row["NSFW"] == raw["NSFW"]
        assert row["likes"] == float(raw["likes"])
        assert row["height"] == raw["HEIGHT"]
        sides = (raw["WIDTH"], raw["HEIGHT"])
        assert row["aspect_ratio"] == max(sides) / min(sides)
    assert [row["likes"] is not None for row in ledger(tmp_path / "run")] == [
        i % 3 != 0 for i in range(ROWS)
    ]


def test_a_changed_column_is_read_again(tmp_path: Path) -> None:
    given = metadata()
    pq.write_table(given, tmp_path / "a.parquet")
    steps = "  - signals: [likes]"
    run_here(make_plan(tmp_path / "run", tmp_path / "a.parquet", steps))
    changed = given.set_column(7, "likes", pa.array(range(ROWS), pa.int64()))
    pq.write_table(changed, tmp_path / "a.parquet")
    run_here(make_plan(tmp_path / "run", tmp_path / "a.parquet", steps, accept_changed=True))
    assert [row["likes"] for row in ledger(tmp_path / "run")] == list(range(ROWS))


@pytest.mark.parametrize("column", [None, pa.array(["many"] * ROWS)])
def test_a_file_that_is_unlike_the_first_has_no_values_and_plan_says_so(
    column: pa.Array | None, tmp_path: Path
) -> None:
    pq.write_table(metadata(), tmp_path / "a.parquet")
    other = metadata(seed=2).drop_columns(["likes"])
    if column is not None:
        other = other.append_column("likes", column)
    pq.write_table(other, tmp_path / "b.parquet")
    made = make_plan(tmp_path / "run", tmp_path / "*.parquet", "  - signals: [likes]")
    (note,) = [note for note in preview(made)["notes"] if "b.parquet" in note]
    assert note == (
        "signals: no column likes of the type double, and so no value of likes, in input/b.parquet"
    )
    run_here(made)
    values = [row["likes"] for row in ledger(tmp_path / "run")]
    assert values == [*map(float, metadata()["likes"].to_pylist()), *[None] * ROWS]


def test_a_file_that_cannot_be_read_stops_no_rule_over_a_column(tmp_path: Path) -> None:
    """Nor does one page of it: its samples have no value."""
    for name in ("a", "c", "d"):
        pq.write_table(
            metadata(), tmp_path / f"{name}.parquet", write_page_checksum=True, use_dictionary=False
        )
    (tmp_path / "b.parquet").write_bytes(b"<html>")
    place = pq.read_metadata(tmp_path / "c.parquet").row_group(0)
    (chunk,) = [
        place.column(i)
        for i in range(place.num_columns)
        if place.column(i).path_in_schema == "likes"
    ]
    data = bytearray((tmp_path / "c.parquet").read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size - 2] ^= 1
    (tmp_path / "c.parquet").write_bytes(data)
    steps = "  - signals: [likes]\n  - rules: {likes: {min: 0, missing: keep}}"
    run_here(make_plan(tmp_path / "run", tmp_path / "*.parquet", steps))
    values: dict[str, list[Any]] = {}
    for row in ledger(tmp_path / "run"):
        values.setdefault(row["source"][-9:], []).append(row["likes"])
    whole = list(map(float, metadata()["likes"].to_pylist()))
    assert values == {
        "a.parquet": whole,
        "b.parquet": [None],
        "c.parquet": [None] * ROWS,
        "d.parquet": whole,
    }


@pytest.mark.parametrize("empty", [0, 2, 5])
def test_a_field_without_a_value_at_first_gets_its_type_from_a_later_file(
    tmp_path: Path, empty: int
) -> None:
    for number in range(12):
        value = None if number <= empty else number
        fields = {} if number == 0 else {"score": value}
        samples = [Sample(f"k{number}", picture(number * 999), "two words", fields)]
        write_tar(tmp_path / f"{number:02}.tar", samples)
    steps = "  - signals: [score]\n  - rules: {score: {min: 3, missing: keep}}"
    run_here(make_plan(tmp_path / "run", tmp_path / "*.tar", steps))
    values = [row["score"] for row in ledger(tmp_path / "run")]
    assert values == [None if number <= empty else float(number) for number in range(12)]


def test_pictures_in_cells_and_columns_of_the_same_file(tmp_path: Path) -> None:
    sizes = [(8 + i, 30 - i) for i in range(9)]
    cells = [picture(0x102030 * i, *size) for i, size in enumerate(sizes)]
    given = pa.table({"jpg": cells, "caption": ["a caption"] * 9, "good": [True, None, False] * 3})
    pq.write_table(given, tmp_path / "a.parquet", row_group_size=4)
    run_here(
        make_plan(
            tmp_path / "run",
            tmp_path / "a.parquet",
            "  - signals: [width, height, bytes, blur, entropy, good]",
        )
    )
    for row, size, cell, good in zip(
        ledger(tmp_path / "run"), sizes, cells, given["good"].to_pylist(), strict=True
    ):
        assert (row["width"], row["height"], row["bytes"]) == (*size, len(cell))
        assert (row["blur"], row["entropy"]) == (0.0, 0.0)  # one colour
        assert row["good"] == good


# Heads: the task's function over a stored table, whose numbers are known.


def stored(root: Path, name: str, rows: pa.Table) -> Slice:
    return writing.write(str(root), f"tables/{name}.parquet", "00", [rows], dict).slice(0)


def head_task(root: Path, head: Path, digest: str, embeddings: npt.NDArray[np.float16]) -> Outcome:
    """Ten samples: of 2 the picture has no embedding, 5 was not embedded, 7 is dropped."""
    dim = embeddings.shape[1]
    there = [row for row in range(10) if row != 5]
    vectors: list[Any] = [None if row == 2 else embeddings[row].tobytes() for row in there]
    rows = pa.table(
        {"row": pa.array(there, pa.uint32()), "image": pa.array(vectors, embedding_type(dim))}
    )
    dropped = pa.Table.from_pylist([{"row": 7, "reason": "no_value"}], schema=DROPS)
    inputs = {
        "ingest": [stored(root, "ingest", pa.table({"uid": list(range(10))}))],
        "drops": [stored(root, "drops", dropped)],
        "embedding": [stored(root, "embedding", rows)],
    }
    args = Computed(
        {"aesthetic": "float"},
        {"aesthetic": {"head": digest}},
        file=InputFile("e", "x.parquet", "x.parquet", "parquet", 1),
        paths={"aesthetic": str(head)},
    )
    task = Task(Scope.PART, 0, inputs, args, rows=10)
    return perform(values, str(root), Work(task, "tables/values.parquet", "00"))


def test_a_head_scores_what_has_an_embedding_and_is_alive(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    embeddings = random.standard_normal((10, 6)).astype(np.float16)
    weight = random.standard_normal(6)
    np.savez(tmp_path / "head.npz", weight=weight, bias=0.25)
    digest = hashlib.sha256((tmp_path / "head.npz").read_bytes()).hexdigest()
    outcome = head_task(tmp_path, tmp_path / "head.npz", digest, embeddings)
    assert outcome.error is None
    found = pq.ParquetFile(tmp_path / "tables/values.parquet").read().to_pylist()
    assert [row["row"] for row in found] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    for row in found:
        if row["row"] in (2, 5):
            assert row["aesthetic"] is None
        else:
            expected = sum(
                w * float(x) for w, x in zip(weight, embeddings[row["row"]], strict=True)
            )
            assert row["aesthetic"] == pytest.approx(expected + 0.25, rel=1e-6)


def test_a_head_of_another_size_or_time_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "head.npz", weight=np.ones(5), bias=0.0)
    digest = hashlib.sha256((tmp_path / "head.npz").read_bytes()).hexdigest()
    embeddings = np.ones((10, 6), np.float16)
    outcome = head_task(tmp_path, tmp_path / "head.npz", digest, embeddings)
    assert isinstance(outcome.error, ModelError)
    assert "embeddings are (7, 6); the head takes (n, 5)" in str(outcome.error)
    outcome = head_task(tmp_path, tmp_path / "head.npz", "0" * 64, embeddings)
    assert "has changed since the run began" in str(outcome.error)


@pytest.fixture
def embedded(tmp_path: Path) -> list[dict[str, str]]:
    """An input entry with a stored embedding."""
    pq.write_table(metadata(), tmp_path / "a.parquet")
    random = np.random.default_rng(4)
    np.save(tmp_path / "a.npy", random.standard_normal((ROWS, 6)).astype(np.float16))
    return [{"path": str(tmp_path / "a.parquet"), "image_embeddings": str(tmp_path / "a.npy")}]


def test_a_head_over_precomputed_embeddings(tmp_path: Path, embedded: list[dict[str, str]]) -> None:
    np.savez(tmp_path / "head.npz", weight=np.arange(6.0), bias=-1.0, sigmoid=1)
    steps = f"""
  - embed: {{encoder: precomputed}}
  - signals: {{names: [watermark], heads: {{watermark: {tmp_path}/head.npz}}}}
  - rules: {{watermark: {{max: 0.5}}}}"""
    run_here(make_plan(tmp_path / "run", "", steps, input=embedded, part_samples=50))
    rows = ledger(tmp_path / "run")
    stored = table(tmp_path / "run", "embed", "vectors")
    units = np.stack([np.frombuffer(v, np.float16) for v in stored["image"].to_pylist()])
    expected = 1 / (1 + np.exp(1 - units.astype(np.float64) @ np.arange(6.0)))
    assert [row["watermark"] for row in rows] == pytest.approx(list(expected), rel=1e-6)
    assert [row["kept"] for row in rows] == [row["watermark"] <= 0.5 for row in rows]
    assert 0 < sum(row["kept"] for row in rows) < ROWS


def test_a_head_that_is_not_there_is_refused_by_the_plan(
    tmp_path: Path, embedded: list[dict[str, str]]
) -> None:
    steps = """
  - embed: {encoder: precomputed}
  - signals: {names: [aesthetic], heads: {aesthetic: gone.npz}}"""
    with pytest.raises(ModelError, match=r"head gone.npz cannot be read: No such file"):
        make_plan(tmp_path / "run", "", steps, input=embedded)


def test_an_embedding_that_comes_later_is_refused(
    tmp_path: Path, embedded: list[dict[str, str]]
) -> None:
    np.savez(tmp_path / "head.npz", weight=np.ones(6), bias=0.0)
    steps = f"""
  - signals: {{names: [aesthetic], heads: {{aesthetic: {tmp_path}/head.npz}}}}
  - embed: {{encoder: precomputed}}"""
    with pytest.raises(JobError, match="signals: no embedding `embed` at this point"):
        make_plan(tmp_path / "run", "", steps, input=embedded)
