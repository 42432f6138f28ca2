"""Input files of each format from the same samples, for the tests that all formats pass."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.inputs.formats import format_named
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import storage
from tests.support.input_files import bytes_of
from tests.support.running import Sample


def write_parquet(path: Path, samples: Sequence[Sample]) -> None:
    """Row groups of four, a column for each field of the first sample."""
    table: dict[str, Any] = {
        "key": pa.array([sample.key for sample in samples], pa.string()),
        "caption": pa.array([sample.text for sample in samples], pa.string()),
        "image": pa.array([sample.image for sample in samples], pa.binary()),
    }
    for name in samples[0].fields if samples else ():
        table[name] = [sample.fields[name] for sample in samples]
    pq.write_table(pa.table(table), path, row_group_size=4)


def write_folder(path: Path, samples: Sequence[Sample]) -> None:
    """A picture, a caption and a json a sample; what was there before is gone."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for sample in samples:
        (path / f"{sample.key}.png").write_bytes(sample.image)
        (path / f"{sample.key}.txt").write_text(sample.text)
        (path / f"{sample.key}.json").write_text(json.dumps(sample.fields))


def table_rows(path: Path, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """The rows of a table beside whose file the pictures are written."""
    rows = []
    for sample in samples:
        (path.parent / f"{sample.key}.png").write_bytes(sample.image)
        named = {"key": sample.key, "caption": sample.text, "file_name": f"{sample.key}.png"}
        rows.append({**named, **sample.fields})
    return rows


def write_jsonl(path: Path, samples: Sequence[Sample]) -> None:
    """An object a line."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in table_rows(path, samples)))


def write_csv(path: Path, samples: Sequence[Sample]) -> None:
    """A header, and a record a sample."""
    rows = table_rows(path, samples)
    with path.open("w", newline="") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


@dataclass(frozen=True)
class Maker:
    """Writes files of one format into a folder."""

    kind: str
    write: Callable[[Path, Sequence[Sample]], object]
    folder: Path

    @property
    def path(self) -> Path:
        """The folder's one file, which for one format is a folder too."""
        return self.folder / f"x{format_named(self.kind).endings[0]}"

    def file(self, samples: Sequence[Sample]) -> InputFile:
        """The folder's one file, written again."""
        self.write(self.path, samples)
        return self.of(self.path)

    def raw(self, data: bytes) -> InputFile:
        """The same with any bytes in it; those of a folder go into its files in their order."""
        if self.kind == "folder":
            self._into_folder(data)
        else:
            self.path.write_bytes(data)
        return self.of(self.path)

    def _into_folder(self, data: bytes) -> None:
        self.path.mkdir(exist_ok=True)
        files = sorted(self.path.iterdir(), key=lambda file: (file.stem, file.suffix))
        sizes = [file.stat().st_size for file in files]
        for file, size in zip(files, sizes, strict=True):
            file.write_bytes(data[:size])
            data = data[size:]
        if data:
            (self.path / "z.png").write_bytes(data)

    def of(self, path: Path) -> InputFile:
        """A file as the job's entry `input` names it."""
        if path.is_dir():
            size = len(bytes_of(path))
            return InputFile("input", "./", f"{path}/", self.kind, size)
        return InputFile("input", path.name, str(path), self.kind, path.stat().st_size)

    def copied(self, store: str) -> InputFile:
        """The file, and what lies beside it, on another store."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                name = path.relative_to(self.folder)
                storage.write_bytes(f"{store}/{name}", path.read_bytes())
        here = self.of(self.path)
        return replace(here, path=f"{store}/{here.path.removeprefix(f'{self.folder}/')}")
