"""The preset `demo` on data other than its own: captions of every script pass its rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.jobs.job_files.load import Request, load
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar

CAPTIONS = {
    "Chinese": "红色的苹果",
    "Japanese": "赤いりんご",
    "Thai": "แอปเปิลสีแดง",
    "Khmer": "ផ្លែប៉ោម",
    "Korean": "빨간 사과",
    "Arabic": "تفاحة حمراء",
    "English": "a red apple",
}


@pytest.mark.parametrize("script", CAPTIONS)
def test_captions_of_every_script_pass_the_rules(tmp_path: Path, script: str) -> None:
    samples = [
        Sample("k", picture(1, 64, 64), CAPTIONS[script], {}),
        Sample("x", picture(2, 64, 64), "a", {}),
    ]
    path = write_tar(tmp_path / "x.tar", samples)
    job = load(Request("demo", inputs=[str(path)], output=str(tmp_path / "run")))
    steps = [step for step in job.steps if step.name in ("signals", "rules", "write")]
    text = "\n".join(
        f"- {{{step.kind}: {step.model_dump_json(exclude_unset=True, by_alias=True)}}}"
        for step in steps[:2]
    )
    run_here(make_plan(tmp_path / "run", path, f"{text}\n- write"))
    assert [row["step"] for row in ledger(tmp_path / "run")] == [None, "rules"]
