"""A secret and an escape, planted wherever a job, its input or a run can hold them, come out nowhere."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.cli.app import main
from tamis.jobs.observers import journal
from tamis.jobs.terminal import display
from tamis.pipeline.store import objects
from tamis.pipeline.tasks.perform import Here
from tamis.schemas import redaction, yaml12
from tamis.schemas.errors import StorageError, TamisError
from tamis.schemas.events import Notice
from tamis.schemas.terminal_text import plain, plain_json, plain_lines
from tests.conftest import ROOT
from tests.support.object_store import object_store
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

EVIL = "e\x1b]0;pwned\x07v\x9b31mi\u202el\u2028\x00\ud800\x7f"
"""C0, C1, a direction, a line, half a character."""

RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
SECRET = "SEcr3t/PASSw0rd"
ADDRESS = f"memory://AKIAKEYNAME:{SECRET}@bucket/x"
SHOWN = ("AKIAKEYNAME", "SEcr3t", "PASSw0rd")

JOB: dict[str, Any] = {
    "name": "planted",
    "input": [{"path": "IN/*.tar", "name": "a", "format": "auto", "image_embeddings": None}],
    "output": "OUT",
    "seed": 7,
    "part_samples": 100,
    "limits": {"max_pixels": 1000},
    "resources": {"cpus": 1},
    "steps": [
        {"signals": {"names": ["words", "min_side"]}},
        {"rules": {"name": "r", "words": {"min": 1}, "min_side": {"max": 100}}},
        {"exact_duplicates": {"on": "image"}},
        {"near_duplicates": {"jaccard": 0.8, "agree": "phash"}},
        {"embed": {"encoder": "demo", "as": "e"}},
        {"density": {"clusters": 2, "keep": 0.5, "neighbours": 1, "centroids": None}},
        {"write": {"samples_per_shard": 10, "format": "auto"}},
    ],
}


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a job: scalars, and maps for one key more."""
    if isinstance(value, dict):
        yield (*above, EVIL)
        for key, inner in value.items():
            yield from places(inner, (*above, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*above, number))
    else:
        yield above


PLACES = list(places(JOB))


def said(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    """The exit code of a command, and all that it printed."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capfd.readouterr()
    return ended.value.code, told.out + told.err


def check(text: str) -> None:
    assert RAW.findall(text) == []
    assert [word for word in SHOWN if word in text] == []
    assert "Traceback" not in text


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    write_tar(
        folder / "0.tar", [Sample(f"k{i}", picture(i * 999), "two words", {}) for i in range(4)]
    )
    return folder


@pytest.mark.parametrize("planted", [EVIL, ADDRESS])
@pytest.mark.parametrize("number", range(len(PLACES)))
def test_in_each_field_of_a_job(
    number: int, planted: str, tars: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(JOB).replace("IN/", f"{tars}/").replace("OUT", str(tmp_path / "run"))
    job = json.loads(text)
    *above, last = PLACES[number]
    place = job
    for key in above:
        place = place[key]
    place[planted if last == EVIL else last] = planted
    (tmp_path / "job.yaml").write_text(json.dumps(job), encoding="utf-8")  # which is YAML too
    code, shown = said(capfd, "plan", str(tmp_path / "job.yaml"))
    assert code in (0, 2), shown
    check(shown)
    check(
        "".join(data.decode("utf-8", "replace") for data in contents(tmp_path / "run").values())
        if (tmp_path / "run").exists()
        else ""
    )


@pytest.mark.parametrize(
    "setting", ["{}=1", "density.{}=1", "density.keep={}", "input.0.path={}", "output={}"]
)
@pytest.mark.parametrize("planted", [EVIL.replace("\x00", ""), ADDRESS])
def test_in_a_setting(
    setting: str, planted: str, tars: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(JOB).replace("IN/", f"{tars}/").replace("OUT", str(tmp_path / "run"))
    (tmp_path / "job.yaml").write_text(text)
    code, shown = said(capfd, "plan", str(tmp_path / "job.yaml"), "--set", setting.format(planted))
    assert code in (0, 2), shown
    check(shown)


def test_in_names_of_files_columns_and_members(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = EVIL.replace("\x00", "").replace("\ud800", "")
    steps = "  - signals: [words]\n  - write"
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({name: [1], "image": [b"x"]}), tmp_path / "in" / f"{name}.parquet")
    arrays: dict[str, Any] = {name: np.zeros((2, 3), np.float32)}
    np.savez(tmp_path / "e.npz", **arrays)
    for number, entry in enumerate(
        [
            {"path": f"{tmp_path}/in/*.parquet"},
            {"path": f"{tmp_path}/in/nothing.parquet"},
            {"path": f"{tmp_path}/in/*", "format": "webdataset"},
            {"path": f"{tmp_path}/in/*", "image_embeddings": f"{tmp_path}/e.npz#x"},
        ]
    ):
        job = {"name": "t", "input": [entry], "output": f"{tmp_path}/{number}"}
        text = yaml12.dump(job) + f"steps:\n{steps}\n"
        (tmp_path / "job.yaml").write_text(text)
        code, shown = said(capfd, "plan", str(tmp_path / "job.yaml"))
        assert code in (0, 2)
        check(shown)


def test_in_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Keys, captions, URLs and json of the input: every reader, for people and for machines."""
    evil = EVIL.replace("\x00", "").replace("\ud800", "")
    samples = [
        Sample(
            f"{evil}{i}",
            picture(i // 2 * 999),
            f"{evil} caption {evil}",
            {"url": f"http://h/{evil}"},
        )
        for i in range(6)
    ]
    write_tar(tmp_path / "in" / f"{evil.replace('/', '')}.tar", samples)
    steps = "  - signals: [words]\n  - rules: {words: {min: 2}}\n  - exact_duplicates\n  - write"
    run = tmp_path / "run"
    run_here(make_plan(run, f"{tmp_path}/in/*.tar", steps))
    key = f"{evil}0"
    for arguments in (
        ["audit", run], ["audit", run, "--by", "source"], ["audit", run, "--sample", "kept"],
        ["audit", run, "--sql", "select * from ledger"], ["audit", run, "--sql", f"select '{evil}"],
        ["audit", run, "--sample", evil], ["explain", run, key], ["explain", run, f"no{evil}"],
        ["whatif", run, "--set", "rules.words.min=9"], ["verify", run], ["diff", run, run],
        ["audit", tmp_path / evil], ["plan", f"{tmp_path}/{evil}.yaml"], ["init", f"{tmp_path}/{evil}/x.yaml"],
    ):  # fmt: skip
        plain_arguments = list(map(str, arguments))
        codes = []
        for more in ([], ["--json"] if arguments[0] != "init" else []):
            code, shown = said(capfd, *plain_arguments, *more)
            codes.append(code)
            check(shown)
            if more and code == 0:
                json.loads(shown)
        assert set(codes) <= {0, 1, 2}


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_in_a_clients_own_words(
    scheme: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        for path in (
            f"{scheme}://AKIAKEYNAME:{SECRET}@bucket/in/*.tar",
            f"{scheme}://AKIAKEYNAME:{SECRET}@b/0.tar",
        ):
            job = {"name": "t", "input": [{"path": path}], "output": str(tmp_path / "run")}
            (tmp_path / "job.yaml").write_text(yaml12.dump({**job, "steps": ["write"]}))
            code, shown = said(capfd, "plan", str(tmp_path / "job.yaml"))
            assert code == 2
            check(shown)


def test_an_error_shows_neither_whatever_it_quotes() -> None:
    redaction.note_secrets(ADDRESS)
    for word in (
        SECRET,
        f"AKIAKEYNAME:{SECRET}",
        "SEcr3t%2FPASSw0rd",
        ADDRESS,
        f"{ADDRESS}?x={EVIL}",
    ):
        for error in (
            TamisError(f"{word}: {EVIL}"),
            StorageError(f'Invalid bucket name "{word}@bucket"'),
        ):
            check(str(error))
            check(repr(str(error)))
    with pytest.raises(StorageError) as refused, objects.translate_errors("x"):
        raise PermissionError(f"{SECRET} is wrong")
    check(str(refused.value))


def test_text_for_a_terminal_has_nothing_that_commands_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    check(plain(EVIL))
    check(plain_lines(f"{EVIL}\n{EVIL}\x1b[31m"))
    assert plain_lines("one\n\ttwo \x1b[1mbold\x1b[0m") == "one\n\ttwo bold"
    assert json.loads(plain_json(json.dumps([EVIL], ensure_ascii=False))) == [EVIL]
    assert json.loads(display.as_json({"a": "\U000e0001 👩\u200d👩"})) == {
        "a": "\U000e0001 👩\u200d👩"
    }
    display.note(EVIL)
    display.echo(EVIL)
    display.console().print(EVIL)
    import sys

    journal.json_lines(sys.stderr)(Notice(EVIL))
    told = capfd.readouterr()
    check(told.out + told.err)


def test_all_that_is_printed_goes_one_way() -> None:
    """Nobody prints past the two functions, but for a template, and manifests that need their addresses whole."""
    allowed = {"jobs/terminal/display.py", "jobs/terminal/inline_pictures.py", "jobs/commands/deploy.py",
               "jobs/cli/app.py", "jobs/cluster/probe.py"}  # fmt: skip
    found = {
        str(path.relative_to(ROOT))
        for top in ("jobs", "pipeline")
        for path in (ROOT / top).rglob("*.py")
        if re.search(
            r"\btyper\.echo\(|(?<!\.)\bprint\(|sys\.(stdout|stderr)\.write", path.read_text()
        )
    }
    assert found <= allowed


def test_a_notice_of_a_run_shows_neither(
    tars: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tamis.pipeline.runs.executors.LocalEngine", lambda root, *_: Here(root))
    text = json.dumps(JOB).replace("IN/", f"{tars}/").replace("OUT", str(tmp_path / "run"))
    job = json.loads(text)
    job["steps"] = [{"signals": ["words"]}, "write"]
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    (tars / f".{EVIL[:3]}.tar").write_bytes(b"1")
    for progress in ("lines", "json", "none"):
        code, shown = said(capfd, "run", str(tmp_path / "job.yaml"), "--progress", progress)
        assert code == 0
        assert ".e" in shown
        check(shown)
        shutil.rmtree(tmp_path / "run")
    assert os.listdir(tmp_path) == ["job.yaml"]
