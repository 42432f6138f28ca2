"""Arguments that are not UTF-8, as a terminal of another encoding types them."""

from __future__ import annotations

import pytest
import typer

from tamis.jobs.cli import app, main

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
