"""Exports, as the programs read them for which they are made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.export import layouts
from tamis.pipeline.audit.export.export import export
from tamis.pipeline.audit.export.layouts import LAYOUTS
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.search.query import Query
from tamis.pipeline.audit.search.search import Asked, Search
from tamis.pipeline.audit.search.stored import Embedding
from tamis.schemas.errors import JobError, StateError
from tests.audit.conftest import DIM
from tests.benchmarks import _peers
from tests.support import object_store as stores
from tests.support.embedded import blobs, run_steps, write_input
from tests.support.running import (
    Sample,
    contents,
    ledger,
    make_plan,
    picture,
    run_here,
    write_tar,
)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def root(embedded: Any) -> Path:
    """A finished run over 240 pairs with vectors of both sides."""
    made: Path = embedded()
    return made


@pytest.fixture(scope="module")
def run(root: Path) -> FinishedRun:
    return open_run(str(root))


@pytest.fixture(scope="module")
def stored(root: Path) -> dict[str, Row]:
    """Ledger rows by uid, those that have a vector, with `image` and `text_vector`."""
    rows = {row["sid"]: row for row in ledger(root)}
    found = {}
    for path in sorted((root / "tables/embed/vectors").glob("part-*.parquet")):
        part = int(path.stem.partition("-")[2])
        for vector in pq.ParquetFile(path).read().to_pylist():
            if vector["reason"] is None:
                row = rows[part << 32 | vector["row"]]
                sides = {f"{side}_vector": vector[side] for side in ("image", "text")}
                found[row["uid"]] = row | sides
    return found


def wanted(stored: dict[str, Row], among: str) -> list[str]:
    """The uids in the order of the ledger."""
    return [uid for uid, row in stored.items() if among == "all" or row["kept"]]


@pytest.mark.parametrize("among", ["kept", "all"])
def test_clip_retrieval_has_vectors_and_metadata_row_by_row(
    run: FinishedRun, stored: dict[str, Row], tmp_path: Path, among: Any
) -> None:
    done = export(run, "clip-retrieval", str(tmp_path / "out"), among, None)
    metadata = pq.ParquetFile(tmp_path / "out/metadata/metadata_0.parquet").read().to_pylist()
    assert [row["uid"] for row in metadata] == wanted(stored, among)
    assert done.samples == len(metadata)
    for side, short in (("image", "img"), ("text", "text")):
        vectors = np.load(tmp_path / f"out/{short}_emb/{short}_emb_0.npy", mmap_mode="r")
        assert vectors.dtype == np.float16
        for row, vector in zip(metadata, vectors, strict=True):
            assert vector.tobytes() == stored[row["uid"]][f"{side}_vector"]
    one = metadata[3]
    assert one["caption"] == stored[one["uid"]]["text"]
    assert one["image_path"] == stored[one["uid"]]["key"]
    assert one["clip_similarity"] == stored[one["uid"]]["clip_similarity"]


def test_datacomp_is_an_input_with_the_same_vectors(
    run: FinishedRun, stored: dict[str, Row], tmp_path: Path
) -> None:
    """Its own features and uids: a second run over the kept samples embeds nothing."""
    export(run, "datacomp", str(tmp_path / "out"), "kept", None)
    features = np.load(tmp_path / "out/00000000.npz")
    assert sorted(features.files) == ["l14_img", "l14_txt"]
    metadata = pq.ParquetFile(tmp_path / "out/00000000.parquet").read()
    names = ["uid", "url", "text", "clip_l14_similarity_score"]
    assert metadata.column_names[:4] == names
    assert {"original_width", "original_height", "sha256"} <= set(metadata.column_names)
    for uid, image in zip(metadata["uid"].to_pylist(), features["l14_img"], strict=True):
        assert image.tobytes() == stored[uid]["image_vector"]
    inputs = [{"path": f"{tmp_path}/out/*.parquet", "features": True}]
    steps = "- embed: {encoder: precomputed}\n- write"
    run_here(make_plan(tmp_path / "again", "", steps, input=inputs))
    assert [row["uid"] for row in ledger(tmp_path / "again")] == wanted(stored, "kept")
    again = Embedding(open_run(str(tmp_path / "again")))
    for row in ledger(tmp_path / "again"):
        vector = again.vector(row["sid"], "text")
        expected = np.frombuffer(stored[row["uid"]]["text_vector"], np.float16)
        assert np.asarray(vector) == pytest.approx(expected.astype(np.float32), abs=1e-3)


def test_autofaiss_finds_what_the_search_finds(run: FinishedRun, tmp_path: Path) -> None:
    """Which `make peers` installs. It reads the halves as they are, whose length is not quite 1."""
    python = _peers.interpreter("clip-retrieval")
    if python is None:
        pytest.skip("autofaiss is not installed: make peers")
    export(run, "clip-retrieval", str(tmp_path / "out"), "all", None)
    drawn = np.random.default_rng(2).standard_normal((20, DIM)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    np.save(tmp_path / "queries.npy", drawn)
    vectors, asked, answer = (tmp_path / name for name in ("out/img_emb", "queries.npy", "a.npy"))
    _peers.theirs(python, "_peer_autofaiss.py", vectors, asked, answer, "--nearest", 10)
    uids = pq.ParquetFile(tmp_path / "out/metadata/metadata_0.parquet").read()["uid"].to_pylist()
    for query, found in zip(drawn, np.load(tmp_path / "a.npy").tolist(), strict=True):
        judged = Search(Embedding(run), Asked(40, among="all", where="true"))
        rows = judged.find(Query(query, "a vector")).rows
        least = rows[9]["cosine"] - 1e-3
        assert {uids[n] for n in found} <= {row["uid"] for row in rows if row["cosine"] > least}


@pytest.mark.parametrize("among", ["kept", "all"])
def test_faiss_finds_what_the_search_finds(run: FinishedRun, tmp_path: Path, among: Any) -> None:
    export(run, "faiss", str(tmp_path / "out"), among, None)
    embedding = Embedding(run)
    index: Any = faiss.read_index(str(tmp_path / "out/image_0.index"))
    captions: Any = faiss.read_index(str(tmp_path / "out/text_0.index"))
    assert (index.nlist, index.metric_type) == (4, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = 4
    metadata = pq.ParquetFile(tmp_path / "out/metadata_0.parquet").read()
    assert index.ntotal == captions.ntotal == metadata.num_rows
    for seed in range(10):
        drawn = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
        query = Query(drawn / np.linalg.norm(drawn), "a vector")
        for side, searched in (("image", index), ("text", captions)):
            values, sids = searched.search(query.vector[None], 10)
            asked = Asked(10, among=among, side=side)  # type: ignore[arg-type]
            found = Search(embedding, asked).find(query).rows
            assert values[0] == pytest.approx([row["cosine"] for row in found], abs=2e-3)
            # The lengths of halves may exchange neighbours of nearly equal cosine.
            assert len(set(sids[0].tolist()) & {row["sid"] for row in found}) >= 9


def test_hugging_face_datasets_loads_it(
    run: FinishedRun, stored: dict[str, Row], tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    export(run, "huggingface", str(tmp_path / "out"), "kept", None)
    loaded = datasets.load_dataset(
        str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded["uid"][:] == wanted(stored, "kept")
    first = loaded[0]
    expected = np.frombuffer(stored[first["uid"]]["image_vector"], np.float16)
    assert first["image_embedding"] == expected.astype(np.float32).tolist()


def test_what_img2dataset_downloads_keeps_its_uid(
    run: FinishedRun, stored: dict[str, Row], tmp_path: Path
) -> None:
    """Its tars have the columns that it is told to save in their json members, and are an input."""
    export(run, "img2dataset", str(tmp_path / "out"), "kept", None)
    table = pq.ParquetFile(tmp_path / "out/00000.parquet").read()
    assert table.column_names[:3] == ["url", "caption", "uid"]
    rows = table.select(["url", "caption", "uid"]).to_pylist()
    assert [row["uid"] for row in rows] == wanted(stored, "kept")
    assert [row["caption"] for row in rows] == [stored[row["uid"]]["text"] for row in rows]
    samples = [
        Sample(f"{n:09d}", picture(n), row["caption"], {"uid": row["uid"], "url": row["url"]})
        for n, row in enumerate(rows[:9])
    ]
    write_tar(tmp_path / "pictures/00000.tar", samples)
    run_here(make_plan(tmp_path / "again", tmp_path / "pictures/*.tar", "- write"))
    assert [row["uid"] for row in ledger(tmp_path / "again")] == [row["uid"] for row in rows[:9]]


@pytest.mark.parametrize("among", ["kept", "all"])
def test_csv_has_the_ledgers_rows(run: FinishedRun, root: Path, tmp_path: Path, among: Any) -> None:
    export(run, "csv", str(tmp_path / "out"), among, None)
    with duckdb.connect() as connection:
        told = connection.execute(
            f"SELECT uid, kept, step, text, clip_similarity FROM '{tmp_path}/out/samples.csv'"
        ).fetchall()
    expected = [row for row in ledger(root) if among == "all" or row["kept"]]
    names = ("uid", "kept", "step", "text", "clip_similarity")
    assert told == [tuple(row[name] for name in names) for row in expected]


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_the_same_run_gives_the_same_bytes(run: FinishedRun, tmp_path: Path, layout: str) -> None:
    for name in ("one", "two"):
        done = export(run, layout, str(tmp_path / name), "kept", None)
        assert sorted(done.files) == sorted(contents(tmp_path / name))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_run_of_several_bundles_has_a_file_each(tmp_path: Path) -> None:
    """And pictures alone have no vectors of captions."""
    samples = blobs([150], [1.0], dim=4)
    entry = write_input(tmp_path / "in", samples, 1)
    steps = "- semantic_duplicates: {clusters: 3, epsilon: 1e-6}\n- random: {keep: 60}\n- write"
    run_steps(tmp_path / "run", [entry], steps, part_samples=1)
    run = open_run(str(tmp_path / "run"))
    export(run, "clip-retrieval", str(tmp_path / "out"), "kept", None)
    files = sorted(contents(tmp_path / "out"))
    numbers = ("0", "1")
    assert files == [f"img_emb/img_emb_{n}.npy" for n in numbers] + [
        f"metadata/metadata_{n}.parquet" for n in numbers
    ]
    rows = [
        (uid, vector.tobytes())
        for n in numbers
        for uid, vector in zip(
            pq.ParquetFile(tmp_path / f"out/metadata/metadata_{n}.parquet")
            .read()["uid"]
            .to_pylist(),
            np.load(tmp_path / f"out/img_emb/img_emb_{n}.npy"),
            strict=True,
        )
    ]
    assert len(rows) == 60
    own = dict(zip(samples.uid, samples.vectors.astype(np.float16), strict=True))
    assert all(own[uid].tobytes() == vector for uid, vector in rows)
    export(run, "faiss", str(tmp_path / "index"), "kept", None)
    one, two = (faiss.read_index(str(tmp_path / f"index/image_{n}.index")) for n in numbers)
    faiss.merge_into(one, two, False)
    assert one.ntotal == 60


def test_what_cannot_be_exported_is_said_in_one_line(
    run: FinishedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    with pytest.raises(JobError, match="holds something: name an empty folder"):
        export(run, "csv", str(tmp_path / "full"), "kept", None)
    with pytest.raises(JobError, match=r"is no layout; did you mean `clip-retrieval`\?$"):
        export(run, "clip_retrieval", str(tmp_path / "out"), "kept", None)
    entry = write_input(tmp_path / "in", blobs([5], [1.0], dim=4), 1)
    steps = "- signals: [words]\n- rules: {words: {min: 2}}\n- write"
    inputs = [{"path": entry["path"]}]
    run_here(make_plan(tmp_path / "run", "", steps, input=inputs))
    with pytest.raises(StateError, match="has no embeddings"):
        export(open_run(str(tmp_path / "run")), "faiss", str(tmp_path / "out"), "kept", None)
    with pytest.raises(SystemExit) as ended:
        main(["export", run.root, "--as", "csv", "--output", str(tmp_path / "full")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_signal_with_a_name_of_the_layout_keeps_its_values() -> None:
    table = pa.table({"key": ["k"], "text": ["t"], "caption": ["its own"]})
    told = layouts._renamed(table, {"image_path": "key", "caption": "text"})
    assert told.to_pylist() == [{"image_path": "k", "caption": "t", "signal_caption": "its own"}]


def test_the_command_names_what_it_wrote(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for number, more in enumerate(([], ["--json"])):
        with pytest.raises(SystemExit) as ended:
            main(["export", str(root), "--as", "csv", "--output", f"{tmp_path}/{number}", *more])
        assert ended.value.code == 0
        told.append(capsys.readouterr().out)
    kept = sum(row["kept"] for row in ledger(root))
    assert told[0] == f"samples.csv\n{kept} samples in 1 file below {tmp_path}/0\n"
    expected = {"folder": f"{tmp_path}/1", "files": ["samples.csv"], "samples": kept}
    assert json.loads(told[1]) == expected


@pytest.mark.slow
def test_a_store_holds_what_a_disk_holds(
    run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stores.object_store() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        for layout in LAYOUTS:
            export(run, layout, str(tmp_path / layout), "kept", None)
            export(run, layout, f"s3://{stores.BUCKET}/{layout}", "kept", None)
            assert stores.contents(store, layout) == contents(tmp_path / layout)


def test_an_export_lies_in_no_run_and_replaces_no_file(
    run: FinishedRun, root: Path, tmp_path: Path
) -> None:
    before = contents(root)
    for folder in ("new", "shards/new/deep"):
        with pytest.raises(StateError, match="where results are replaced"):
            export(run, "csv", str(root / folder), "kept", None)
    (tmp_path / "file").write_text("x")
    with pytest.raises(JobError, match="is a file: name a folder"):
        export(run, "csv", str(tmp_path / "file"), "kept", None)
    with pytest.raises(JobError, match="--output is empty"):
        export(run, "csv", "", "kept", None)
    assert contents(root) == before


def test_no_column_takes_the_place_of_another() -> None:
    names = ["key", "text", "caption", "signal_caption", "signal_signal_caption", "image_path"]
    table = pa.table({name: [name] for name in names})
    told = layouts._renamed(table, {"image_path": "key", "caption": "text"})
    assert len(set(told.column_names)) == len(names)
    assert {told[name][0].as_py() for name in told.column_names} == set(names)
    assert told["signal_caption"].to_pylist() == ["signal_caption"]
