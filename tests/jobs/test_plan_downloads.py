"""`tamis plan` fetches no weights unless it is told to, and plans without them what it can."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tests.inputs.test_hub_input import called
from tests.support.hub import hub
from tests.support.running import Sample, picture, write_tar

CLIP = "open_clip:ViT-B-32/laion2b_s34b_b79k"
OTHERS = ("open_clip:hf-hub:people/model", "timm:vit_small_patch14_dinov2", "open_clip:RN50/openai")


def job(folder: Path, encoder: str, *steps: str) -> str:
    """A job of four pairs that embeds them."""
    samples = [Sample(f"{i}", picture(i), f"caption {i}", {}) for i in range(4)]
    (folder / "in").mkdir(exist_ok=True)
    write_tar(folder / "in/0.tar", samples)
    listed = "".join(
        f"  - {one}\n" for one in (f'embed: {{encoder: "{encoder}"}}', *steps, "write")
    )
    path = folder / f"{encoder.rpartition('/')[2].rpartition(':')[2]}.yaml"
    path.write_text(f"name: a\ninput: {folder}/in/*.tar\noutput: {folder}/run\nsteps:\n{listed}")
    return str(path)


def test_a_plan_asks_no_hub_and_plans_the_rest(tmp_path: Path) -> None:
    score = "score: {signal: clip_similarity, keep: 0.5}"
    density = "density: {clusters: auto, keep: 0.5}"
    jobs = [job(tmp_path, CLIP, score, density), *(job(tmp_path, encoder) for encoder in OTHERS)]
    with hub({}) as (address, asked):
        plans = called(address, tmp_path, *(["plan", path] for path in jobs))
        assert asked == []
        ((code, _, error),) = called(address, tmp_path, ["plan", jobs[0], "--download"])
        assert asked
    assert code == 2
    assert "cannot fetch `laion2b_s34b_b79k` of ViT-B-32" in error.splitlines()[-1]
    for encoder, (code, out, error) in zip((CLIP, *OTHERS), plans, strict=True):
        assert (code, error) == (0, "")
        assert f"note: embed: the weights of {encoder} are not on this machine" in out
    assert "density" in plans[0][1]


def test_other_errors_of_the_job_are_told_without_the_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = job(tmp_path, OTHERS[1], "score: {signal: clip_similarity, keep: 0.5}")
    with pytest.raises(SystemExit):
        main(["plan", path, "--no-download"])
    assert "no signal `clip_similarity` at this point" in capsys.readouterr().err


def test_a_name_that_no_package_knows_is_refused_as_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["plan", job(tmp_path, "open_clip:ViT-B-33/x")])
    assert "open_clip has no model `ViT-B-33`" in capsys.readouterr().err
