"""A selector from a user's file: what it keeps, what it may read, how it fails, and that a run is read without it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.audit.story.story import stories
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.runs import plan
from tamis.pipeline.tables.columns import vectors
from tamis.schemas.errors import JobError, PlugInError
from tamis.schemas.parse import parse_job
from tests.conftest import ROOT
from tests.support.embedded import blobs, write_input
from tests.support.running import contents, ledger, make_plan, run_here
from tests.support.tables import table

COUNT = 40

BY_ROW = """
def worth(quality: float, picture) -> float:
    return quality * float(picture[0])
"""

BY_COLUMN = """
import pyarrow as pa
import helpers

def worth(quality: pa.Array, picture) -> pa.DoubleArray:
    return pa.array(helpers.times(quality.to_numpy(), picture[:, 0]))
"""

HELPERS = "import numpy as np\n\ndef times(a, b):\n    return a * b.astype(np.float64)\n"


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = blobs([25, 15], [0.5, 0.5], dim=8, quality=[float(n % 11) for n in range(COUNT)])
    return write_input(tmp_path_factory.mktemp("own") / "in", made, files=2)


def job(folder: Path, entry: dict[str, Any], source: str, keep: str = "0.3") -> plan.Plan:
    (folder / "my.py").write_text(source)
    (folder / "helpers.py").write_text(HELPERS)
    steps = f"""
  - embed: {{encoder: precomputed}}
  - signals: [quality]
  - choose: {{keep: {keep}, by: {{file: {folder}/my.py, name: worth, with: [{folder}/helpers.py]}}}}"""
    return make_plan(folder / "run", "", steps, input=[entry], part_samples=7)


@pytest.mark.parametrize("source", [BY_ROW, BY_COLUMN], ids=["row", "columns"])
def test_the_highest_values_are_kept(tmp_path: Path, entry: dict[str, Any], source: str) -> None:
    made = job(tmp_path, entry, source)
    assert "packed" not in str(preview(made))
    run_here(made)
    rows = ledger(tmp_path / "run")
    stored = vectors(table(tmp_path / "run", "embed", "vectors")["image"]).astype(np.float32)
    for row, vector in zip(rows, stored, strict=True):
        assert row["choose"] == row["quality"] * float(vector[0])
    best = sorted(rows, key=lambda row: (-row["choose"], row["uid"]))
    assert {row["uid"] for row in rows if row["kept"]} == {row["uid"] for row in best[:12]}
    fallen = best[12]
    assert (fallen["rule"], fallen["value"]) == ("choose", fallen["choose"])
    assert fallen["bound"] == best[11]["choose"]


def test_a_run_is_read_where_the_file_would_raise(tmp_path: Path, entry: dict[str, Any]) -> None:
    run_here(job(tmp_path, entry, BY_ROW))
    before = contents(tmp_path / "run" / "tables")
    copies = sorted((tmp_path / "run" / "plugins").rglob("my.py"))
    assert [path.read_text() for path in copies] == [BY_ROW]
    for path in [*tmp_path.glob("*.py"), *copies]:
        path.write_text("raise SystemExit('imported')")
    run = open_run(str(tmp_path / "run"))
    uid = next(row["uid"] for row in ledger(tmp_path / "run") if not row["kept"])
    assert "choose" in str(stories(run, uid, 1))
    assert b"choose" in report(run)
    assert list(verify(run, Seen(), deep=True)) == []
    change = whatif(run, ["choose.keep=0.5"])
    assert (change.came, change.went) == (8, 0)
    text = (tmp_path / "run" / "job.yaml").read_text()
    assert run_here(plan.make(parse_job(text, "job.yaml"))).tasks_run == 0
    assert contents(tmp_path / "run" / "tables") == before


def test_another_source_chooses_again_and_nothing_above_it(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    run_here(job(tmp_path, entry, BY_ROW))
    first = {row["uid"] for row in ledger(tmp_path / "run") if row["kept"]}
    before = contents(tmp_path / "run" / "tables" / "embed")
    run_here(job(tmp_path, entry, BY_ROW.replace("return ", "return -")))
    assert {row["uid"] for row in ledger(tmp_path / "run") if row["kept"]} != first
    assert contents(tmp_path / "run" / "tables" / "embed") == before


def test_the_documented_functions_choose_and_rule(
    tmp_path: Path, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "selection.md").read_text().partition("## A selector of your own")[2]
    for name, source in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    selector, rule = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    steps = selector.replace('"open_clip:ViT-B-32/openai"', "precomputed") + rule.replace(
        "- signals: [{", "- signals: {name: fine, names: [{"
    ).replace("}]\n", "}]}\n")
    run_here(make_plan(tmp_path / "run", "", steps, input=[entry]))
    rows = ledger(tmp_path / "run")
    stored = vectors(table(tmp_path / "run", "embed", "vectors")["image"]).astype(np.float32)
    assert [row["choose"] for row in rows] == [float(vector[0]) for vector in stored]
    best = sorted(rows, key=lambda row: (-row["choose"], row["uid"]))[:12]
    assert {row["uid"] for row in rows if row["kept"]} == {row["uid"] for row in best}
    assert all(row["is_fine"] for row in best)


def test_an_entry_point_of_a_package_is_a_selector(
    tmp_path: Path, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "my_selectors.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-selectors\nVersion: 1.0\n")
    points = "[tamis.selectors]\nworth = my_selectors_code:worth\n[tamis.signals]\nw = x:y\n"
    (info / "entry_points.txt").write_text(points)
    (tmp_path / "site" / "my_selectors_code.py").write_text(BY_ROW)
    monkeypatch.syspath_prepend(tmp_path / "site")
    steps = """
  - embed: {encoder: precomputed}
  - signals: [quality]
  - choose: {keep: 12, by: {package: my-selectors, name: NAME}}"""
    run_here(make_plan(tmp_path / "run", "", steps.replace("NAME", "worth"), input=[entry]))
    best = sorted(ledger(tmp_path / "run"), key=lambda row: (-row["choose"], row["uid"]))
    assert [row["kept"] for row in best] == [True] * 12 + [False] * (COUNT - 12)
    with pytest.raises(PlugInError, match=r"no entry point `w` in the group tamis\.selectors"):
        make_plan(tmp_path / "other", "", steps.replace("NAME", "w"), input=[entry])


def test_what_has_no_value_is_dropped_as_such(tmp_path: Path, entry: dict[str, Any]) -> None:
    source = (
        "def worth(quality: float) -> float | None:\n    return None if quality < 3 else quality"
    )
    run_here(job(tmp_path, entry, source))
    rows = ledger(tmp_path / "run")
    assert {row["reason"] for row in rows if row["quality"] < 3} == {"no_value"}
    assert sum(row["kept"] for row in rows) == 12


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def worth(quality) -> float:\n  return 1 +", "my.py, line 2: cannot be imported"),
        ("def worthy(quality) -> float: ...", "has no function `worth`"),
        ("def worth(qualty) -> float: ...", "no signal `qualty`.*did you mean `quality`"),
        ("def worth(pixels) -> float: ...", "a selector opens no pictures"),
        ("def worth(text) -> str: ...", "returns text, and the largest number"),
        ("def worth(caption) -> float: ...", "captions"),
    ],
)
def test_what_cannot_choose_is_refused_before_anything_runs(
    tmp_path: Path, entry: dict[str, Any], source: str, said: str
) -> None:
    with pytest.raises((JobError, PlugInError), match=said):
        job(tmp_path, entry, source)


def test_an_error_is_one_line_with_the_sample(tmp_path: Path, entry: dict[str, Any]) -> None:
    source = "def worth(quality, key) -> float:\n    return 1 / (quality - 4)"
    with pytest.raises(
        PlugInError, match=r"worth of my.py, line 2: fails on the sample \S+ of "
    ) as told:
        run_here(job(tmp_path, entry, source))
    assert "ZeroDivisionError" in str(told.value)
    assert "\n" not in str(told.value)
