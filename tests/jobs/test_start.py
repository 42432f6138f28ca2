"""What stands before every command: little is imported, and the called command alone is built."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tamis.jobs.cli import start
from tamis.jobs.cli.app import app, main
from tamis.jobs.cli.start import with_called_command
from tamis.schemas.errors import StateError


def test_help_imports_neither_tables_nor_arrays() -> None:
    code = (
        "import sys; from tamis.jobs.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(*sorted({'numpy', 'pyarrow', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.splitlines()[-1]


def test_one_command_is_built_as_all_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Its help is the same; the program's lists all."""
    for command in ("explain", "whatif"):
        told = []
        for made in (with_called_command(app, [command]), app):
            made([command, "--help"], prog_name="tamis", standalone_mode=False)
            told.append(capsys.readouterr().out)
        assert told[0] == told[1]
        assert f"tamis {command}" in told[0]
    assert with_called_command(app, ["--help"]) is app


def test_what_an_earlier_command_of_the_process_wanted_checked_is_forgotten() -> None:
    def changed() -> None:
        raise StateError("the run has been done again")

    start.at_the_end(changed)
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
