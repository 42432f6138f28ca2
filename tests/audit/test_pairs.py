"""What duplicates are shown as: contact sheets, groups by size, and the notes below the funnel."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tamis.jobs.cli.app import main
from tamis.jobs.commands.explain import in_words
from tamis.pipeline.algorithms.grouping import buckets
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.duplicates import duplicates
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.reading.pairs import drawn, remarks
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.audit.report.sheet import sheet
from tamis.schemas.errors import JobError
from tests.audit.conftest import COPIES, HOSTILE
from tests.audit.test_report import Page, check_closed
from tests.support.running import ledger, make_plan, run_here

Rows = list[dict[str, Any]]
STEPS = [("near_pictures", -1), ("near_duplicates", 1)]
"""Steps, and the sign that makes a larger value more alike."""


def fell(run: Path, step: str) -> Rows:
    return [row for row in ledger(run) if row["step"] == step]


def by_hash(row: dict[str, Any]) -> str:
    return hashlib.md5(row["uid"].encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(("step", "sign"), STEPS)
@pytest.mark.parametrize("count", [1, 9, 10_000])
def test_a_third_is_the_weakest_and_the_rest_is_drawn_by_hash(
    step: str, sign: int, count: int, alike: Path
) -> None:
    run, rows = open_run(str(alike)), fell(alike, step)

    def weakest_first(row: dict[str, Any]) -> tuple[float, str]:
        return sign * row["partner_value"], by_hash(row)

    weak = sorted(rows, key=weakest_first)[: round(count / 3)]
    others = sorted((row for row in rows if row not in weak), key=by_hash)
    wanted = sorted([*weak, *others[: count - len(weak)]], key=weakest_first)
    with sql.connect(run, tables=False) as connection:
        pairs = drawn(run, connection, step, count)
    assert [pair.dropped["uid"] for pair in pairs] == [row["uid"] for row in wanted]
    assert len(pairs) == min(count, len(rows)) > 0
    for pair in pairs:
        assert pair.survivor is not None
        assert pair.survivor["uid"] == pair.dropped["survivor_uid"]


def test_a_sheet_has_both_pictures_of_every_pair_and_treats_captions_as_words(
    hostile: Path,
) -> None:
    data = sheet(open_run(str(hostile)), "exact_duplicates", 500)
    page = Page(data)
    check_closed(page)
    assert page.tags["img"] == 2 * COPIES
    assert page.words.count(HOSTILE[1]) + page.words.count("a copy, number 0") >= 1
    assert data == sheet(open_run(str(hostile)), "exact_duplicates", 500)


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


def test_the_command_writes_the_sheet_or_lists_the_pairs(
    alike: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sheet.html"
    code, _ = asked(capsys, str(alike), "--edges", "near_pictures", "--html", str(file), "-n", "7")
    assert code == 0
    assert file.read_bytes() == sheet(open_run(str(alike)), "near_pictures", 7)
    code, out = asked(capsys, str(alike), "--edges", "near_duplicates", "-n", "3", "--json")
    assert code == 0
    rows = json.loads(out)["rows"]
    dropped = {row["uid"]: row for row in fell(alike, "near_duplicates")}
    assert len(rows) == 3
    for row in rows:
        assert dropped[row["dropped"]]["survivor_uid"] == row["survivor"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--edges", "near_picture"], "did you mean `near_pictures`?"),
        (["--html", "x.html"], "it writes the sheet of --edges STEP"),
        (["--edges", "near_pictures", "--by", "source"], "two questions"),
    ],
)
def test_a_question_that_makes_no_sense_is_told(
    arguments: list[str], message: str, alike: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = asked(capsys, str(alike), *arguments)
    assert (code, message in said) == (2, True)


def test_groups_are_counted_by_size_with_their_spread(alike: Path) -> None:
    run = open_run(str(alike))
    with sql.connect(run, tables=False) as connection:
        shown = {step.step: step for step in duplicates(run, connection)}
    page = " ".join(Page(report(run)).words)
    for step, sign in STEPS:
        rows = fell(alike, step)
        members = Counter(row["survivor_uid"] for row in rows)
        powers = {uid: (size + 1).bit_length() - 1 for uid, size in members.items()}
        assert [sizes.least for sizes in shown[step].sizes] == sorted(
            {2**power for power in powers.values()}, reverse=True
        )
        for sizes in shown[step].sizes:
            here = {uid for uid, power in powers.items() if 2**power == sizes.least}
            weakest = [
                min(
                    (r["partner_value"] for r in rows if r["survivor_uid"] == uid),
                    key=lambda v: sign * v,
                )
                for uid in here
            ]
            assert (sizes.groups, sizes.dropped) == (len(here), sum(members[uid] for uid in here))
            assert sizes.median == pytest.approx(median(weakest))
            assert sizes.weakest == min(weakest, key=lambda value: sign * value)
            assert f"{sizes.least} to {sizes.most}" in page


def test_the_notes_say_the_largest_group_and_the_weakest_edge(
    alike: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, text = asked(capsys, str(alike))
    _, plain = asked(capsys, str(alike), "--json")
    lines = json.loads(plain)["notes"]
    for (step, sign), line in zip(STEPS, lines, strict=True):
        rows = fell(alike, step)
        members = Counter(row["survivor_uid"] for row in rows)
        most = max(members.values())
        largest = min(uid for uid, size in members.items() if size == most)
        weakest = min((row["partner_value"] for row in rows), key=lambda value: sign * value)
        assert f"{step}: {len(rows)} fell for {len(members)}; " in line
        assert f"the largest group: {most + 1} samples, survivor {largest}" in line
        assert float(line.rsplit(" ", 1)[1]) == pytest.approx(weakest, abs=1e-3)
        assert line in " ".join(text.split())
        assert line in " ".join(Page(report(open_run(str(alike)))).words)


def test_the_notes_say_what_was_left_unsearched(
    alike: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets.first_edges, "__defaults__", (1,))
    steps = "  - near_pictures: {hamming: 16, difference: 1.0, detail: null}"
    run_here(make_plan(tmp_path / "run", alike.parent / "in" / "*.tar", steps))
    run = open_run(str(tmp_path / "run"))
    with sql.connect(run, tables=False) as connection:
        _, line = remarks(run, connection)
    assert line.startswith("near_pictures: ")
    assert "(unsearched)" in line


def test_a_run_without_duplicates_has_no_notes(alike: Path, tmp_path: Path) -> None:
    steps = "  - signals: [words]\n  - rules: {words: {min: 3}}"
    run_here(make_plan(tmp_path / "run", alike.parent / "in" / "*.tar", steps))
    run = open_run(str(tmp_path / "run"))
    with sql.connect(run, tables=False) as connection:
        assert remarks(run, connection) == []
        with pytest.raises(JobError, match="--edges rules: that step dropped no duplicates"):
            drawn(run, connection, "rules", 5)


def test_the_browser_page_has_the_same_groups(alike: Path) -> None:
    run = open_run(str(alike))
    with sql.connect(run, tables=False) as connection:
        shown, notes = duplicates(run, connection), remarks(run, connection)
    groups = Browser(run, in_words).groups
    assert [step["sizes"] for step in groups] == [
        [s._asdict() for s in step.sizes] for step in shown
    ]
    assert [line for step in groups for line in step["notes"]] == notes


def test_groups_of_very_many_are_left_to_the_report(
    alike: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tamis.pipeline.audit.reading.pairs.GROUPED", 3)
    run = open_run(str(alike))
    with sql.connect(run, tables=False) as connection:
        assert remarks(run, connection) == [
            "groups of duplicates among more than 3 dropped samples: see `tamis report`"
        ]
