"""What the tests of whole steps share: small tars made by the standard library, jobs run in this process."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from tamis.pipeline.audit.again.materialize import planned
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.runs import account, plan, walk
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.events import Observer
from tamis.schemas.parse import parse_job

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """A key's members, as they stand in a tar; nothing of the project has touched them."""

    key: str
    image: bytes
    text: str
    fields: Fields


def picture(colour: int, width: int = 8, height: int = 8) -> bytes:
    """A PNG of one colour (0 to 0xFFFFFF)."""
    out = io.BytesIO()
    rgb = (colour >> 16 & 255, colour >> 8 & 255, colour & 255)
    Image.new("RGB", (width, height), rgb).save(out, "PNG")
    return out.getvalue()


def write_tar(path: Path, samples: Iterable[Sample]) -> Path:
    """A webdataset tar of png, txt and json members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for sample in samples:
            members = {
                "png": sample.image,
                "txt": sample.text.encode(),
                "json": json.dumps(sample.fields).encode(),
            }
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{sample.key}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def read_tar(path: Path) -> list[Sample]:
    """All samples of a tar of png, txt and json members, in order."""
    members: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as tar:
        for info in tar:
            key, _, suffix = info.name.partition(".")
            file = tar.extractfile(info)
            assert file is not None
            members.setdefault(key, {})[suffix] = file.read()
    return [
        Sample(key, found["png"], found["txt"].decode(), json.loads(found["json"]))
        for key, found in members.items()
    ]


def make_plan(
    output: Path, pattern: Path | str, steps: str, *, accept_changed: bool = False, **job: Any
) -> plan.Plan:
    """A job named `test`: ``steps`` is a YAML list, ``job`` further keys of the job."""
    rest = "".join(f"{key}: {json.dumps(value)}\n" for key, value in job.items())
    name = "" if "name" in job else "name: test\n"
    text = f"{name}{rest}output: {output}\nsteps:\n{steps}\n"
    if "input" not in job:
        text = f"input: [{{path: '{pattern}'}}]\n{text}"
    return plan.make(parse_job(text, "test"), accept_changed)


def run_here(made: plan.Plan, observers: Sequence[Observer] = ()) -> account.Result:
    """Do a plan in this process."""
    return walk.run(made, observers, executor=Here(made.root))


def materialize(
    finished: FinishedRun,
    settings: Sequence[str],
    output: Path | str,
    observers: Sequence[Observer] = (),
) -> account.Result:
    """What `tamis materialize` does, in this process."""
    made = planned(finished, settings, str(output))
    return walk.run(made, observers, executor=Here(made.root), base=finished.root)


def subset_uids(output: Path) -> list[str]:
    """The uids of the subset file, as 32 hex digits each, in order."""
    halves = np.load(output / "subset.npy", allow_pickle=False)
    return [f"{high:016x}{low:016x}" for high, low in halves.tolist()]


def ledger(output: Path) -> list[dict[str, Any]]:
    """The ledger's rows, in order."""
    rows: list[dict[str, Any]] = []
    for path in sorted((output / "ledger").glob("*.parquet")):
        rows += pq.ParquetFile(path).read().to_pylist()
    return rows


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
