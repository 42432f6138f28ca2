"""Vectors beside the shards: row by row those that are stored, in each form, after any history."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.results.manifest_files import ManifestFiles, write
from tamis.pipeline.runs import walk
from tamis.pipeline.steps.write.vectors import in_bytes
from tamis.schemas.errors import JobError
from tamis.schemas.manifest import FileRecord
from tests.support.running import (
    Sample,
    contents,
    make_plan,
    materialize,
    picture,
    run_here,
    write_tar,
)

DIM, SAMPLES = 12, 150


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The entry of an input with vectors of pictures and captions, of which every tenth is of no use."""
    folder = tmp_path_factory.mktemp("pool")
    random = np.random.default_rng(3)
    image, text = random.standard_normal((2, SAMPLES, DIM))
    image[::10] = 0
    uid = [random.bytes(16).hex() for _ in range(SAMPLES)]
    for number, rows in enumerate(np.array_split(np.arange(SAMPLES), 2)):
        table = {"uid": [uid[i] for i in rows], "text": [f"{'a ' * (i % 7)}caption" for i in rows]}
        pq.write_table(pa.table(table), folder / f"{number}.parquet")
        halves = {"l14_img": image[rows].astype("f2"), "l14_txt": text[rows].astype("f2")}
        np.savez(folder / f"{number}.npz", **halves)
    return {"path": f"{folder}/*.parquet", "features": True}


def steps(write: str) -> str:
    return (
        "- signals: [words]\n- rules: {words: {min: 2}}\n- embed: {encoder: precomputed, as: clip}\n"
        f"- random: {{keep: 0.6}}\n- write: {{samples_per_shard: 17, {write}}}"
    )


def made(pool: dict[str, Any], output: Path, write: str) -> Path:
    run_here(make_plan(output, "", steps(write), input=[pool], part_samples=13))
    return output


def arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


def stored(root: Path) -> dict[str, dict[str, npt.NDArray[np.float16]]]:
    """The stored vectors by uid."""
    found: dict[str, dict[str, npt.NDArray[np.float16]]] = {}
    for bundle in sorted((root / "ledger").glob("*.parquet")):
        for row in pq.ParquetFile(bundle).read().to_pylist():
            part, at = row["sid"] >> 32, row["sid"] & 0xFFFFFFFF
            tables = root / "tables/embed/vectors"
            (path,) = (p for p in tables.glob("part-*") if int(p.stem.partition("-")[2]) == part)
            for vector in pq.ParquetFile(path).read().to_pylist():
                if vector["row"] == at:
                    found[row["uid"]] = {
                        side: np.frombuffer(vector[side], np.float16) for side in ("image", "text")
                    }
    return found


def faults(root: Path, deep: bool = True) -> list[Any]:
    return list(verify(open_run(str(root)), Seen(), deep=deep))


def test_rows_are_those_of_the_parquet_file(pool: dict[str, Any], tmp_path: Path) -> None:
    root = made(pool, tmp_path / "run", "embeddings: all")
    vectors = stored(root)
    shards = sorted((root / "shards").glob("*.parquet"))
    assert len(shards) > 2
    for shard in shards:
        uids = pq.ParquetFile(shard).read(["uid"])["uid"].to_pylist()
        found = arrays(shard.with_suffix(".npz"))
        assert set(found) == {"clip_img", "clip_txt"}
        for side, name in (("image", "clip_img"), ("text", "clip_txt")):
            assert found[name].dtype == np.float16
            assert found[name].tolist() == [vectors[uid][side].tolist() for uid in uids]
    listed = {output.path: output.rows for output in open_run(str(root)).files.outputs}
    assert listed["shards/00000.npz"] == listed["shards/00000.parquet"] == 17
    assert faults(root) == []


def test_int8_is_within_half_a_factor(pool: dict[str, Any], tmp_path: Path) -> None:
    exact = made(pool, tmp_path / "fp16", "embeddings: [clip]")
    small = made(pool, tmp_path / "int8", "embeddings: clip, embeddings_as: int8")
    assert faults(small) == []
    for shard in sorted((exact / "shards").glob("*.npz")):
        rows, found = arrays(shard), arrays(small / "shards" / shard.name)
        assert set(found) == {"clip_img", "clip_img_scale", "clip_txt", "clip_txt_scale"}
        for name in ("clip_img", "clip_txt"):
            assert found[name].dtype == np.int8
            scale = found[f"{name}_scale"][:, None]
            error = np.abs(found[name] * scale - rows[name].astype(np.float32))
            assert (error <= 0.501 * scale).all()


@given(st.integers(0, 5), st.integers(1, 9), st.integers(0, 99), st.integers(-12, 4))
def test_bytes_of_a_row_depend_on_the_row_alone(n: int, d: int, seed: int, power: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((n, d)) * 2.0**power
    halves = np.concatenate([rows, np.zeros((1, d))]).astype(np.float16)
    steps, scale = in_bytes(halves)
    assert steps[-1].tolist() == [0] * d
    for at, row in enumerate(halves):
        one, factor = in_bytes(row[None])
        assert (one[0].tolist(), factor[0]) == (steps[at].tolist(), scale[at])
        assert np.abs(steps[at]).max() == (127 if row.any() else 0)


def test_a_run_has_the_same_bytes_with_one_worker_and_two(
    pool: dict[str, Any], tmp_path: Path
) -> None:
    write = "embeddings: all, embeddings_as: int8"
    for workers in (1, 2):
        plan = make_plan(
            tmp_path / "run",
            "",
            steps(write),
            input=[pool],
            part_samples=13,
            resources={"cpus": workers},
        )
        walk.run(plan, [], local=True)
        (tmp_path / "run").rename(tmp_path / f"of-{workers}")
    one, two = (contents(tmp_path / f"of-{workers}/shards") for workers in (1, 2))
    assert one == two
    assert "00000.npz" in one


def test_what_was_lost_is_made_again_and_nothing_else(pool: dict[str, Any], tmp_path: Path) -> None:
    root = made(pool, tmp_path / "run", "embeddings: all")
    before = contents(root / "shards")
    (root / "shards/00001.npz").unlink()
    again = run_here(make_plan(root, "", steps("embeddings: all"), input=[pool], part_samples=13))
    assert again.tasks_run == 1
    assert contents(root / "shards") == before


def test_another_setting_leaves_the_shards_and_removes_what_is_old(
    pool: dict[str, Any], tmp_path: Path
) -> None:
    root = made(pool, tmp_path / "run", "embeddings: all")
    before = contents(root / "shards")
    made(pool, root, "embeddings: []")
    after = contents(root / "shards")
    assert after == {name: data for name, data in before.items() if not name.endswith(".npz")}
    assert faults(root) == []


def test_what_is_taken_out_later_leaves_its_row_out(pool: dict[str, Any], tmp_path: Path) -> None:
    """A gap in a shard, and a shard of nothing but gaps."""
    root = made(pool, tmp_path / "run", "embeddings: all")
    uids = [
        uid
        for shard in sorted((root / "shards").glob("*.parquet"))
        for uid in pq.ParquetFile(shard).read(["uid"])["uid"].to_pylist()
    ]
    gone = [uids[2], *uids[17:34]]
    (tmp_path / "gone.txt").write_text("".join(f"{uid}\n" for uid in gone))
    exclude = f"- exclude: {{list: {tmp_path}/gone.txt, on: uid, gaps: true}}\n- write"
    before, vectors = contents(root / "shards"), stored(root)
    again = steps("embeddings: all").replace("- write", exclude)
    run_here(make_plan(root, "", again, input=[pool], part_samples=13))
    assert faults(root) == []
    first = arrays(root / "shards/00000.npz")["clip_txt"]
    assert first.tolist() == [vectors[u]["text"].tolist() for u in uids[:17] if u not in gone]
    assert arrays(root / "shards/00001.npz")["clip_img"].shape == (0, DIM)
    after = contents(root / "shards")
    assert after["00002.npz"] == before["00002.npz"]


def test_a_materialized_set_has_the_vectors_of_its_own_samples(
    pool: dict[str, Any], tmp_path: Path
) -> None:
    root = made(pool, tmp_path / "run", "embeddings: all")
    materialize(open_run(str(root)), ["random.keep=0.3"], tmp_path / "new")
    direct = tmp_path / "direct"
    run_here(
        make_plan(
            direct,
            "",
            steps("embeddings: all").replace("0.6", "0.3"),
            input=[pool],
            part_samples=13,
        )
    )
    assert contents(tmp_path / "new/shards") == contents(direct / "shards")
    assert faults(tmp_path / "new") == []


def test_the_shards_are_an_input_with_embeddings(pool: dict[str, Any], tmp_path: Path) -> None:
    root = made(pool, tmp_path / "run", "embeddings: all")
    entry = {
        "path": f"{root}/shards/*.parquet",
        "features": True,
        "image_feature": "clip_img",
        "text_feature": "clip_txt",
    }
    plan = make_plan(tmp_path / "on", "", "- embed: {encoder: precomputed}\n- write", input=[entry])
    run_here(plan)
    first, second = stored(root), stored(tmp_path / "on")
    assert second
    for uid, vectors in second.items():
        for side in ("image", "text"):
            assert vectors[side] == pytest.approx(first[uid][side], abs=1e-3)


@pytest.mark.parametrize("form", ["fp16", "int8"])
def test_a_changed_row_is_found(pool: dict[str, Any], tmp_path: Path, form: str) -> None:
    root = made(pool, tmp_path / "run", f"embeddings: all, embeddings_as: {form}")
    path = root / "shards/00001.npz"
    found = arrays(path)
    found["clip_txt"][[3, 5]] = found["clip_txt"][[5, 3]]
    shutil.rmtree(
        root / "tables/write"
    )  # with the receipts, whose word the manifest's would be against
    rewrite(root, path, found)
    (fault,) = faults(root)
    assert fault.path == "shards/00001.npz"
    assert fault.what == "clip_txt: 2 rows other than the stored vectors"
    assert faults(root, deep=False) == []
    found["clip_img"] = found["clip_img"][:-1]
    rewrite(root, path, found)
    (fault,) = faults(root, deep=False)
    assert fault.what == "clip_img has 16 rows, manifest.json says 17"


def test_tiers_have_their_own_vectors(pool: dict[str, Any], tmp_path: Path) -> None:
    root = tmp_path / "run"
    tiers = "- tiers: {name: quality, signal: words, cuts: [4, 6], names: [short, middle, long]}\n"
    job = steps("by: quality, embeddings: all").replace("- write:", f"{tiers}- write:")
    run_here(make_plan(root, "", job, input=[pool], part_samples=13))
    vectors = stored(root)
    shards = sorted((root / "shards").glob("*.parquet"))
    assert {shard.stem.partition("-")[0] for shard in shards} == {"short", "middle", "long"}
    assert len(shards) > 3
    for shard in shards:
        uids = pq.ParquetFile(shard).read(["uid"])["uid"].to_pylist()
        found = arrays(shard.with_suffix(".npz"))["clip_img"]
        assert found.tolist() == [vectors[uid]["image"].tolist() for uid in uids]
    assert faults(root) == []

    path = root / "shards/long-00000.npz"
    changed = arrays(path)
    changed["clip_img"][[0, 1]] = changed["clip_img"][[1, 0]]
    shutil.rmtree(root / "tables/write")  # with the receipts
    rewrite(root, path, changed)
    (fault,) = faults(root)
    assert fault.path == "shards/long-00000.npz"
    assert fault.what == "clip_img: 2 rows other than the stored vectors"


def rewrite(root: Path, path: Path, found: dict[str, Any]) -> None:
    """Put other arrays into a run, and what is new of the file into its manifest."""
    np.savez(path, **found)
    data = path.read_bytes()
    name, digest = f"shards/{path.name}", hashlib.sha256(data).hexdigest()
    tables = ManifestFiles(str(root), open_run(str(root)).manifest.files)
    outputs = [
        replace(one, bytes=len(data), sha256=digest) if one.path == name else one
        for one in tables.outputs
    ]
    files: dict[str, Sequence[FileRecord]] = {
        "inputs": tables.inputs,
        "embeddings": tables.embeddings,
        "outputs": outputs,
    }
    manifest = json.loads((root / "manifest.json").read_bytes())
    manifest["files"] = write(str(root), files)
    (root / "manifest.json").write_text(json.dumps(manifest))


def test_the_plan_says_how_many_bytes_they_take(pool: dict[str, Any], tmp_path: Path) -> None:
    for form, size in (("fp16", 512), ("int8", 256)):
        job = f"- embed: {{encoder: demo}}\n- write: {{embeddings: all, embeddings_as: {form}}}"
        write_tar(tmp_path / "in/0.tar", [Sample("k", picture(1), "two words", {})])
        (note,) = (
            note
            for note in preview(make_plan(tmp_path / "run", tmp_path / "in/0.tar", job))["notes"]
            if "beside the shards" in note
        )
        assert f"vectors of 256 numbers beside the shards: {size} B for each" in note


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ("- write: {embeddings: all}", "write: embeddings: no step embeds: put `embed` before it"),
        (
            "- embed: {encoder: precomputed}\n- write: {embeddings: [embde]}",
            "write: embeddings: no embedding `embde`; did you mean `embed`",
        ),
    ],
)
def test_an_embedding_that_is_none_is_refused(
    pool: dict[str, Any], tmp_path: Path, jobs: str, said: str
) -> None:
    with pytest.raises(JobError, match=said):
        make_plan(tmp_path / "run", "", jobs, input=[pool])
