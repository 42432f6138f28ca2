"""Columns of an input may have any name, also one that a query of ours gives to a column or table of its own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.beside import Beside
from tamis.pipeline.audit.compare import by_part
from tamis.pipeline.audit.compare.diff import diff
from tamis.pipeline.audit.reading import funnel, pairs, sql
from tamis.pipeline.audit.reading.distributions import histogram, suggestions
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.report.report import report
from tamis.schemas.ledger import TAKEN
from tests.support.running import make_plan, run_here

SOURCES = Path(__file__).resolve().parents[2] / "pipeline"
OTHERS = [
    "part",
    "filename",
    "ledger",
    "ledger_before",
    "ledger_after",
    "moved",
    "delta",
    "numbered",
]
"""Names that queries use and do not give with AS: of what DuckDB adds to files, and of tables and views."""


def aliases() -> list[str]:
    """Every name that a query of ours gives, in the sources of ``audit`` and ``evaluate``."""
    found = set(OTHERS)
    for file in [*SOURCES.glob("audit/**/*.py"), *SOURCES.glob("evaluate/*.py")]:
        text = file.read_text()
        if "SELECT" in text:
            found |= set(re.findall(r"\bAS (?:\{)?([a-z_]+)\b", text))
            found |= set(re.findall(r"\b([a-z_]+) AS \(", text))
    return sorted(found - {"row", "select", "text", "image", *TAKEN})


NAMES = aliases()
SAMPLES, DIM = 120, 8
STEPS = """
  - signals: [{names}]
  - embed: {{encoder: precomputed}}
  - semantic_duplicates: {{clusters: 3, epsilon: 0.02}}
  - density: {{clusters: 4, keep: {keep}, neighbours: 2}}
  - write
"""


def made(folder: Path, name: str, names: list[str], keep: float = 0.5) -> FinishedRun:
    steps = STEPS.format(names=", ".join(names), keep=keep)
    inputs = [{"path": f"{folder}/*.parquet", "features": True}]
    run_here(make_plan(folder / name, "", steps, input=inputs, part_samples=50))
    return open_run(str(folder / name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet with embeddings, and a column of equal numbers for each name."""
    root = tmp_path_factory.mktemp("names")
    random = np.random.default_rng(1)
    centres = random.normal(size=(4, DIM)) * 3
    image = centres[random.integers(0, 4, SAMPLES)] + random.normal(size=(SAMPLES, DIM))
    image[:9] = image[9:18]
    np.savez(root / "0.npz", l14_img=image.astype("f2"), l14_txt=image.astype("f2"))
    texts = [f"caption {number}" for number in range(SAMPLES)]
    values = np.round(random.random(SAMPLES), 3)
    columns = dict.fromkeys([*NAMES, "plain"], values)
    pq.write_table(pa.table({"key": texts, "text": texts, **columns}), root / "0.parquet")
    return root


@pytest.fixture(scope="module")
def named(folder: Path) -> FinishedRun:
    return made(folder, "named", NAMES)


@pytest.fixture(scope="module")
def plain(folder: Path) -> FinishedRun:
    return made(folder, "plain", ["plain"])


def test_the_names_are_those_of_the_queries() -> None:
    assert {"n", "samples", "complexity", "sid_before", "members", "starts"} <= {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_column_of_any_name_is_counted_as_any_other(
    name: str, named: FinishedRun, plain: FinishedRun
) -> None:
    with sql.connect(named, tables=False) as own, sql.connect(plain, tables=False) as other:
        assert histogram(own, name, False, [0.5]) == histogram(other, "plain", False, [0.5])
        bounds = suggestions(own, name, False, "max", 0.5)
        assert bounds == suggestions(other, "plain", False, "max", 0.5)


def test_reports_and_tables_say_the_same(named: FinishedRun, plain: FinishedRun) -> None:
    for run in (named, plain):
        assert report(run)
    with sql.connect(named) as own, sql.connect(plain) as other:
        queries = [
            funnel.by_cluster_query(plain),
            funnel.by_source_query(plain, []),
        ]
        views = own.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal")
        queries += [f'SELECT count(*) FROM "{step}"."{phase}"' for step, phase in views.fetchall()]
        assert len(queries) > 8
        for query in queries:
            assert sql.ask(own, query) == sql.ask(other, query)
        found = [
            [pair.dropped["uid"] for pair in pairs.drawn(run, connection, "semantic_duplicates", 9)]
            for run, connection in ((named, own), (plain, other))
        ]
        assert found[0] == found[1]
        assert len(found[0]) == 9
        assert pairs.fallen(named, own) == pairs.fallen(plain, other)


def test_the_browser_answers_the_same(named: FinishedRun, plain: FinishedRun) -> None:
    own, other = Browser(named, in_words), Browser(plain, in_words)
    assert own.concepts == other.concepts
    assert own.samples({"sort": NAMES[0]})["rows"] == other.samples({"sort": "plain"})["rows"]
    for name in NAMES:
        asked = {f"min.{name}": "0.5"}
        assert own.counts(asked) == other.counts({"min.plain": "0.5"})
        rows = own.samples({**asked, "sort": name, "order": "down"})["rows"]
        assert rows == other.samples({"min.plain": "0.5", "sort": "plain", "order": "down"})["rows"]
    told = [
        browser.members.tiles(cursor, {"cluster": "0", "box": "-1,-1,1,1"})
        for browser in (own, other)
        for cursor in [browser._connection]
    ]
    assert told[0] == told[1]


def test_differences_are_found(
    folder: Path, named: FinishedRun, plain: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = made(folder, "named-less", NAMES, 0.4)
    other = diff(plain, made(folder, "plain-less", ["plain"], 0.4))
    assert diff(named, later).moves == other.moves
    monkeypatch.setattr(by_part, "moved", lambda *_: None)
    joined = diff(named, later)
    assert list(joined.moves) == list(other.moves)
    assert [row["uid"] for row in joined.samples] == [row["uid"] for row in other.samples]
    beside = Beside(Browser(named, in_words), Browser(later, in_words))
    fates = {"before": "kept", "after": str(other.moves[0][1])}
    assert len(beside.samples(fates)["rows"]) == min(24, other.moves[0][2])
