"""Two steps that make places in a chain: a sample is told of the one that dropped it, concepts of the last."""

import re
from pathlib import Path
from typing import Any

import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.concepts import concepts, galleries, trained
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.reading.funnel import by_cluster_query
from tamis.pipeline.audit.story.story import stories
from tests.support.embedded import blobs, run_steps, write_input
from tests.support.running import ledger
from tests.support.tables import table, with_sids

DENSITY = "- density: {clusters: 4, neighbours: 3, keep: 0.7}\n"
SECOND = {
    "prototypes": "- prototypes: {name: second, clusters: 3, keep: 0.5}",
    "density": "- density: {name: second, clusters: 3, neighbours: 2, keep: 0.5}",
}
PLACE = ("cluster", "rank", "distance", "quota")


@pytest.fixture(scope="module", params=sorted(SECOND))
def chained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chained")
    entry = write_input(folder / "in", blobs((60, 60), (0.5, 1.0)), 2)
    run_steps(folder / "run", [entry], DENSITY + SECOND[request.param], part_samples=25)
    return folder / "run"


@pytest.fixture
def run(chained: Path) -> FinishedRun:
    return open_run(str(chained))


def places(root: Path, step: str) -> dict[int, dict[str, Any]]:
    """sid -> its place."""
    quota = table(root, step, "quotas")["quota"].to_pylist()
    found = {}
    for row in with_sids(root, step, "places").to_pylist():
        row["quota"] = None if row["rank"] is None else quota[row["cluster"]]
        found[row["sid"]] = {column: row[column] for column in PLACE}
    return found


def test_a_dropped_sample_has_the_place_that_dropped_it(chained: Path) -> None:
    of = {step: places(chained, step) for step in ("density", "second")}
    rows = ledger(chained)
    assert {row["step"] for row in rows} == {None, "density", "second"}
    for row in rows:
        mine = of[row["step"] or "second"][row["sid"]]
        assert {name: row[name] for name in PLACE} == mine
        if row["step"]:
            assert row["rank"] > row["quota"]


def test_a_story_tells_of_the_step_that_dropped_it(chained: Path, run: FinishedRun) -> None:
    for dropped_by in ("density", "second", None):
        row = next(row for row in ledger(chained) if row["step"] == dropped_by)
        (story,) = stories(run, row["uid"], 1)[1]
        placed = [step for step in story["steps"] if "place" in step]
        assert [step["step"] for step in placed] == [dropped_by or "second"]
        place = placed[0]["place"]
        quotas = table(chained, placed[0]["step"], "quotas").to_pylist()[row["cluster"]]
        assert (place["rank"], place["quota"]) == (row["rank"], quotas["quota"])
        assert place.get("complexity") == quotas.get("complexity")


def test_how_the_centroids_were_trained_is_told(
    run: FinishedRun, chained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = trained(run)
    assert said is not None
    assert said.startswith("second: 3 centroids, trained on ")
    assert " iterations; the last gained " in said
    with pytest.raises(SystemExit):
        main(["audit", str(chained), "--by", "cluster"])
    assert said in " ".join(capsys.readouterr().out.split())


def test_concepts_are_those_of_the_last_step(chained: Path, run: FinishedRun) -> None:
    """Their sizes are what reached it, their quotas and complexities its own."""
    quotas = table(chained, "second", "quotas").to_pylist()
    rows = [row for row in ledger(chained) if row["step"] != "density"]
    with sql.connect(run) as connection:
        found = {concept.cluster: concept for concept in concepts(run, connection)}
        names, told = sql.ask(connection, by_cluster_query(run))
        shown = galleries(run, connection, list(found.values()), 200)
    audited = {row[0]: dict(zip(names, row, strict=True)) for row in told}
    assert len(found) == len(audited) == 3
    for cluster, concept in found.items():
        mine = [row for row in rows if row["cluster"] == cluster]
        expected = quotas[cluster]
        assert concept.size == concept.samples == len(mine) == expected["size"]
        assert concept.kept == sum(row["kept"] for row in mine) == expected["quota"]
        assert (concept.quota, concept.complexity) == (
            expected["quota"],
            expected.get("complexity"),
        )
        assert audited[cluster]["reached"] == len(mine)
        assert audited[cluster]["quota"] == expected["quota"]
        assert audited[cluster].get("complexity") == expected.get("complexity")
        assert {e.uid for e in shown[cluster].nearest} == {row["uid"] for row in mine}


def test_a_budget_is_said_to_be_enough(chained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is sufficient: by the rounding of quotas a smaller one may do. Another seed would draw other lots."""
    row = next(row for row in ledger(chained) if row["step"] == "density")
    with pytest.raises(SystemExit):
        main(["explain", str(chained), row["uid"]])
    out = capsys.readouterr().out
    place = f"place {row['rank']} of "
    assert re.search(rf"{place}\d+ by lot; its concept keeps {row['quota']}\n", out)
    assert re.search(
        r"passes for certain with density.keep >= \S+ \(\d+ samples\) and the same seed\n", out
    )


def test_a_slow_query_prints_no_bar_of_its_own(run: FinishedRun) -> None:
    with sql.connect(run) as connection:
        shown = connection.execute("SELECT current_setting('enable_progress_bar')").fetchone()
    assert shown == (False,)
