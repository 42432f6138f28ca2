"""New shards in a finished run: the end is that of a run over all of them, the old ones are not opened again."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.inputs.images import to_rgb
from tamis.pipeline.runs import walk as run
from tamis.pipeline.steps.embed import decoding
from tamis.pipeline.tasks.perform import Here, Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tests.support.demo_run import tamis
from tests.support.embedded import blobs, run_steps, write_input
from tests.support.running import contents, ledger, make_plan, read_tar, subset_uids, write_tar

STEPS = """
  - signals: [words, min_side]
  - rules: {words: {min: 2}, min_side: {min: 64}}
  - exact_duplicates: {on: image}
  - near_duplicates: {jaccard: 0.8, agree: phash}
  - embed: {encoder: demo}
  - rules: {name: similarity, clip_similarity: {min: 0.1}}
  - semantic_duplicates: {clusters: 10, epsilon: 0.07, which_to_keep: hard}
  - density: {clusters: CLUSTERS, keep: 0.4, neighbours: 4}
  - write: {samples_per_shard: 1000}"""

Row = dict[str, Any]


class Counting(Here):
    """Notes which files ingest walks, and how many pictures are decoded to be embedded."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.walked: list[str] = []
        self.embedded = 0
        self.seconds = 0.0  # of processor time, for the whole run

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        if phase.name == "files":
            self.walked += [work.task.args.relative for work in works]
        with mock.patch.object(decoding, "to_rgb", self._to_rgb):
            yield from super().run(phase, works)

    def _to_rgb(self, *arguments: Any) -> Any:
        self.embedded += 1
        return to_rgb(*arguments)


def do(output: Path, folder: Path, clusters: int) -> Counting:
    """The job over what lies in a folder."""
    steps = STEPS.replace("CLUSTERS", str(clusters))
    made = make_plan(output, folder / "*.tar", steps, part_samples=128)
    executor = Counting(made.root)
    start = time.process_time()
    run.run(made, executor=executor)
    executor.seconds = time.process_time() - start
    return executor


def by_uid(output: Path) -> dict[str, Row]:
    """The ledger's rows, but for what depends on the order in which files were numbered."""
    rows = ledger(output)
    for row in rows:
        for name in ("sid", "shard", "shard_key"):
            del row[name]
    return {row["uid"]: row for row in rows}


def kept(output: Path) -> set[str]:
    return set(subset_uids(output))


def put(tars: Sequence[Path], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for tar in tars:
        shutil.copy2(tar, folder)


def assert_grown(
    old: Sequence[Path], new: Sequence[Path], folder: Path, clusters: int
) -> tuple[Counting, Counting]:
    """A run over ``old``, gone on with over both; and one over both at once. What each had to open."""
    put(old, folder / "in")
    do(folder / "run", folder / "in", clusters)
    before, first = kept(folder / "run"), by_uid(folder / "run")
    put(new, folder / "in")
    grown = do(folder / "run", folder / "in", clusters)
    whole = do(folder / "whole", folder / "in", clusters)
    after = by_uid(folder / "run")
    assert after == by_uid(folder / "whole")
    assert kept(folder / "run") == kept(folder / "whole")
    assert sorted(grown.walked) == sorted(tar.name for tar in new)
    assert len(whole.walked) == len(old) + len(new)
    assert grown.embedded == sum(
        reached(row) and not (uid in first and reached(first[uid])) for uid, row in after.items()
    )
    for name, one in (("goes on", grown), ("all at once", whole)):
        sys.stdout.write(
            f"{name}: {one.seconds:.0f} s of processor time, {len(one.walked)} files walked, "
            f"{one.embedded:,} pictures embedded\n"
        )
    assert_delta(folder / "run", before)
    assert not (folder / "whole/delta.parquet").exists()
    return grown, whole


def reached(row: Row) -> bool:
    """Whether the sample came as far as the embedding."""
    return row["step"] not in ("ingest", "rules", "exact_duplicates", "near_duplicates")


def assert_delta(output: Path, before: set[str]) -> None:
    """What the file, the command and its query say of the change is what changed."""
    after = kept(output)
    with sql.connect(open_run(str(output))) as connection:
        names = dict(connection.execute("SELECT uid, change FROM delta").fetchall())
    assert names == dict.fromkeys(after - before, "added") | dict.fromkeys(
        before - after, "moved_out"
    )
    told, _ = tamis("audit", str(output))
    assert told["delta"] == dict(Counter(names.values()))
    assert told["delta"].keys() == {"added", "moved_out"}


@pytest.mark.slow
def test_the_ledger_is_that_of_a_run_over_all(clipart_example: Path, tmp_path: Path) -> None:
    """The new file's name comes first, so that its parts have other numbers in the run over all."""
    samples = read_tar(clipart_example / "00000.tar")[:120]
    first, *others = (write_tar(tmp_path / f"made/{n}.tar", samples[n::3]) for n in range(3))
    grown, whole = assert_grown(others, [first], tmp_path, clusters=10)
    assert 0 < grown.embedded < whole.embedded / 2


def test_frozen_centroids_stay_and_retrained_ones_move(tmp_path: Path) -> None:
    """The job borrows the centroids of the run that it goes on with, or trains them over all."""
    samples = blobs([40] * 8, [0.3] * 8)
    half = np.arange(len(samples)) < len(samples) // 2
    entries = [
        {"name": name} | write_input(tmp_path / name, samples.take(np.flatnonzero(rows)))
        for name, rows in (("old", half), ("new", ~half))
    ]
    run_steps(tmp_path / "run", entries[:1], DENSITY)
    trained, concepts = centroids(tmp_path / "run"), clusters(tmp_path / "run")
    frozen = DENSITY.replace("}", f", centroids: '{tmp_path}/run#density'}}")
    run_steps(tmp_path / "run", entries, frozen)
    assert centroids(tmp_path / "run").equals(trained)
    assert concepts.items() <= clusters(tmp_path / "run").items()
    assert run_steps(tmp_path / "run", entries, frozen).tasks_run == 0
    run_steps(tmp_path / "run", entries, DENSITY)
    assert not centroids(tmp_path / "run").equals(trained)
    run_steps(tmp_path / "whole", entries, DENSITY)
    assert contents(tmp_path / "run/ledger") == contents(tmp_path / "whole/ledger")


DENSITY = "- density: {clusters: 6, keep: 0.5, neighbours: 3}"


def centroids(output: Path) -> pa.Table:
    path = output / "tables/density/train/centroids.parquet"
    return pq.read_table(path).replace_schema_metadata()


def clusters(output: Path) -> dict[str, int]:
    return {row["uid"]: row["cluster"] for row in ledger(output)}


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_two_shards_are_added_to_six(openclipart: Path, tmp_path: Path) -> None:
    tars = sorted(openclipart.glob("*.tar"))
    assert len(tars) == 8
    assert_grown(tars[:6], tars[6:], tmp_path, clusters=40)
