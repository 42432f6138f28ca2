"""The command ``tamis evaluate`` in this process."""

import json
from typing import Any

import pytest

from tamis.jobs.cli.app import main

QUICK = ["--seeds", "2", "--budgets", "0.2,0.4", "--steps", "20", "--cpus", "2"]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments, "--json"])
    assert ended.value.code == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err
