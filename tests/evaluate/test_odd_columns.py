"""Columns of any name, and with as many values as there are pairs, are read and told apart."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.export import layouts
from tamis.pipeline.audit.export.rows import Rows
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.evaluate import fit_head
from tamis.pipeline.evaluate.pairs import read
from tamis.pipeline.evaluate.trusted import Sets
from tests.support.running import make_plan, run_here
from tests.support.synthetic import captions, meanings, pairs, views, write_input

COUNT = 300
NAMES = ['x"y', "o'k", "p:q", "a b", '"']
STEPS = f"""
  - signals: {json.dumps(NAMES)}
  - embed: {{encoder: precomputed}}
  - score: {{signal: {json.dumps(NAMES[0])}, keep: 0.5}}
  - write
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    columns = {name: [float(n * (k + 1)) for n in range(COUNT)] for k, name in enumerate(NAMES)}
    image, caption = views(meanings(COUNT))
    entry = write_input(folder / "in", image, caption, captions(COUNT).tolist(), **columns)
    run_here(make_plan(folder / "run", "", STEPS, input=[entry]))
    return folder / "run"


def test_signals_of_any_name_are_read(run: Path) -> None:
    found = read(open_run(str(run)), NAMES, NAMES[0], origin=NAMES[-1]).signals
    assert found[:, 0].max() == COUNT - 1
    assert np.array_equal(found, found[:, :1] * np.arange(1, len(NAMES) + 1))


def test_a_selector_by_a_signal_of_any_name_is_compared(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--steps", "5", "--seeds", "2", "--budgets", "0.3", "--against", "score", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(run), *options])
    assert ended.value.code == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert {"score", "random"} <= {point["selector"] for point in points}


def test_a_csv_without_rows_has_the_same_header(tmp_path: Path) -> None:
    empty: Any = SimpleNamespace(bundles=(), columns=NAMES)
    (name,) = layouts.csv(cast("Rows", empty), str(tmp_path))
    table = pa.table({one: pa.array([], pa.string()) for one in NAMES})
    pyarrow.csv.write_csv(table, tmp_path / "theirs.csv")
    assert (tmp_path / name).read_bytes() == (tmp_path / "theirs.csv").read_bytes()


def test_as_many_sources_as_pairs_take_no_longer() -> None:
    """Of ten times as many sources; a comparison of all pairs for each would take ten times as long."""
    every = pairs(*views(meanings(8_000)))
    held = np.ones(len(every), bool)
    scores = np.arange(len(every), dtype=float)
    trusted = np.arange(len(every)) % 2 == 1
    seconds = []
    for sources in (40, 4_000):
        origin = np.array([f"s{n // 2 % sources}" for n in range(len(every))], object)
        sets = Sets(replace(every, origin=origin), trusted, held, ~held, 0)
        started = time.process_time()
        assert fit_head._within_sources(sets, scores) == pytest.approx(1, abs=0.5)
        seconds.append(time.process_time() - started)
    assert seconds[1] < 20 * seconds[0]
