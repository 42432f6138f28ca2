"""An empty path, as a variable of the shell that is not set makes it, is refused wherever a path is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tamis
from tamis.jobs.cli.app import main
from tamis.jobs.job_files.draft import fitted
from tamis.schemas import yaml12
from tamis.schemas.errors import TamisError
from tamis.schemas.parse import parse_job

BLANK = ["", " ", "\t"]

JOB: dict[str, Any] = {"name": "a", "input": "in/*.tar", "output": "out", "steps": ["write"]}

EMBEDDED = {"path": "in/*.parquet", "image_embeddings": "in/*.npy"}

EMBED = {"embed": {"encoder": "demo"}}

SAID = "is no path: a variable of the shell|wanted a text that is not empty"

PLACES: dict[str, dict[str, Any]] = {
    "input": {"input": "PATH"},
    "one of several": {"input": [{"path": ["in/0.tar", "PATH"]}]},
    "output": {"output": "PATH"},
    "image_embeddings": {"input": [{**EMBEDDED, "image_embeddings": "PATH"}]},
    "text_embeddings": {"input": [{**EMBEDDED, "text_embeddings": "PATH"}]},
    "embeddings": {"input": [{**EMBEDDED, "embeddings": {"b": {"image": "PATH"}}}]},
    "exclude": {"steps": [{"exclude": {"on": "uid", "path": "PATH"}}, "write"]},
    "centroids": {"steps": [EMBED, {"density": {"centroids": "PATH", "keep": 0.5}}, "write"]},
    "target": {"steps": [EMBED, {"target": {"path": "PATH", "keep": 0.5}}, "write"]},
    "balance": {"steps": [{"balance": {"path": "PATH"}}, "write"]},
}


def filled(place: Any, path: str) -> Any:
    """A job's values with a path in them."""
    if isinstance(place, dict):
        return {name: filled(value, path) for name, value in place.items()}
    if isinstance(place, list):
        return [filled(value, path) for value in place]
    return path if place == "PATH" else place


@pytest.mark.parametrize("path", BLANK)
@pytest.mark.parametrize("place", PLACES)
def test_a_job_names_its_paths(place: str, path: str) -> None:
    with pytest.raises(TamisError, match=SAID) as told:
        parse_job(yaml12.dump({**JOB, **filled(PLACES[place], path)}), "job.yaml")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("path", BLANK)
@pytest.mark.parametrize(
    "command",
    [
        ["init", "--input", "PATH"],
        ["plan", "--input", "PATH", "--output", "out"],
        ["run", "--input", "PATH", "--output", "out"],
        ["plan", "job.yaml", "--input", "PATH"],
        ["plan", "job.yaml", "--output", "PATH"],
        ["run", "--input", "in", "--output", "PATH"],
        ["audit", "PATH"],
        ["run", "PATH/job.yaml"],
        ["run", "job.yaml", "--centroids", "PATH"],
    ],
    ids=" ".join,
)
def test_a_command_refuses_it(
    tmp_path: Path,
    path: str,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(yaml12.dump(JOB))
    with pytest.raises(SystemExit) as ended:
        main([one.replace("PATH", path) for one in command])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["job.yaml"]


@pytest.mark.parametrize("path", BLANK)
def test_the_library_refuses_it(path: str) -> None:
    for call in (
        lambda: tamis.run(JOB, input=path),
        lambda: tamis.run(JOB, output=path),
        lambda: tamis.Run(path),
        lambda: fitted([path]),
    ):
        with pytest.raises(TamisError, match=SAID):
            call()
