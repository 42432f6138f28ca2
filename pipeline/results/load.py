"""A finished run as a webdataset pipeline, for a trainer to iterate over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tamis.pipeline.store import finished, storage
from tamis.schemas.errors import StateError


def shards(run: str) -> list[str]:
    """Paths of a finished run's tars, in order.

    Raises:
        StateError: there is no finished run, or it has no pictures.
    """
    return list(_sizes(run))


def _sizes(run: str) -> dict[str, int]:
    """Path of each tar -> its bytes, in order."""
    root = storage.absolute(run)
    manifest = storage.join(root, finished.MANIFEST)
    if not storage.exists(manifest):
        raise StateError(
            f"{finished.state(root)} (no {finished.MANIFEST})"
            if storage.exists(storage.join(root, "plan.json"))
            else f"{storage.redact(run)} is no finished run, for it has no {finished.MANIFEST}: run its job"
        )
    # Whoever imports tamis waits for no pyarrow.
    from tamis.pipeline.results.manifest_files import ManifestFiles

    digests = json.loads(storage.read_bytes(manifest)).get("files", {})
    outputs = ManifestFiles(root, digests).outputs
    tars = {storage.join(root, o.path): o.bytes for o in outputs if o.path.endswith(".tar")}
    if not tars:
        raise StateError(
            f"{storage.redact(run)} has no tars, for its input had no pictures: read its parquet files"
        )
    return tars


def load(run: str, shuffle: int = 0, seed: int = 0) -> Any:
    """Samples in webdataset's form: ``__key__``, and bytes under each suffix; chain ``.decode()`` and the like.

    Shards are split among the nodes and data loader workers of torch by webdataset's own functions.

    Args:
        run: the run directory, an fsspec URL.
        shuffle: samples in the buffer from which they are drawn; 0 keeps shards and samples in order.
        seed: seed of the shuffle.

    Raises:
        StateError: as ``shards``; and as a shard is opened that is not the one that was written, or once the run has
            been done again.
    """
    import webdataset as wds

    opening = _Opening(run)

    stages: list[Any] = [wds.SimpleShardList(opening.paths, seed=seed if shuffle else None)]
    stages += [wds.split_by_node, wds.split_by_worker, opening, wds.tariterators.tar_file_expander]
    stages.append(wds.tariterators.group_by_keys)
    if shuffle:
        stages.append(wds.shuffle(shuffle, seed=seed))
    return wds.DataPipeline(*stages)


class _Opening:
    """Opens shards by ``storage``: webdataset would read remote files by command line tools."""

    def __init__(self, run: str) -> None:
        self._watched = finished.Watched(storage.absolute(run))
        self._sizes = _sizes(run)
        self.paths = list(self._sizes)

    def __call__(self, urls: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Each shard with its ``stream``."""
        for sample in urls:
            path = sample["url"]
            self._watched.check()
            size = storage.stat(path).size
            if size != self._sizes[path]:
                raise StateError(
                    f"{storage.redact(path)} has {size:,} bytes, {finished.MANIFEST} says {self._sizes[path]:,}: "
                    "`tamis verify` says what is damaged"
                )
            yield {**sample, "stream": storage.open_read(path)}
