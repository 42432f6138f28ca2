"""A finished run as a webdataset pipeline, for a trainer to iterate over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tamis.pipeline.store import storage
from tamis.schemas.errors import StateError


def shards(run: str) -> list[str]:
    """Paths of a finished run's tars, in order.

    Raises:
        StateError: there is no finished run, or it has no pictures.
    """
    root = storage.absolute(run)
    manifest = storage.join(root, "manifest.json")
    if not storage.exists(manifest):
        raise StateError(
            f"{storage.redact(run)} is no finished run, for it has no manifest.json: run its job"
        )
    outputs = json.loads(storage.read_bytes(manifest))["outputs"]
    paths = [output["path"] for output in outputs if output["path"].endswith(".tar")]
    if not paths:
        raise StateError(
            f"{storage.redact(run)} has no tars, for its input had no pictures: read its parquet files"
        )
    return [storage.join(root, path) for path in paths]


def load(run: str, shuffle: int = 0, seed: int = 0) -> Any:
    """Samples in webdataset's form: ``__key__``, and bytes under each suffix; chain ``.decode()`` and the like.

    Shards are split among the nodes and data loader workers of torch by webdataset's own functions.

    Args:
        run: the run directory, an fsspec URL.
        shuffle: samples in the buffer from which they are drawn; 0 keeps shards and samples in order.
        seed: seed of the shuffle.

    Raises:
        StateError: as ``shards``.
    """
    import webdataset as wds

    stages: list[Any] = [wds.SimpleShardList(shards(run), seed=seed if shuffle else None)]
    stages += [wds.split_by_node, wds.split_by_worker, _open, wds.tariterators.tar_file_expander]
    stages.append(wds.tariterators.group_by_keys)
    if shuffle:
        stages.append(wds.shuffle(shuffle, seed=seed))
    return wds.DataPipeline(*stages)


def _open(urls: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Open shards by ``storage``: webdataset would read remote files by command line tools."""
    for sample in urls:
        yield {**sample, "stream": storage.open_read(sample["url"])}
