"""What a run has stored in ``tables/``, read by part as the layout says, without the product's readers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.results import manifest_files
from tamis.pipeline.results.manifest_files import ManifestFiles
from tamis.pipeline.tasks import parts, plan_files
from tamis.schemas.manifest import FileRecord

INDEX = "_index.parquet"


def small_bundles(patch: pytest.MonkeyPatch, size: int) -> None:
    """Make bundles of ``size`` parts, in this process: so a few parts make several, the last perhaps unfilled."""
    patch.setattr(parts, "BUNDLE", size)


def files(output: Path, step: str, phase: str) -> list[Path]:
    """The files of a phase's tasks, by name."""
    folder = output / "tables" / step / phase
    return sorted(path for path in folder.glob("*.parquet") if path.name != INDEX)


def table(output: Path, step: str, phase: str) -> pa.Table:
    """All rows of a phase, one file after another."""
    return pa.concat_tables(pq.ParquetFile(path).read() for path in files(output, step, phase))


def by_part(output: Path, step: str, phase: str) -> list[pa.Table]:
    """The table of each part, by its number.

    A part has a file of its own, or a row group in a bundle's, a range's or an input file's.
    """
    groups = []
    for path in files(output, step, phase):
        file = pq.ParquetFile(path)
        groups.append([file.read_row_group(group) for group in range(file.num_row_groups)])
    numbered = plan_parts(output)
    if files(output, step, phase)[0].name.startswith("file-"):
        return [groups[file][group] for file, group, _ in numbered]
    every = [one for of_file in groups for one in of_file]
    assert len(every) == len(numbered), f"{step} {phase}: {len(every)} of {len(numbered)} parts"
    return every


def with_sids(output: Path, step: str, phase: str) -> pa.Table:
    """All rows of a phase that works part by part, with the column ``sid``; ``row`` is the place in the part."""
    found = []
    for number, one in enumerate(by_part(output, step, phase)):
        sid = (np.int64(number) << 32) | one["row"].to_numpy().astype(np.int64)
        found.append(one.append_column("sid", pa.array(sid)))
    return pa.concat_tables(found)


def ledger_parts(output: Path) -> list[pa.Table]:
    """The ledger's rows of each part, by its number."""
    opened = [pq.ParquetFile(path) for path in sorted((output / "ledger").glob("*.parquet"))]
    return [file.read_row_group(group) for file in opened for group in range(file.num_row_groups)]


def plan_parts(output: Path) -> list[tuple[int, int, int]]:
    """(input file, row group of its ingest table, rows) of each part, as the plan numbers them."""
    known = plan_files.read(str(output))
    assert known is not None, f"{output}: no plan"
    return [(part.file, part.group, part.rows) for part in known.parts]


def record_output(run: Path, path: str, **now: Any) -> None:
    """Let the manifest say something else of a file of the result."""
    manifest = json.loads((run / "manifest.json").read_text())
    files = ManifestFiles(str(run), manifest["files"])
    outputs = [replace(o, **now) if o.path == path else o for o in files.outputs]
    records: dict[str, Sequence[FileRecord]] = {
        "inputs": files.inputs,
        "embeddings": files.embeddings,
        "outputs": outputs,
    }
    manifest["files"] = manifest_files.write(str(run), records)
    (run / "manifest.json").write_text(json.dumps(manifest))
