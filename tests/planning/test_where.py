"""Who does without Ray by itself: small runs that need no GPU, where no cluster is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.pipeline.planning.where import LOCAL_SAMPLES, is_local, is_small
from tamis.schemas.errors import JobError
from tests.support.running import Sample, make_plan, picture, write_tar

WORDS = "  - signals: [words]\n  - write"


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    return write_tar(tmp_path / "a.tar", [Sample("a", picture(1), "two words", {})])


def test_below_the_limit_and_without_a_gpu(tar: Path, tmp_path: Path) -> None:
    job = make_plan(tmp_path / "run", tar, WORDS).job
    assert is_small(job, LOCAL_SAMPLES - 1)
    assert not is_small(job, LOCAL_SAMPLES)


def test_a_job_that_claims_a_gpu_is_for_ray(tar: Path, tmp_path: Path) -> None:
    job = make_plan(tmp_path / "run", tar, WORDS, resources={"steps": {"signals": {"gpus": 1}}}).job
    assert not is_small(job, 1)


@pytest.mark.parametrize(
    ("asked", "address", "local"),
    [
        (None, None, True),
        (True, None, True),
        (False, None, False),
        (None, "auto", False),
        (False, "auto", False),
    ],
)
def test_what_is_asked_for_goes_before_what_is_small(
    asked: bool | None, address: str | None, local: bool, tar: Path, tmp_path: Path
) -> None:
    assert is_local(make_plan(tmp_path / "run", tar, WORDS), asked, address) is local


def test_local_on_a_cluster_is_refused(tar: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"^--local and --address head:6379: "):
        is_local(make_plan(tmp_path / "run", tar, WORDS), True, "head:6379")
