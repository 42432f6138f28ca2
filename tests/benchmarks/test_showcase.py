"""The showcase, of a few hundred drawn shapes instead of npm's icons: its page, and the same page twice."""

from __future__ import annotations

import io
import json
import tarfile
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import xxhash

from tamis.schemas.evaluation import Evaluation
from tests.audit.test_report import Page, check_closed
from tests.benchmarks import showcase
from tests.benchmarks.make_icons import HELD, make

COLOURS = ("red", "orange", "gold", "lime", "green", "teal", "cyan", "navy", "purple", "black")
SIZES = {"tiny": 2, "small": 4, "large": 6, "huge": 8}
SHAPES = {
    "circle": '<circle cx="8" cy="8" r="{r}" fill="{c}"/>',
    "square": '<rect x="1" y="1" width="{r}" height="{r}" fill="{c}"/>',
    "bar": '<rect x="1" y="6" width="14" height="{r}" fill="{c}"/>',
    "pole": '<rect x="6" y="1" width="{r}" height="14" fill="{c}"/>',
    "wedge": '<path d="M1 15L15 15L{r} 1z" fill="{c}"/>',
    "ring": '<circle cx="8" cy="8" r="{r}" fill="none" stroke="{c}"/>',
    "cross": '<path d="M{r} 1v14M1 8h14" stroke="{c}"/>',
    "slope": '<path d="M1 {r}L15 15" stroke="{c}"/>',
}
SETS = (*HELD[:2], "one", "two", "three", "four", "five", "six", "seven")


@pytest.fixture(scope="module")
def icons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Icons made from an archive as npm packs it, each shape in one of the sets."""
    folder = tmp_path_factory.mktemp("shapes")
    drawn: dict[str, dict[str, Any]] = {name: {} for name in SETS}
    for size, colour, shape in product(SIZES, COLOURS, SHAPES):
        name = f"{size}-{colour}-{shape}"
        body = SHAPES[shape].format(r=SIZES[size], c=colour)
        own = SETS[xxhash.xxh3_64_intdigest(name.encode()) % len(SETS)]
        drawn[own][name] = {"body": body}
    files: dict[str, Any] = {"collections.json": {}}
    for name, found in drawn.items():
        about = {"name": name, "total": len(found), "license": {"spdx": "MIT", "url": ""}}
        files["collections.json"][name] = about
        files[f"json/{name}.json"] = {"icons": found, "width": 16, "height": 16}
    with tarfile.open(folder / "package.tgz", "w:gz") as tar:
        for name, value in files.items():
            data = json.dumps(value).encode()
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    make(str(folder / "package.tgz"), folder / "icons", None, 32, 1)
    return folder / "icons"


def shown(icons: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The showcase in this process, trained for a moment."""
    monkeypatch.setattr(showcase, "tamis", inside)
    short = showcase.SCORER.model_copy(update={"steps": 100, "batch": 16})
    monkeypatch.setattr(showcase, "SCORER", short)
    options = ["--seeds", "2", "--steps", "30", "--long", "60", "--budgets", "0.3,0.4"]
    showcase.main([str(icons), str(out), *options])
    return out


def inside(*arguments: str) -> None:
    from tamis.jobs.cli.app import main

    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 0


@pytest.mark.slow
def test_the_page_has_both_figures_and_is_the_same_twice(
    icons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, twice = (shown(icons, tmp_path / name, monkeypatch) for name in "ab")
    for name in ("index.html", "figure.svg", "clean.json", "noisy.json"):
        assert (once / name).read_bytes() == (twice / name).read_bytes(), name
    clean = Evaluation.model_validate_json((once / "clean.json").read_bytes())
    assert set(clean.sources) == set(HELD[:2])
    data = (once / "index.html").read_bytes()
    page = Page(data)
    check_closed(page)
    assert page.tags["polyline"] == 2 * (len(clean.selectors) - 1)  # all pairs are a level
    assert any(words.startswith("The noisy pool: ") for words in page.words)
    assert {"30 steps", "60 steps"} < set(page.words)
    for point in clean.points:
        assert f"{point.headline.mean:.3f}".encode() in data
    drawn = (once / "figure.svg").read_text()
    assert drawn.count("<polyline") == page.tags["polyline"]
    assert "prefers-color-scheme: dark" in drawn
    assert not any(word in drawn for word in ("<script", "href=", "url("))
