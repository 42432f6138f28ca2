"""A preset over a table that lacks what it names: one line with the `--set` that mends it, and it does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.load import Request, load
from tamis.pipeline.runs import plan
from tamis.pipeline.runs.plan import Plan
from tamis.schemas.errors import JobError, TamisError
from tamis.schemas.parse import apply_setting
from tests.support.running import ledger, run_here

TEXT, URL = ["a red house by the sea"] * 3, [f"http://example.org/{n}.jpg" for n in range(3)]
VALUES = {
    "URL": URL, "TEXT": TEXT, "WIDTH": [300] * 3, "HEIGHT": [300] * 3, "LICENSE": ["?"] * 3,
    "NSFW": ["UNLIKELY", "NSFW", "UNLIKELY"], "similarity": [0.3, 0.4, 0.1], "punsafe": [0.1, 0.9, 0.2],
    "nsfw_score_opennsfw2": [0.1, 0.9, 0.2], "clip_similarity_vitl14": [0.3, 0.4, 0.1],
    "clip_b32_similarity_score": [0.3, 0.4, 0.1], "clip_l14_similarity_score": [0.3, 0.4, 0.1],
}  # fmt: skip


def planned(preset: str, folder: Path, names: Iterable[str], *settings: str) -> Plan:
    pq.write_table(pa.table({name: VALUES[name] for name in names}), folder / "a.parquet")
    request = Request(preset, [f"{folder}/a.parquet"], f"{folder}/run", settings)
    return plan.make(load(request))


def mended(preset: str, folder: Path, *names: str) -> Plan:
    """The plan, by the settings of the message where there is one."""
    try:
        return planned(preset, folder, names)
    except TamisError as error:
        said = str(error)
    assert "\n" not in said
    found = re.search(r": --set (.*)$", said)
    assert found is not None, said
    return planned(preset, folder, names, *shlex.split(found[1]))


def signals(made: Plan) -> list[str]:
    return [name for step in made.job.steps for name in step.computes]


LAION = ("URL", "TEXT", "WIDTH", "HEIGHT", "NSFW", "similarity", "punsafe", "nsfw_score_opennsfw2")
NEEDED = {"URL", "TEXT"}


@pytest.mark.parametrize("count", range(2, len(LAION) + 1))
def test_the_mend_of_laions_preset_plans_whatever_is_lacking(tmp_path: Path, count: int) -> None:
    for names in combinations(LAION, count):
        if not {*names} >= NEEDED or ("WIDTH" in names) != ("HEIGHT" in names):
            continue
        found = signals(mended("laion-metadata", tmp_path, *names))
        assert ("similarity" in found) == ("similarity" in names)
        assert ("min_side" in found) == ("WIDTH" in names)
        safe = [name for name in ("NSFW", "punsafe", "nsfw_score_opennsfw2") if name in names]
        assert [name for name in found if name in LAION and name != "similarity"] == safe[:1]


@pytest.mark.parametrize(
    "score", ["similarity", "clip_similarity_vitl14", "clip_b32_similarity_score"]
)
def test_the_mend_of_commonpools_preset_takes_the_score_that_is_there(
    tmp_path: Path, score: str
) -> None:
    made = mended("commonpool", tmp_path, "URL", "TEXT", "WIDTH", "HEIGHT", score)
    assert signals(made)[-1] == score
    (chooser,) = [step for step in made.job.steps if step.kind == "score"]
    assert chooser.model_dump()["signal"] == score


def test_a_bound_stays_with_its_encoder(tmp_path: Path) -> None:
    names = ("URL", "TEXT", "clip_l14_similarity_score")
    assert signals(mended("laion2b", tmp_path, *names)) == ["language"]


def test_the_mend_drops_what_the_preset_would(tmp_path: Path) -> None:
    run_here(mended("laion-metadata", tmp_path, "URL", "TEXT", "WIDTH", "HEIGHT", "punsafe"))
    rows = sorted(ledger(tmp_path / "run"), key=lambda row: str(row["url"]))
    assert [(row["kept"], row["rule"]) for row in rows] == [
        (True, None), (False, "punsafe"), (True, None)
    ]  # fmt: skip


@pytest.mark.parametrize("preset", ["commonpool", "laion"])
def test_where_no_setting_helps_the_job_that_fits_is_offered(tmp_path: Path, preset: str) -> None:
    with pytest.raises(JobError, match=r"`tamis init --input '.*' writes a job that fits$|fits$"):
        planned(preset, tmp_path, ["URL", "TEXT"])


def test_a_table_without_a_caption_is_told_how_to_name_it(tmp_path: Path) -> None:
    VALUES["capturedevice"] = VALUES["photo_title"] = TEXT
    names = ["URL", "capturedevice", "photo_title", "WIDTH", "HEIGHT", "NSFW", "similarity"]
    assert mended("laion-metadata", tmp_path, *names).job.input[0].columns == {
        "text": ("photo_title",)
    }


@pytest.mark.parametrize(
    "rules", [{"words": {"min": 1}, "a.b": {"min": 2}}, {"bounds": {"words": {}, "a.b": {}}}]
)
def test_null_takes_a_rule_away(rules: dict[str, object]) -> None:
    raw = {"steps": [{"rules": rules}]}
    apply_setting(raw, "rules.a.b=null")
    assert "a.b" not in str(raw)
    assert "words" in str(raw)
    with pytest.raises(JobError, match=r"there is no `wrds` \(did you mean words\?\)|wrds"):
        apply_setting(raw, "rules.wrds=null")


def test_a_list_of_words_is_told_of_the_lacking_caption_too(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("word\n")
    pq.write_table(pa.table({"url": URL, "photo_title": TEXT}), tmp_path / "a.parquet")
    job = tmp_path / "job.yaml"
    job.write_text(
        f"name: a\ninput: [{{path: {tmp_path}/a.parquet}}]\noutput: {tmp_path}/run\n"
        f"steps: [{{signals: {{names: [bad], lists: {{bad: {tmp_path}/bad.txt}}}}}}, write]\n"
    )
    with pytest.raises(JobError, match=r"--set 'input.0.columns=\{text: photo_title\}'$"):
        plan.make(load(Request(str(job))))
