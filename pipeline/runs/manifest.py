"""``manifest.json``: the inputs, the outputs, and every count between.

Nothing in it changes between equal runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from tamis.pipeline.results import ledger_totals, manifest_files
from tamis.pipeline.results.shards import NAME
from tamis.pipeline.runs.account import Account
from tamis.pipeline.runs.mixture import mixture
from tamis.pipeline.steps.shared.tiers import tiering
from tamis.pipeline.store import finished, storage
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.step import Context
from tamis.schemas.layout import MANIFEST
from tamis.schemas.manifest import Embeddings, FileRecord, Manifest, Output, StepCount, Version
from tamis.schemas.manifest import Input as InputRecord
from tamis.schemas.redaction import without_secrets
from tamis.schemas.scope import Scope

RESULTS = {
    "ledger": r"bundle-\d{5,}\.parquet",
    "ledger_index": r"\d{5,}\.parquet",
    "shards": rf"{NAME}(\.tar|\.parquet|\.npz|_stats\.json)",
    "subsets": r"epoch-\d{3,}\.npy",
}
"""Folders of the result -> names of a run's files there: only such are ever removed."""


def write_manifest(run: Context, accounts: Sequence[Account], phases: Iterable[Done]) -> None:
    """Write the manifest if it has changed, and remove result files that no task of this plan has made.

    ``run`` is finished: ``accounts`` has one for each step that has decided, ``phases`` are all of its phases.
    """
    outputs = _outputs(phases)
    for folder, pattern in RESULTS.items():
        storage.clear_partial(storage.join(run.root, folder))
        for name in storage.listing(storage.join(run.root, folder)):
            if f"{folder}/{name}" not in outputs and re.fullmatch(pattern, name):
                finished.withdraw(run.root)
                storage.delete(storage.join(run.root, folder, name))
    records: dict[str, Sequence[FileRecord]] = {
        manifest_files.INPUTS: _inputs(run),
        manifest_files.EMBEDDINGS: _embeddings(run),
        manifest_files.OUTPUTS: [outputs[path] for path in sorted(outputs)],
    }
    files = manifest_files.write(run.root, records)
    text = _build(run, accounts, files, outputs.values()).to_json()
    path = storage.join(run.root, MANIFEST)
    if not storage.exists(path) or storage.read_bytes(path) != text:
        storage.write_bytes(path, text)


def _outputs(phases: Iterable[Done]) -> dict[str, Output]:
    outputs: dict[str, Output] = {}
    for done in phases:
        if done.scope in {Scope.SHARD, Scope.BUNDLE, Scope.BUCKET, Scope.WHOLE}:
            for _, receipts in done.files.noted("outputs"):
                for raw in receipts:
                    outputs[raw["path"]] = Output(**raw)
    return outputs


def _inputs(run: Context) -> list[InputRecord]:
    ingested = run.done("ingest", "files").files
    rows = np.add.reduceat(ingested.rows, ingested.starts).tolist()
    return [
        InputRecord(file.source, int(notes["bytes"]), notes["sha256"], count)
        for file, notes, count in zip(run.inputs, ingested.all_notes(), rows, strict=True)
    ]


def _build(
    run: Context, accounts: Sequence[Account], files: dict[str, str], outputs: Iterable[Output]
) -> Manifest:
    tiers = tiering(run.job.steps)
    totals = ledger_totals.together(run.done("ledger", "rows").notes())
    return Manifest(
        job=_portable(
            without_secrets(json.loads(run.job.model_dump_json(by_alias=True))),
            [step.kind for step in run.job.steps],
            _hidden(run),
        ),
        versions=Version.installed(),
        steps=[
            StepCount(
                step=a.step, entered=a.entered, dropped=dict(sorted(a.dropped.items())), kept=a.kept
            )
            for a in accounts
        ],
        rows_in=run.total,
        kept=run.alive,
        files=files,
        tiers=mixture(tiers.each, outputs) if tiers is not None else [],
        losses=ledger_totals.losses(totals),
        ranges=ledger_totals.ranges(totals),
    )


def _embeddings(run: Context) -> list[Embeddings]:
    """The embedding files of the input, where a step takes them.

    Names and sizes, and no hash: of a file no task reads more than its own part's rows, so a hash would read
    them all once more. The stored embeddings are their rows: ``verify --deep`` compares.
    """
    taken = [embed.taken_embedding for embed in run.job.embeds if embed.takes_embeddings]
    listings: dict[str, dict[str, int]] = {}
    records = []
    for file, embedding in product(run.inputs, sorted(set(taken))):
        for of, address in file.embeddings(embedding).items():
            path, mark, member = address.partition("#")
            folder, name = storage.parent(path), path.rpartition("/")[2]
            if folder not in listings:  # one request for all of a directory's files
                listings[folder] = storage.listing(folder)
            size = listings[folder].get(name)
            size = storage.stat(path).size if size is None else size
            records.append(Embeddings(file.source, of, f"{name}{mark}{member}", size, embedding))
    return records


def _hidden(run: Context) -> dict[str, str]:
    """Step -> what stands for the list that it keeps to itself: the list's sha256."""
    hidden = [step.name for step in run.job.steps if step.hidden_list]
    return {
        name: f"sha256 {notes['sha256']}"
        for name in hidden
        for notes in run.done(name, "list").notes()
    }


def _portable(job: dict[str, Any], kinds: list[str], hidden: Mapping[str, str]) -> dict[str, Any]:
    """The job without ``hidden`` lists and settings that may differ between equal runs: paths and resources."""
    kept = {key: value for key, value in job.items() if key not in ("output", "resources", "input")}
    kept["steps"] = [
        {
            kind: {
                key: hidden.get(settings["name"], _without_folder(key, value))
                if key == "list"
                else _without_folder(key, value)
                for key, value in settings.items()
            }
        }
        for kind, settings in zip(kinds, job["steps"], strict=True)
    ]
    paths = {"path", "image_embeddings", "text_embeddings", "embeddings"}
    kept["input"] = [
        {key: value for key, value in entry.items() if key not in paths} for entry in job["input"]
    ]
    return kept


def _without_folder(key: str, value: Any) -> Any:
    """A setting's value; of a path its last name alone."""
    if key in ("centroids", "list", "target") and isinstance(value, str):
        return value.rstrip("/").rpartition("/")[2]
    return value
