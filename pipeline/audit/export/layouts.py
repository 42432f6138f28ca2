"""The layouts of exports, a function each, which writes the files of some rows into a folder and yields their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tamis.pipeline.audit.export.rows import Rows
from tamis.pipeline.audit.search.stored import Clusters, Side
from tamis.pipeline.results.arrays import ArraysWriter, write_header
from tamis.pipeline.store import storage
from tamis.pipeline.store.digesting import Writable
from tamis.pipeline.tables.columns import Float16s

ARCHITECTURES = {512: "b32", 768: "l14"}
"""Dimension of CLIP's vectors -> how DataComp calls the model."""

SIZES = ("width", "height", "sha256")

CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
---
{count:,} image-text pairs of the run `{name}`, with the signals that it computed{vectors}.
"""


def clip_retrieval(rows: Rows, folder: str) -> Iterator[str]:
    """``img_emb/img_emb_0.npy``, ``text_emb/text_emb_0.npy``, ``metadata/metadata_0.parquet``, row by row."""
    for number, bundle, count in _filled(rows):
        for side, short in (("image", "img"), ("text", "text")):
            if side in rows.sides:
                name = f"{short}_emb/{short}_emb_{number}.npy"
                with storage.write_atomic(storage.join(folder, name)) as file:
                    _write_npy(file, rows, bundle, side, count)
                yield name
        name = f"metadata/metadata_{number}.parquet"
        _write_parquet(storage.join(folder, name), map(_as_clip_retrieval, rows.tables(bundle)))
        yield name


def _as_clip_retrieval(table: pa.Table) -> pa.Table:
    return _renamed(table, {"image_path": "key", "caption": "text"})


def _renamed(table: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    """The table with ``columns`` first, by their new names; others that have such a name get ``signal_`` before it."""
    named = {new: table[old] for new, old in columns.items() if old in table.column_names}
    others = {name: table[name] for name in table.column_names if name not in columns.values()}
    return pa.table(_beside(named, others))


def _beside(first: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """All columns, those of ``others`` whose name is taken with ``signal_`` before it, as often as it takes."""
    named = {name: column for name, column in others.items() if name not in first}
    for name, column in others.items():
        while name in first or (name in named and named[name] is not column):
            name = f"signal_{name}"  # noqa: PLW2901 - the name is what is looked for
        named[name] = column
    return {**first, **named}


def datacomp(rows: Rows, folder: str) -> Iterator[str]:
    """``00000000.parquet`` with DataComp's columns and the signals, and ``00000000.npz`` with the vectors."""
    assert rows.embedding is not None, "the layout has vectors"
    arch = _architecture(rows)
    columns = {
        **{name: name for name in ("uid", "url", "text")},
        f"clip_{arch}_similarity_score": "clip_similarity",
    }
    for _, bundle, count in _filled(rows):
        name = f"{bundle:08d}.parquet"
        tables = (
            _as_datacomp(table, sizes, columns)
            for table, sizes in zip(rows.tables(bundle), rows.ingested(bundle, SIZES), strict=True)
        )
        _write_parquet(storage.join(folder, name), tables)
        yield name
        name = f"{bundle:08d}.npz"
        with storage.write_atomic(storage.join(folder, name)) as file:
            archive = ArraysWriter(file)
            for side, short in (("image", "img"), ("text", "txt")):
                if side in rows.sides:
                    shape = (count, rows.embedding.dim)
                    with archive.array(f"{arch}_{short}", "<f2", shape) as inner:
                        _write_rows(inner, rows, bundle, side)
            archive.close()
        yield name


def _architecture(rows: Rows) -> str:
    """The prefix of the features' names: the input's own, or that of CLIP's dimension, else the embedding's name."""
    assert rows.embedding is not None, "the layout has vectors"
    config = rows.embedding.config
    first = rows.run.manifest.job["input"][0]
    if config.takes_embeddings and not config.taken_embedding and first.get("features"):
        return str(first["image_feature"]).removesuffix("_img")
    return ARCHITECTURES.get(rows.embedding.dim, config.as_)


def _as_datacomp(table: pa.Table, sizes: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    digests = sizes["sha256"].to_pylist()
    ours = {
        "original_width": sizes["width"],
        "original_height": sizes["height"],
        "sha256": pa.array([value and value.hex() for value in digests], pa.string()),
    }
    renamed = _renamed(table, columns)
    others = [name for name in renamed.column_names if name not in columns]
    first = {name: renamed[name] for name in renamed.column_names if name in columns} | ours
    return pa.table(_beside(first, {name: renamed[name] for name in others}))


def faiss_index(rows: Rows, folder: str) -> Iterator[str]:
    """``image_0.index``, ``text_0.index``: inner products of halves; the ids are the metadata's column ``sid``.

    Pictures lie in lists by the run's own centroids, where it has laid them out; captions in one. All indices of a
    side have the same lists: faiss can merge them.
    """
    for number, bundle, _ in _filled(rows):
        for side in rows.sides:
            name = f"{side}_{number}.index"
            _write_index(storage.join(folder, name), rows, bundle, side)
            yield name
        name = f"metadata_{number}.parquet"
        _write_parquet(storage.join(folder, name), rows.tables(bundle))
        yield name


def _write_index(path: str, rows: Rows, bundle: int, side: Side) -> None:
    import faiss

    assert rows.embedding is not None, "the layout has vectors"
    dim, half = rows.embedding.dim, faiss.ScalarQuantizer.QT_fp16
    clusters = Clusters.of(rows.embedding) if side == "image" else None
    index: Any
    if clusters is None:
        index = faiss.IndexIDMap(faiss.IndexScalarQuantizer(dim, half, faiss.METRIC_INNER_PRODUCT))
    else:
        lists = faiss.IndexFlatIP(dim)
        lists.add(clusters.centroids)
        index = faiss.IndexIVFScalarQuantizer(
            lists, dim, lists.ntotal, half, faiss.METRIC_INNER_PRODUCT, False
        )
        index.is_trained = True  # halves need no training, and the lists have theirs
    for table, vectors in zip(rows.tables(bundle), rows.vectors(bundle, side), strict=True):
        index.add_with_ids(vectors.astype(np.float32), table["sid"].to_numpy())
    storage.write_bytes(path, faiss.serialize_index(index).tobytes())


def huggingface(rows: Rows, folder: str) -> Iterator[str]:
    """``data/train-00000.parquet`` and a card: what ``datasets.load_dataset`` reads, vectors as columns."""
    total = 0
    for number, bundle, count in _filled(rows):
        name = f"data/train-{int(number):05d}.parquet"
        _write_parquet(storage.join(folder, name), _with_vectors(rows, bundle))
        total += count
        yield name
    vectors = ", and the vectors of its encoder" if rows.sides else ""
    card = CARD.format(count=total, name=rows.run.manifest.job["name"], vectors=vectors)
    storage.write_bytes(storage.join(folder, "README.md"), card.encode())
    yield "README.md"


def _with_vectors(rows: Rows, bundle: int) -> Iterator[pa.Table]:
    sides = [rows.vectors(bundle, side) for side in rows.sides]
    for table, *vectors in zip(rows.tables(bundle), *sides, strict=True):
        made = {
            f"{side}_embedding": _list_column(array)
            for side, array in zip(rows.sides, vectors, strict=True)
        }
        known = _beside(made, {name: table[name] for name in table.column_names})
        yield pa.table({name: known[name] for name in [*list(known)[len(made) :], *made]})


def _list_column(vectors: Float16s) -> pa.Array:
    wide = pa.array(vectors.astype(np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(wide, vectors.shape[1])


def img2dataset(rows: Rows, folder: str) -> Iterator[str]:
    """``00000.parquet``: `url`, `caption` and `uid`, and the rest beside them, for img2dataset to download."""
    for number, bundle, _ in _filled(rows):
        name = f"{int(number):05d}.parquet"
        tables = (_as_img2dataset(table) for table in rows.tables(bundle))
        _write_parquet(storage.join(folder, name), tables)
        yield name


def _as_img2dataset(table: pa.Table) -> pa.Table:
    return _renamed(table, {"url": "url", "caption": "text", "uid": "uid"})


def csv(rows: Rows, folder: str) -> Iterator[str]:
    """``samples.csv``: a row a sample, without vectors."""
    name = "samples.csv"
    schema: pa.Schema | None = None
    with storage.write_atomic(storage.join(folder, name)) as file:
        for bundle in rows.bundles:
            for table in rows.tables(bundle):
                options = pyarrow.csv.WriteOptions(include_header=schema is None)
                schema = table.schema
                pyarrow.csv.write_csv(table, file, options)
        if schema is None:
            names = (name.replace('"', '""') for name in rows.columns)
            file.write((",".join(f'"{name}"' for name in names) + "\n").encode())
    yield name


def _filled(rows: Rows) -> Iterator[tuple[str, int, int]]:
    """Number in file names, bundle, and rows of each bundle that has any."""
    counts = [(bundle, rows.count(bundle)) for bundle in rows.bundles]
    filled = [(bundle, count) for bundle, count in counts if count]
    width = len(str(max(len(filled) - 1, 0)))
    for number, (bundle, count) in enumerate(filled):
        yield f"{number:0{width}d}", bundle, count


def _write_npy(file: Any, rows: Rows, bundle: int, side: Side, count: int) -> None:
    assert rows.embedding is not None, "there are sides"
    write_header(file, "<f2", (count, rows.embedding.dim))
    _write_rows(file, rows, bundle, side)


def _write_rows(file: Writable, rows: Rows, bundle: int, side: Side) -> None:
    for vectors in rows.vectors(bundle, side):
        file.write(np.ascontiguousarray(vectors, "<f2").tobytes())


def _write_parquet(path: str, tables: Iterable[pa.Table]) -> None:
    """A row group a table; there is at least one."""
    writer: pq.ParquetWriter | None = None
    with storage.write_atomic(path) as file:
        for table in tables:
            writer = writer or pq.ParquetWriter(file, table.schema)
            writer.write_table(table)
        assert writer is not None, "bundles without rows have no file"
        writer.close()


@dataclass(frozen=True)
class Layout:
    """A layout: what writes it, and whether it holds vectors."""

    write: Callable[[Rows, str], Iterator[str]]
    vectors: Literal["needed", "if any", "none"] = "needed"


LAYOUTS: Mapping[str, Layout] = {
    "clip-retrieval": Layout(clip_retrieval),
    "datacomp": Layout(datacomp),
    "faiss": Layout(faiss_index),
    "huggingface": Layout(huggingface, "if any"),
    "img2dataset": Layout(img2dataset, "none"),
    "csv": Layout(csv, "none"),
}
