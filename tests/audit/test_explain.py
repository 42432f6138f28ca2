"""What names a sample, and what a story waits for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.page import story_page
from tamis.pipeline.audit.story.story import is_uid, stories
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar


def test_a_uid_is_32_hex_digits() -> None:
    assert is_uid("0123456789abcdef0123456789ABCDEF")
    assert not is_uid("0123456789abcdef0123456789ABCDEG")
    assert not is_uid("0123456789abcdef")


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of two pictures, and two over others: it was their target, or their list."""
    folder = tmp_path_factory.mktemp("chained")
    write_tar(folder / "a.tar", [Sample(f"a{n}", picture(n), f"word {n}", {}) for n in range(2)])
    others = [Sample(f"b{n}", picture(n), f"other {n}", {}) for n in range(4)]
    write_tar(folder / "b.tar", others)
    embed = "- embed: {encoder: demo}"
    run_here(make_plan(folder / "few", folder / "a.tar", f"{embed}\n- write"))
    steps = f"{embed}\n- exclude: {{list: {folder}/few, on: embedding, epsilon: 0.0001}}\n- write"
    run_here(make_plan(folder / "listed", folder / "b.tar", steps))
    steps = f"{embed}\n- target: {{path: {folder}/few, keep: 1}}\n- write"
    run_here(make_plan(folder / "target", folder / "b.tar", steps))
    return {name: folder / name for name in ("few", "target", "listed")}


def page(root: Path, step: str) -> str:
    run = open_run(str(root))
    uid = next(row["uid"] for row in ledger(root) if row["step"] == step)
    found, told = stories(run, uid, 1)
    return story_page(run, [in_words(one) for one in told], found).decode()


@pytest.mark.parametrize(
    ("name", "step", "role"),
    [("target", "target", "nearest of the target"), ("listed", "exclude", "of the list")],
)
def test_the_page_shows_the_sample_of_another_run_that_decided(
    chained: dict[str, Path], name: str, step: str, role: str
) -> None:
    found = page(chained[name], step)
    assert f"{role}, in {chained['few']}" in found
    assert found.count("data:image/webp") == 2
    assert "word " in found


def test_where_the_other_run_is_gone_the_page_says_so(
    chained: dict[str, Path], tmp_path: Path
) -> None:
    away = tmp_path / "away"
    chained["few"].rename(away)
    try:
        found = page(chained["target"], "target")
    finally:
        away.rename(chained["few"])
    assert found.count("data:image/webp") == 1
    assert "nearest of the target: " in found
    assert "no run is here" in found
