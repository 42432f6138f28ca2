"""What a run of nearly all steps that drop samples tells of each: its account, and the stories of samples."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.reading.funnel import by_source_query, losses, losses_by_rule
from tamis.pipeline.audit.report.sections import reasons_section
from tests.support.running import ledger, make_plan, run_here

SAMPLES, DIM, CLUSTERS = 600, 16, 4

STEPS = """
  - signals: [words, characters]
  - rules: {words: {min: 2}, characters: {max: 60}}
  - exact_duplicates: {on: url_text}
  - near_duplicates: {jaccard: 0.6, agree: none}
  - embed: {encoder: precomputed}
  - rules: {name: similarity, clip_similarity: {min: 0.3}}
  - semantic_duplicates: {clusters: 4, epsilon: 0.05}
  - score: {signal: clip_similarity, keep: 0.9}
  - quotas: {by: words, most: 60}
  - random: {keep: 0.9}
  - prototypes: {clusters: 4, keep: 0.9}
  - coverage: {keep: 0.8, score: clip_similarity}
  - density: {clusters: 4, neighbours: 2, keep: 0.5}
  - write: {format: parquet}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run."""
    folder = tmp_path_factory.mktemp("many-steps")
    draw = np.random.default_rng(3)
    image = 3 * draw.normal(size=(CLUSTERS, DIM))[draw.integers(0, CLUSTERS, SAMPLES)]
    image += draw.normal(size=(SAMPLES, DIM))
    image[:20] = image[20:40] + 1e-3
    text = image + 2 * draw.normal(size=(SAMPLES, DIM))
    np.savez(folder / "0.npz", l14_img=image.astype("f2"), l14_txt=text.astype("f2"))
    words = ["".join(draw.choice(list("abcdefgh"), 7)) for _ in range(500)]
    captions = [" ".join(draw.choice(words, draw.integers(1, 10))) for _ in range(SAMPLES)]
    captions[40:60] = captions[60:80]
    captions[80:100] = [f"{caption} x" for caption in captions[100:120]]
    keys = [f"key-{number}" for number in range(SAMPLES)]
    pq.write_table(pa.table({"key": keys, "text": captions}), folder / "0.parquet")
    inputs = [{"path": f"{folder}/*.parquet", "features": True}]
    run_here(make_plan(folder / "run", "", STEPS, input=inputs, part_samples=100))
    return folder / "run"


def test_a_reason_without_its_rule_is_one_line(made: Path) -> None:
    """Of `coverage` each stratum is a rule, which the words do not name: there were as many lines, all the same."""
    run = open_run(str(made))
    rows = [row for row in ledger(made) if row["step"]]
    assert len({row["rule"] for row in rows if row["step"] == "coverage"}) > 1
    found = losses(run)
    told = Counter({(loss.step, loss.reason, loss.rule): loss.samples for loss in found})
    assert len(told) == len(found) < len(losses_by_rule(run))
    assert [loss.samples for loss in found] == sorted(told.values(), reverse=True)
    (of_coverage,) = (loss for loss in found if loss.step == "coverage")
    assert of_coverage.samples == sum(row["step"] == "coverage" for row in rows)
    assert {loss.rule for loss in found if loss.step == "rules"} == {"words", "characters"}
    with sql.connect(run, tables=False) as connection:
        names, (counts,) = sql.ask(connection, by_source_query(run, found))
    assert len(set(names)) == len(names)
    assert list(counts[3:]) == [loss.samples for loss in found]
    assert reasons_section(run).count(">coverage</td>") == 1


def test_a_story_waits_for_nothing(made: Path) -> None:
    """Arrow imports pandas for most ways to an array, which takes ``explain`` a fifth of a second."""
    dropped = {(row["step"], row["reason"]): row["key"] for row in ledger(made)}
    assert {step for step, _ in dropped} >= {"near_duplicates", "coverage", "density", None}
    code = (
        "import sys; from tamis.jobs.cli.app import main\n"
        "for key in sys.argv[2:]:\n"
        "    try: main(['explain', sys.argv[1], key])\n"
        "    except SystemExit as ended: assert not ended.code, ended\n"
        "    print(key, sorted({'duckdb', 'pandas', 'torch'} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(made), *dropped.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == [f"{key} []" for key in dropped.values()]
    assert all(step in done.stdout for step, _ in dropped if step)
