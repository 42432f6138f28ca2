"""``tamis tune``: what it measures, what it writes, and that a job file is otherwise as it was."""

import json
from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.planning import tuning
from tamis.pipeline.planning.tuning import Rate, chosen
from tamis.schemas.errors import JobError
from tamis.schemas.parse import parse_job, with_setting
from tests.support.running import Sample, picture, write_tar

JOB = """# what is read
name: test   # a name
input: [{path: '%s'}]
output: unset
steps:
  - signals: [words]     # columns
%s
  - write: {samples_per_shard: 10}
"""

WRITTEN = {
    "in one line": (
        "  - embed: {encoder: demo}  # small",
        "{encoder: demo, batch_size: 64}  # small",
    ),
    "there already": (
        "  - embed: {batch_size: 8, encoder: demo}",
        "{batch_size: 64, encoder: demo}",
    ),
    "line by line": (
        "  - embed:\n      # which\n      encoder: demo  # small\n      precision: fp32",
        "# which\n      batch_size: 64\n      encoder: demo  # small\n      precision: fp32",
    ),
    "by its name": (
        "  - embed: {encoder: demo}\n  - embed: {name: embed2, encoder: demo}",
        "  - embed: {encoder: demo}\n  - embed: {name: embed2, encoder: demo, batch_size: 64}",
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_one_number_changes_and_all_else_stays(case: str) -> None:
    before, after = WRITTEN[case]
    step = "embed2" if case == "by its name" else "embed"
    text = JOB % ("in/*.tar", before)
    changed = with_setting(text, "job.yaml", step, "batch_size", 64)
    assert after in changed
    assert [
        line for line in changed.splitlines() if "embed" not in line and "batch" not in line
    ] == [line for line in text.splitlines() if "embed" not in line and "batch" not in line]
    (size,) = [step_.batch_size for step_ in parse_job(changed, "").embeds if step_.name == step]
    assert size == 64


def test_what_cannot_be_changed_in_place_is_said() -> None:
    text = JOB % ("in", "  - embed: &same {encoder: demo, as: a}\n  - embed: {<<: *same, name: b}")
    with pytest.raises(JobError):
        with_setting(text, "job.yaml", "embed", "batch_size", 64)


def test_the_jobs_own_size_stays_where_another_gains_next_to_nothing() -> None:
    rates = [Rate(8, 50.0, 49, 51), Rate(32, 99.0, 90, 101), Rate(64, 100.0, 99, 101)]
    assert chosen(rates, 32) == 32
    assert chosen(rates, 8) == 64
    assert chosen([Rate(8, 50.0, 49, 51), Rate(16, 52.0, 51.5, 53)], 8) == 8
    assert chosen([Rate(8, 10.0, 10, 10), Rate(16, 10.0, 10, 10), Rate(4, 1.0, 1, 1)], 4) == 8


def test_a_size_that_does_not_gain_in_every_round_gains_nothing() -> None:
    rates = [Rate(8, 50.0, 40, 61), Rate(16, 70.0, 60, 80), Rate(32, 65.0, 62, 66)]
    assert chosen(rates, 8) == 32
    assert chosen(rates[:2], 8) == 8


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert ended.value.code == 0, captured.err
    return captured.out


@pytest.fixture
def job(tmp_path: Path) -> Path:
    samples = [Sample(f"k{k}", picture(k * 999), f"caption {k}", {}) for k in range(5)]
    write_tar(tmp_path / "0.tar", samples)
    path = tmp_path / "job.yaml"
    path.write_text(JOB % (tmp_path / "0.tar", "  - embed: {encoder: demo}  # small"))
    return path


def test_it_measures_the_jobs_own_samples_and_writes_the_best(
    job: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = job.read_text()
    shown = json.loads(
        run(
            capsys,
            "tune",
            str(job),
            "--sizes",
            "1,2",
            "--rounds",
            "1",
            "--samples",
            "4",
            "--dry-run",
            "--json",
        )
    )
    found = shown["steps"]["embed"]
    assert (found["samples"], found["own"], shown["written"]) == (4, 32, [])
    assert [rate["batch_size"] for rate in found["rates"]] == [1, 2, 32]
    assert job.read_text() == before
    monkeypatch.setattr(tuning, "chosen", lambda rates, own: 2)
    told = run(capsys, "tune", str(job), "--sizes", "2", "--rounds", "1", "--samples", "3")
    assert "embed.batch_size=2: part of the result's identity" in told
    assert job.read_text() == before.replace("{encoder: demo}", "{encoder: demo, batch_size: 2}")
    again = run(capsys, "tune", str(job), "--sizes", "2", "--rounds", "1", "--samples", "3")
    assert "embed.batch_size=2 is the job's own: it stays" in again


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sizes", "8,none"), "--sizes 8,none: `none` is no batch size"),
        (("--sizes", "9000"), "`9000` is no batch size: 1 to 8192"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    job: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, "tune", str(job), *arguments)


def test_a_job_that_embeds_nothing_has_nothing_to_tune(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = job.read_text().splitlines()
    job.write_text("\n".join(line for line in lines if "- embed" not in line))
    assert "no step embeds with a model" in refused(capsys, "tune", str(job))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err
