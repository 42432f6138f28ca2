"""`tamis --help` lists every command in a group, with a whole sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import typer

from tamis.jobs.cli.app import app, main
from tamis.jobs.cli.grouped_help import GROUPS, GroupedCommands


def test_every_command_stands_in_one_group_with_its_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    group: Any = typer.main.get_command(app)
    assert isinstance(group, GroupedCommands)
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(group.commands)
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out.partition("Options:")[2]
    assert "..." not in shown
    assert "Others" not in shown
    words = " ".join(shown.split())
    for title in GROUPS:
        assert f"\n{title}:\n" in shown
    for name, command in dict[str, Any](group.commands).items():
        first = " ".join(command.help.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
        assert f" {name} {first}." in words


def test_a_command_in_no_group_is_shown_with_others(capsys: pytest.CaptureFixture[str]) -> None:
    own = typer.Typer(cls=GroupedCommands, rich_markup_mode=None)

    @own.command()
    def init() -> None:
        """Begin."""

    @own.command()
    def toy() -> None:
        """Play. And more."""

    own(["--help"], prog_name="own", standalone_mode=False)
    shown = capsys.readouterr().out.split()
    assert shown[-6:] == ["Begin:", "init", "Begin.", "Others:", "toy", "Play."]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tamis ex", {"explain", "export"}),
        ("tamis run --pro", {"--progress"}),
        ("tamis whatif --s", {"--set"}),
        ("tamis nothing", set()),
    ],
)
def test_a_shell_completes_commands_and_options(typed: str, offered: set[str]) -> None:
    asked = {
        "_TAMIS_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    code = "from tamis.jobs.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == offered
