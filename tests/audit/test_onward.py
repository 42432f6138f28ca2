"""Which later step would take a sample, and its story as a page and in a terminal."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tamis.jobs.cli.app import main
from tamis.jobs.terminal import inline_pictures
from tamis.pipeline.algorithms import order
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.reading.pictures import side_by_side
from tamis.pipeline.audit.story.story import pictured, stories
from tests.support.embedded import blobs, write_input
from tests.support.running import ledger, make_plan, run_here

STEPS = """
  - signals: [words, characters]
  - rules: {name: first, words: {min: 2}}
  - exact_duplicates: {on: url_text}
  - embed: {encoder: precomputed}
  - semantic_duplicates: {clusters: 4, epsilon: 0.1}
  - rules: {name: late, characters: {max: 12}}
  - density: {clusters: 8, neighbours: 3, keep: 0.5}
  - write: {format: parquet}
"""
WORDS = ["a", "bird", "on", "some", "houses"]


@pytest.fixture(scope="module", params=["random", "hard"])
def which(request: pytest.FixtureRequest) -> str:
    """The order in which a concept keeps."""
    return str(request.param)


@pytest.fixture(scope="module")
def run(which: str, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A finished run over 300 samples, in parts of 64."""
    folder = tmp_path_factory.mktemp("onward")
    draw = np.random.default_rng(5)
    text = [" ".join(draw.choice(WORDS, draw.integers(1, 4))) for _ in range(300)]
    url = [f"https://example.org/{number}" for number in range(300)]
    sizes, spreads = [90, 80, 70, 60], [0.4, 0.6, 0.5, 0.7]
    entry = write_input(folder / "in", blobs(sizes, spreads, seed=3, text=text, url=url))
    steps = STEPS.replace("keep: 0.5", f"keep: 0.5, which: {which}")
    run_here(make_plan(folder / "run", "", steps, input=[entry], part_samples=64))
    return open_run(str(folder / "run"))


def explain(*arguments: str) -> None:
    """The command, which must go well."""
    with pytest.raises(SystemExit) as ended:
        main(["explain", *arguments])
    assert ended.value.code == 0


def lots(uids: list[str]) -> dict[str, int]:
    """The lot of each uid, by which a concept keeps at random."""
    return dict(zip(uids, order.hashed(order.parse(uids), 42, "ranks").tolist(), strict=True))


def then(run: FinishedRun, row: dict[str, Any]) -> dict[str, Any]:
    """What the story says of the steps after the one that dropped it."""
    _, (story,) = stories(run, row["uid"], 1)
    (step,) = [step for step in story["steps"] if step["outcome"] == "dropped"]
    told: dict[str, Any] = step["then"]
    return told


def test_after_a_rule(run: FinishedRun) -> None:
    """A later rule over stored signals is certain; duplicates and concepts never saw the sample."""
    rows = [row for row in ledger(Path(run.root)) if row["step"] == "first"]
    assert rows
    never = ["exact_duplicates", "embed", "semantic_duplicates"]
    for row in rows:
        told = then(run, row)
        if row["characters"] > 12:
            assert (told["step"], told["unseen"]) == ("late", never)
        else:
            assert (told["step"], told["unseen"]) == (None, [*never, "density"])


def test_after_epsilon(run: FinishedRun, which: str) -> None:
    """The late rule by its signal, density by a count of the samples that stand before it in its concept."""
    rows = ledger(Path(run.root))
    lot = lots([row["uid"] for row in rows])

    def key(row: dict[str, Any]) -> tuple[float, str]:
        return (lot[row["uid"]] if which == "random" else -row["distance"]), row["uid"]

    judged = set()
    for row in rows:
        if row["step"] != "semantic_duplicates" or row["value"] >= 1:
            continue
        before = [
            other
            for other in rows
            if other["cluster"] == row["cluster"]
            and other["rank"] is not None
            and key(other) < key(row)
        ]
        quota = [o["quota"] for o in rows if o["cluster"] == row["cluster"] and o["rank"]]
        taker = "late" if row["characters"] > 12 else None
        if taker is None and len(before) >= (quota or [0])[0]:
            taker = "density"
        told = then(run, row)
        assert (told["step"], told["unseen"]) == (taker, [])
        judged.add(taker)
    assert judged == {"late", "density", None}


def test_it_is_said_in_words(run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    """What is told of later steps holds for this sample alone, all others left as they are."""
    rows = ledger(Path(run.root))
    said: dict[tuple[str | None, bool], str] = {}
    for row in rows:
        near = row["step"] == "semantic_duplicates" and row["value"] < 1
        if near or row["step"] == "first":
            told = then(run, row)
            case = (told["step"], bool(told["unseen"]))
            if case not in said:
                explain(run.root, row["uid"])
                said[case] = capsys.readouterr().out
    assert "with all others as they are, no later step would take it" in said[None, False]
    never = "exact_duplicates, embed, semantic_duplicates, density"
    assert f"whether {never} would let it pass is unknown: they never saw it" in said[None, True]
    assert "then late would take it: characters" in said["late", False]
    with pytest.raises(SystemExit):
        main(["explain", run.root, ""])
    assert "SAMPLE is empty" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["explain", run.root, rows[0]["uid"], "--json", "--html", "x"])
    assert "two answers" in capsys.readouterr().err


def test_a_page_with_both_pictures(hostile: Path, tmp_path: Path) -> None:
    """The pictures are the sample's and its partner's; hostile captions stay text; nothing is fetched."""
    uid = next(row["uid"] for row in ledger(hostile) if row["reason"] == "same_image")
    explain(str(hostile), uid, "--html", str(tmp_path / "why.html"))
    page = (tmp_path / "why.html").read_text()
    drawn = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    assert len(drawn) == 2
    for data in drawn:
        Image.open(io.BytesIO(base64.b64decode(data))).load()
    assert "<script" not in page
    assert "partner and survivor" in page
    assert "default-src 'none'" in page


def test_pictures_in_a_terminal(hostile: Path) -> None:
    """One PNG, the sample's picture left of its partner's, cut into chunks that decode to it."""
    run = open_run(str(hostile))
    row = next(row for row in ledger(hostile) if row["reason"] == "same_image")
    _, (story,) = stories(run, row["uid"], 1)
    shown = pictured(run, story)
    assert [other["role"] for other in shown] == ["sample", "partner and survivor"]
    png = side_by_side(run, [other["sid"] for other in shown], 40)
    assert png is not None
    assert Image.open(io.BytesIO(png)).size == (92, 40)
    noisy = io.BytesIO()
    Image.effect_noise((90, 90), 80).save(noisy, "PNG")
    for data in (png, noisy.getvalue()):
        sequences = re.findall(
            r"\033_G([^;]*);([^\033]*)\033\\", inline_pictures.escape_sequences(data, "kitty")
        )
        assert base64.b64decode("".join(chunk for _, chunk in sequences)) == data
        assert [keys[-3:] for keys, _ in sequences][:-1] == ["m=1"] * (len(sequences) - 1)
        assert sequences[-1][0].endswith("m=0")
        assert inline_pictures.escape_sequences(data, "iterm2").endswith(
            base64.b64encode(data).decode() + "\a"
        )


def test_who_shows_pictures() -> None:
    assert inline_pictures.protocol({"TERM": "xterm-kitty"}) == "kitty"
    assert (
        inline_pictures.protocol({"TERM_PROGRAM": "iTerm.app", "TERM": "xterm-256color"})
        == "iterm2"
    )
    assert inline_pictures.protocol({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}) is None
    assert inline_pictures.protocol({"TERM": "xterm-256color"}) is None
