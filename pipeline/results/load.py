"""A finished run, given back as a webdataset pipeline: what a trainer iterates over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tamis.pipeline.store import storage
from tamis.schemas.errors import StateError


def shards(run: str) -> list[str]:
    """The tars of a finished run, in order.

    Raises:
        StateError: there is no finished run, or it wrote no pictures.
    """
    root = storage.absolute(run)
    manifest = storage.join(root, "manifest.json")
    if not storage.exists(manifest):
        raise StateError(f"{storage.redact(run)}: no finished run: it has no manifest.json")
    outputs = json.loads(storage.read_bytes(manifest))["outputs"]
    paths = [output["path"] for output in outputs if output["path"].endswith(".tar")]
    if not paths:
        raise StateError(
            f"{storage.redact(run)}: the run wrote no tars (its input had no pictures)"
        )
    return [storage.join(root, path) for path in paths]


def load(run: str, shuffle: int = 0, seed: int = 0) -> Any:
    """Samples as webdataset makes them: ``__key__``, and bytes under each suffix; chain ``.decode()`` and the like.

    Shards are shared out among the nodes and data loader workers of torch, as webdataset does it.

    Args:
        run: the run directory, an fsspec URL.
        shuffle: size of the buffer that samples are drawn from; 0 keeps shards and samples in order.
        seed: of the shuffling.

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
    """Open where all other files are opened: webdataset takes remote files from command line tools."""
    for sample in urls:
        yield {**sample, "stream": storage.open_read(sample["url"])}
