"""Secrets in URLs reach no file of the run directory, and nothing that is printed."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.errors import BugError
from tamis.schemas.parse import parse_job
from tamis.schemas.redaction import without_secrets
from tests.support.running import Sample, contents, picture, write_tar

JOB = """
name: secrets
input: [{{path: '{path}', format: webdataset}}]
output: {output}
steps:
  - signals: [words]
  - rules: {{words: {{min: 1}}}}
  - write
"""


@pytest.mark.parametrize(
    "path", ["memory://K:SECRET@bucket/in/0.tar", "memory://K:SE/CRET@bucket/in/*.tar"]
)
def test_a_run_leaves_no_secret(
    path: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [Sample(f"k{i}", picture(i * 9999), f"caption {i}", {}) for i in range(3)]
    tar = write_tar(tmp_path / "0.tar", samples)
    inner = path.replace("*", "0").removeprefix("memory:/")
    fsspec.filesystem("memory").pipe(inner, tar.read_bytes())
    monkeypatch.setattr("tamis.pipeline.runs.executors.LocalEngine", lambda root, *_: Here(root))
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(path=path, output=tmp_path / "run"))
    main_exits(["run", str(job)], 0)
    missing = job.read_text().replace(".tar", ".tra").replace("/run", "/other")
    job.write_text(missing)
    main_exits(["run", str(job)], 2)
    said = "".join(capfd.readouterr())
    assert "3 in = 3 kept" in said
    kept = contents(tmp_path / "run")
    for secret in ("SECRET", "CRET@"):
        assert secret not in said
        assert [name for name, data in kept.items() if secret.encode() in data] == []
    assert b"credentials in the" in kept["job.yaml"]
    parsed = parse_job(kept["job.yaml"].decode(), "job.yaml")
    assert parsed.input[0].path == (path.partition("K")[0] + path.rpartition("@")[2],)


def main_exits(arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("s3://bucket/a?.tar", "s3://bucket/a?.tar"),
        ("s3://bucket/run#step", "s3://bucket/run#step"),
        ("data/a?.tar", "data/a?.tar"),
        ("s3://k:s/e@bucket/a.tar", "s3://bucket/a.tar"),
        ("https://host/a.tar?token", "https://host/a.tar"),
        ("https://host/a.tar#tok=en", "https://host/a.tar"),
        ("https://u:p?w@host/a.tar?sig=s", "https://host/a.tar"),
    ],
)
def test_a_kept_job_has_its_paths_and_no_secrets(url: str, kept: str) -> None:
    assert without_secrets({"input": [{"path": url}]}) == {"input": [{"path": kept}]}


@pytest.mark.parametrize("error", [BugError, KeyError, RecursionError, ValueError])
def test_a_mistake_of_ours_is_one_line_and_a_log(
    error: type[Exception],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("tables/x.parquet:\nKeyError: \x1b[31m 'https://host/a?sig=SECRET'")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tamis.jobs.cli.start.with_called_command", lambda *_: fail)
    main_exits(["plan", "x.yaml"], 70)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tamis: this is a bug of tamis; please report it with its log: ")
    log = Path(line.rpartition(": ")[2])
    told = log.read_text()
    assert log.parent == tmp_path
    assert "Traceback" in told
    assert "'https://host/a?***'" in told.replace('"', "'")
    for text in (line, told):
        assert "SECRET" not in text
        assert "\x1b" not in text
