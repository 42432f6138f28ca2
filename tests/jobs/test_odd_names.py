"""Files of whatever name: the job that fits them can be read, names them, and shows nothing of a login."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.jobs.job_files.draft import fitted
from tamis.pipeline.runs import plan
from tamis.pipeline.store import storage
from tamis.schemas.parse import parse_job
from tests.support.running import Sample, picture, write_tar

NAMES = [
    "0", "007", "1e3", "0x1f", "-1", "nan", ".inf", "null", "true", "no", "~", "2020-01-01", "-", "--help", "%20",
    "it's", 'a "b"', "a: b", "a #b", "- a", "a, b", "!a", "&a", "|", ">", "@a", "`a`", "a\\nb", "a\nb", "a\tb",
    "a\x1b[31mb", "a\x85b", "a\x9bb", "a\u2028b", "a\u202eb", "é", "😀", "名前", " a ", "a" * 200,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_job_fits_files_of_any_name(name: str, tmp_path: Path) -> None:
    samples = [Sample(f"k{i}", picture(i), "two words", {}) for i in range(3)]
    path = write_tar(tmp_path / f"{name}.tar", samples)
    job = parse_job(fitted([str(path)]), "job")
    made = plan.make(job.model_copy(update={"output": str(tmp_path / "out")}))
    assert [file.path for file in made.inputs] == [str(path)]


@pytest.mark.parametrize(
    "address", ["memory://AKIAKEY:hidden@bucket/*.tar", "memory://AKIAKEY:hid/den@bucket"]
)
def test_the_name_of_a_job_has_nothing_of_a_login(address: str, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [Sample("k", picture(1), "two words", {})])
    storage.write_bytes("memory://AKIAKEY:hidden@bucket/a.tar", path.read_bytes())
    storage.write_bytes("memory://AKIAKEY:hid/den@bucket/a.tar", path.read_bytes())
    job = parse_job(fitted([address]), "job")
    assert "akia" not in job.name
    assert "hid" not in job.name
    assert "hid" not in job.output
