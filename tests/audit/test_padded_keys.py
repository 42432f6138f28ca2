"""A key that is a number is found without its leading zeros, where that names one sample."""

from __future__ import annotations

import pytest

from tamis.jobs.commands.explain import explain_sample
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import padded_key
from tests.support.running import Sample, make_plan, picture, run_here, write_tar


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Keys as img2dataset writes them, and one number in two widths."""
    folder = tmp_path_factory.mktemp("padded")
    keys = ["000000005", "000000007", "0007", "12"]
    write_tar(
        folder / "0.tar", [Sample(key, picture(i), f"text {i}", {}) for i, key in enumerate(keys)]
    )
    run_here(make_plan(folder / "run", folder / "0.tar", "  - write"))
    return str(folder / "run")


def test_one_number_is_one_key(run: str) -> None:
    found = {
        name: padded_key(open_run(run), name)
        for name in ("5", "05", "7", "12", "012", "99", "x5", "-5")
    }
    assert found == {
        "5": "000000005",
        "05": "000000005",
        "7": None,
        "12": None,
        "012": "12",
        "99": None,
        "x5": None,
        "-5": None,
    }


def test_explain_says_which_key_it_took(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    explain_sample(run, "5", count=1, json=False, html=None)
    out, err = capsys.readouterr()
    assert "no sample is called 5: this is the one with the key 000000005" in err
    assert "text 0" in out
