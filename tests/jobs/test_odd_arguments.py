"""Arguments that are none: not UTF-8, out of place, with a secret, a command to the terminal, or without end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer

from tamis.jobs.cli.app import app, main
from tests.conftest import ROOT

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # a group


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("before", [(), ("--set",), ("--sql",), ("x", "y")])
def test_an_argument_that_is_not_utf_8(
    command: str, before: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, *before, "caf\udce9"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"tamis: `caf\udce9`: is not UTF-8")


def test_a_system_whose_names_of_files_are_not_utf_8() -> None:
    """Uids are made of them: they would be others than elsewhere."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "tamis.jobs", "audit", "run"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **plain}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "the names of files are taken for ascii" in line
    assert line.endswith("set PYTHONUTF8=1")


ODD = {
    "a secret": "memory://AKIAKEY:hidden@bucket/x.tar",
    "a secret of the web": "https://me:hidden@h/x?sig=hidden",
    "commands to the terminal": "\x1b]0;pwned\x07\x9b31m\u202e",
    "a million letters": "x" * 1_000_000,
}

USES = {
    "an option's value": ["audit", "run", "--by", "ODD"],
    "a number": ["explain", "run", "5", "-n", "ODD"],
    "one argument too many": ["verify", "run", "ODD"],
    "a command": ["ODD"],
    "an option": ["verify", "run", "--ODD"],
    "a run": ["verify", "ODD/run"],
    "a path of a setting": ["whatif", "ODD", "--set", "ODD"],
    "a command of a group": ["fit", "ODD"],
    "a number of a group's command": ["budget", "run", "--pool", "ODD"],
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("use", USES)
def test_what_is_said_of_an_argument_is_fit_for_a_terminal(
    use: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([argument.replace("ODD", ODD[kind]) for argument in USES[use]])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "hidden" not in said.err
    assert all(line.isprintable() for line in said.err.splitlines())
    assert 0 < len(said.err) < 6_000


@pytest.mark.parametrize("command", ["plan", "init"])
def test_an_address_at_which_nobody_listens_is_no_job_file(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "http://me:hidden@127.0.0.1:9/job.yaml"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "127.0.0.1:9/job.yaml" in line
    assert "hidden" not in line
