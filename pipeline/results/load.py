"""A finished run as a webdataset pipeline, for a trainer to iterate over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tamis.pipeline.store import finished, storage
from tamis.schemas.errors import StateError
from tamis.schemas.layout import MANIFEST, PLAN


def shards(run: str) -> list[str]:
    """Paths of a finished run's tars, in order.

    Raises:
        StateError: there is no finished run, or it has no pictures.
    """
    return list(_sizes(run))


def _sizes(run: str, tier: str | None = None) -> dict[str, int]:
    """Path of each tar, or of each of one tier, -> its bytes, in order."""
    root = storage.absolute(run)
    manifest = storage.join(root, MANIFEST)
    if not storage.exists(manifest):
        raise StateError(
            f"{finished.state(root)} (no {MANIFEST})"
            if storage.exists(storage.join(root, PLAN))
            else f"{storage.redact(run)} is no finished run, for it has no {MANIFEST}: run its job"
        )
    # Whoever imports tamis waits for no pyarrow.
    from tamis.pipeline.results.manifest_files import ManifestFiles

    told = json.loads(storage.read_bytes(manifest))
    outputs = ManifestFiles(root, told.get("files", {})).outputs
    if tier is not None:
        _check_tier(storage.redact(run), tier, told.get("tiers", []))
        pattern = re.compile(rf"shards/{re.escape(tier)}-\d+\.tar" if tier else r"shards/\d+\.tar")
        outputs = [output for output in outputs if pattern.fullmatch(output.path)]
    tars = {storage.join(root, o.path): o.bytes for o in outputs if o.path.endswith(".tar")}
    if not tars:
        raise StateError(
            f"{storage.redact(run)} has no tars, for its input had no pictures: read its parquet files"
        )
    return tars


def _check_tier(run: str, tier: str, counted: list[dict[str, Any]]) -> None:
    """Check that a tier has shards of its own."""
    names = [one["tier"] or "" for one in counted]
    if tier not in names:
        known = ", ".join(f"`{name}`" for name in names)
        raise StateError(
            f"{run}: no tier `{tier}` has shards of its own: "
            + (f"it has {known}" if names else "its job does not say `write: {by: TIERS}`")
        )


def load(run: str, shuffle: int = 0, seed: int = 0, tier: str | None = None) -> Any:
    """Samples in webdataset's form: ``__key__``, and bytes under each suffix; chain ``.decode()`` and the like.

    Shards are split among the nodes and data loader workers of torch by webdataset's own functions.

    Args:
        run: the run directory, an fsspec URL.
        shuffle: samples in the buffer from which they are drawn; 0 keeps shards and samples in order.
        seed: seed of the shuffle.
        tier: the one whose shards are read, of a run that divides them by tiers; "" for samples without a tier.

    Raises:
        StateError: as ``shards``; no such tier; and as a shard is opened that is not the one that was written, or
            once the run has been done again.
    """
    import webdataset as wds

    opening = _Opening(run, tier)

    stages: list[Any] = [wds.SimpleShardList(opening.paths, seed=seed if shuffle else None)]
    stages += [wds.split_by_node, wds.split_by_worker, opening, wds.tariterators.tar_file_expander]
    stages.append(wds.tariterators.group_by_keys)
    if shuffle:
        stages.append(wds.shuffle(shuffle, seed=seed))
    return wds.DataPipeline(*stages)


class _Opening:
    """Opens shards by ``storage``: webdataset would read remote files by command line tools."""

    def __init__(self, run: str, tier: str | None) -> None:
        self._watched = finished.Watched(storage.absolute(run))
        self._sizes = _sizes(run, tier)
        self.paths = list(self._sizes)

    def __call__(self, urls: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Each shard with its ``stream``."""
        for sample in urls:
            path = sample["url"]
            self._watched.check()
            size = storage.stat(path).size
            if size != self._sizes[path]:
                raise StateError(
                    f"{storage.redact(path)} has {size:,} bytes, {MANIFEST} says {self._sizes[path]:,}: "
                    "`tamis verify` says what is damaged"
                )
            yield {**sample, "stream": storage.open_read(path)}
