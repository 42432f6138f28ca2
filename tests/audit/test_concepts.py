"""Concepts in audits and stories: on a run over parquet with embeddings, which needs no model."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.reading import concept_names
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.story.story import stories
from tamis.pipeline.runs import plan
from tamis.schemas.parse import parse_job
from tests.support.running import make_plan, run_here

SAMPLES, CLUSTERS, DIM = 240, 8, 16

STEPS = """
  - embed: {encoder: precomputed}
  - rules: {name: similarity, clip_similarity: {min: 0.5}}
  - semantic_duplicates: {clusters: 4, epsilon: 0.02}
  - density: {clusters: 8, keep: 0.5, neighbours: 3}
  - write
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three parquet files in parts of 50 samples."""
    folder = tmp_path_factory.mktemp("places")
    random = np.random.default_rng(2)
    concepts = random.normal(size=(CLUSTERS, DIM))
    for file in range(3):
        count = SAMPLES // 3
        image = concepts[random.integers(0, CLUSTERS, count)] * 3 + random.normal(size=(count, DIM))
        image[:5] = image[5:10] * random.uniform(0.8, 1.2, (5, DIM))
        text = image + random.normal(size=(count, DIM)) * 2
        np.savez(folder / f"{file}.npz", l14_img=image.astype("f2"), l14_txt=text.astype("f2"))
        keys = [f"{file}-{number}" for number in range(count)]
        table = pa.table({"key": keys, "text": keys, "url": [f"u/{key}" for key in keys]})
        pq.write_table(table, folder / f"{file}.parquet", row_group_size=64)
    run_here(
        make_plan(
            folder / "run",
            "",
            STEPS,
            input=[{"path": f"{folder}/*.parquet", "features": True}],
            part_samples=50,
            range_samples=120,
        )
    )
    return folder / "run"


@pytest.fixture(scope="module")
def run(root: Path) -> FinishedRun:
    return open_run(str(root))


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    assert ended.value.code == 0
    return json.loads(capsys.readouterr().out)


def everyone(run: FinishedRun) -> list[dict[str, Any]]:
    keys = [f"{file}-{number}" for file in range(3) for number in range(SAMPLES // 3)]
    return [story for key in keys for story in stories(run, key, 2)[1]]


def step_of(story: dict[str, Any], name: str) -> dict[str, Any]:
    (step,) = [step for step in story["steps"] if step["step"] == name]
    return dict(step)


def test_a_story_has_the_place_in_the_concept(run: FinishedRun) -> None:
    told = everyone(run)
    assert len(told) == SAMPLES
    reached = [s for s in told if "rank" in step_of(s, "density").get("place", {})]
    quotas = {}
    for story in reached:
        place = step_of(story, "density")["place"]
        if place["rank"] is not None:
            assert story["kept"] == (place["rank"] <= place["quota"])
            assert place["complexity"] == pytest.approx(place["d_inter"] * place["d_intra"])
            assert place["rank"] <= place["size"]
            quotas[place["cluster"]] = place["quota"]
    assert sum(quotas.values()) == run.manifest.kept
    assert {story["dropped_by"] for story in told} >= {
        None,
        "similarity",
        "semantic_duplicates",
        "density",
    }


def test_a_semantic_duplicate_names_a_partner_and_both_fates(run: FinishedRun) -> None:
    dropped = [s for s in everyone(run) if s["dropped_by"] == "semantic_duplicates"]
    assert dropped
    for story in dropped:
        step = step_of(story, "semantic_duplicates")
        assert step["partner_value"] > step["bound"] == pytest.approx(0.98)
        assert step["partner"]["kept"] in (True, False)
        assert step["partner"]["key"] != story["key"]


def test_audit_by_cluster_adds_up(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = asked(capsys, "audit", str(root), "--by", "cluster")["rows"]
    funnel = asked(capsys, "audit", str(root))
    density = funnel["steps"][-1]
    assert sum(row["kept"] for row in rows) == funnel["kept"]
    assert sum(row["reached"] for row in rows) == density["entered"]
    assert sum(row["quota"] for row in rows) == density["kept"]
    complexity = [row["complexity"] for row in rows]
    assert complexity == sorted(complexity, reverse=True)


@pytest.mark.parametrize("phase", ["places", "assign", "verdict"])
def test_tables_of_parts_and_of_ranges_have_sids(
    phase: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ranges hold two or three parts each, so both kinds of file are met."""
    wrong = {
        "places": "p.rank IS DISTINCT FROM l.rank OR p.cluster IS DISTINCT FROM l.cluster",
        "assign": "p.cluster IS DISTINCT FROM l.cluster",
        "verdict": "p.reason IS DISTINCT FROM l.reason OR l.step <> 'density'",
    }[phase]
    query = f"""
        SELECT count(*) AS rows, count(l.sid) AS joined, count_if({wrong}) AS wrong
        FROM density.{phase} p LEFT JOIN ledger l USING (sid)
    """
    (row,) = asked(capsys, "audit", str(root), "--sql", query)["rows"]
    assert row["rows"] == row["joined"] > 0
    assert row["wrong"] == 0


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line that a command says instead of an answer."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "this is: none"),
        ("SELECT 1; SELECT 2", "this is: SELECT, SELECT"),
        ("COPY ledger TO '{run}/evil.csv'", "this is: COPY"),
        ("ATTACH '{run}/evil.db'", "this is: ATTACH"),
        ("SET enable_external_access = true", "this is: SET"),
        ("SELECT * FROM read_text('{outside}')", "disabled by configuration"),
        ("SELECT * FROM glob('/*')", "disabled by configuration"),
        ("SELECT * FROM '{run}/../outside.parquet'", "disabled by configuration"),
        ("SELECT * FROM run", "does not exist"),  # a name of this program's
    ],
)
def test_a_query_reads_the_run_and_does_nothing_else(
    query: str, said: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outside").write_text("secret")
    query = query.format(run=root, outside=tmp_path / "outside")
    files = sorted(root.rglob("*"))
    assert said in refused(capsys, "audit", str(root), "--sql", query)
    assert sorted(root.rglob("*")) == files


def test_every_column_of_an_answer_is_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that are called alike, and times with a zone, for which Python would want a package more."""
    query = "SELECT 1 a, 2 a, TIMESTAMPTZ '2026-01-02 03:04:05+00' t, [t] l ORDER BY a; -- so"
    (row,) = asked(capsys, "audit", str(root), "--sql", query)["rows"]
    assert (row["a"], row["a_2"]) == (1, 2)
    assert row["t"].startswith("2026-01-0")
    assert row["t"] in row["l"]
    views = asked(capsys, "audit", str(root), "--sql", "show all tables")["rows"]
    assert "ledger" in {view["name"] for view in views}
    assert asked(capsys, "audit", str(root), "--sql", "describe ledger")["rows"]


def test_nothing_is_not_taken_for_no_question(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--sample :" in refused(capsys, "audit", str(root), "--sample", "")


def test_concepts_are_counted_where_tables_have_been_cleared(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root, tmp_path / "run", ignore=shutil.ignore_patterns("tables"))
    full = asked(capsys, "audit", str(root), "--by", "cluster")["rows"]
    bare = asked(capsys, "audit", str(tmp_path / "run"), "--by", "cluster")["rows"]
    counts = ("cluster", "samples", "reached", "kept")
    assert sorted([row[name] for name in counts] for row in bare) == sorted(
        [row[name] for name in counts] for row in full
    )


def decided_again(root: Path, output: Path, *settings: str) -> FinishedRun:
    """The same run with other settings, its tables taken over."""
    shutil.copytree(root, output)
    text = (root / "job.yaml").read_text()
    job = parse_job(text, "job.yaml", [f"output={output}", *settings])
    run_here(plan.make(job))
    return open_run(str(output))


def step_reached(run: FinishedRun, uid: str) -> str | None:
    """The step that drops a sample; None where it is kept."""
    (row,) = run.find(uid)
    return None if row["step"] is None else str(row["step"])


@pytest.mark.parametrize("step", ["similarity", "semantic_duplicates", "density"])
def test_what_is_said_to_pass_passes(
    step: str, root: Path, run: FinishedRun, tmp_path: Path
) -> None:
    dropped = [s for s in everyone(run) if s["dropped_by"] == step]
    # Nothing is said where no setting would do: two embeddings that are equal.
    dropped = [s for s in dropped if "passes_with" in step_of(s, step)]
    assert dropped
    for number, story in enumerate(dropped[:: max(1, len(dropped) // 3)]):
        (mend,) = step_of(story, step)["passes_with"]
        again = decided_again(root, tmp_path / str(number), f"{mend['setting']}={mend['value']!r}")
        assert step_reached(again, story["uid"]) != step


def test_from_the_smallest_budget_on_a_sample_is_kept(
    root: Path, run: FinishedRun, tmp_path: Path
) -> None:
    story = next(s for s in everyone(run) if s["dropped_by"] == "density")
    place = step_of(story, "density")["place"]
    (mend,) = step_of(story, "density")["passes_with"]
    entered = run.manifest.steps[-1].entered
    for keep in (mend["samples"], mend["samples"] + 1, mend["samples"] + 7, entered):
        again = decided_again(root, tmp_path / str(keep), f"density.keep={min(keep, entered)}")
        assert step_reached(again, story["uid"]) is None
    below = decided_again(root, tmp_path / "below", f"density.keep={mend['samples'] * 2 // 3}")
    (row,) = below.find(story["uid"])
    assert row["quota"] < place["rank"]
    assert row["step"] == "density"


def test_without_its_tables_a_run_is_still_explained(
    root: Path, tmp_path: Path, run: FinishedRun
) -> None:
    shutil.copytree(root, tmp_path / "run", ignore=shutil.ignore_patterns("tables"))
    bare = open_run(str(tmp_path / "run"))
    (story,) = stories(bare, "1-20", 1)[1]
    (full,) = stories(run, "1-20", 1)[1]
    assert story["read"] is None
    assert full["read"] is not None
    assert [s["outcome"] for s in story["steps"]] == [s["outcome"] for s in full["steps"]]


WORDS = ("owl", "lamp", "boat", "tree", "shoe", "fork", "moon", "drum")
TWO = """
  - embed: {encoder: precomputed}
  - density: {clusters: 3, keep: 0.8, neighbours: 2}
  - density: {name: again, clusters: 8, keep: 0.5, neighbours: 3}
  - write
"""


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of eight well separated concepts; every caption has its concept's word, some have none."""
    folder = tmp_path_factory.mktemp("named")
    random = np.random.default_rng(3)
    axes, which = np.eye(8, 8), random.integers(0, 8, 200)
    vectors = axes[which] * 5 + random.normal(size=(200, 8)) * 0.2
    np.savez(folder / "0.npz", l14_img=vectors.astype("f2"), l14_txt=vectors.astype("f2"))
    texts = [f"a picture of the {WORDS[i]} of <b>{n}</b>" for n, i in enumerate(which)]
    texts[5] = texts[6] = None  # type: ignore[call-overload]
    table = pa.table({"key": [f"k{n}" for n in range(200)], "text": texts})
    pq.write_table(table, folder / "0.parquet")
    inputs = [{"path": f"{folder}/*.parquet", "features": True}]
    run_here(make_plan(folder / "run", "", TWO, input=inputs, part_samples=30))
    return folder / "run"


def test_concepts_are_called_by_what_their_captions_share(
    named: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = asked(capsys, "audit", str(named), "--by", "cluster")["rows"]
    first = {row["name"].partition(",")[0] for row in rows}
    assert first <= set(WORDS)
    assert len(first) >= 7


def test_a_concept_has_the_same_name_everywhere(
    named: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = asked(capsys, "audit", str(named), "--by", "cluster")["rows"]
    names = {row["cluster"]: row["name"] for row in rows}
    run = open_run(str(named))
    told = [stories(run, f"k{n}", 1)[1][0] for n in range(0, 200, 7)]
    places = [step["place"] for story in told for step in story["steps"] if "place" in step]
    seen = [place for place in places if "name" in place]
    assert len(seen) > 10
    assert all(place["name"] == names[place["cluster"]] for place in seen)
    page = tmp_path / "report.html"
    with pytest.raises(SystemExit):
        main(["report", str(named), "--output", str(page)])
    written = page.read_text()
    for cluster, name in names.items():
        assert f"Concept {cluster} ({name})" in written


def test_a_run_too_large_for_it_names_no_single_concept(
    named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concept_names, "ONE_BY_ONE", 199)
    assert concept_names.name(open_run(str(named)), 0) is None
