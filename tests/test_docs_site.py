"""The pages for people are built without a warning and load nothing from elsewhere, and what they tell to do works."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from tamis.jobs.cli.app import app, main
from tamis.jobs.job_files.reference import signals_page, steps_page
from tamis.pipeline.signals.registry import SIGNALS
from tamis.schemas import yaml12
from tamis.schemas.budget import Law
from tamis.schemas.ledger import Reason
from tamis.schemas.parse import parse_job
from tamis.schemas.registry import STEPS, configuration
from tests.conftest import ROOT
from tests.support.demo_run import DemoRun

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

ELSEWHERE = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//", re.IGNORECASE
)
IMPORTED = re.compile(r"url\([\"']?(?:https?:)?//|@import\s+[\"'](?:https?:)?//")


def pages() -> list[Path]:
    """The written pages of the table of contents."""
    site = yaml12.load((ROOT / "mkdocs.yml").read_text())
    return [DOCS / name for name in _named(site["nav"]) if (DOCS / name).exists()]


def _named(nav: Sequence[Any]) -> Iterator[str]:
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from _named(below if isinstance(below, list) else [below])


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page in one language."""
    return [text for name, text in BLOCK.findall(page.read_text()) if name == language]


def commands(page: Path) -> list[list[str]]:
    """The calls of tamis in a page, in order, each as its arguments."""
    lines = (line for text in blocks(page, "sh") for line in text.splitlines())
    called = [shlex.split(line, comments=True) for line in lines if line.startswith("tamis ")]
    return [words[1 : words.index(">")] if ">" in words else words[1:] for words in called]


def test_the_pages_are_known() -> None:
    assert {"index.md", "tutorial.md", "inputs.md", "choosing.md"} <= {
        page.name for page in pages()
    }


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_command_is_one_that_is_understood(page: Path) -> None:
    group = typer.main.get_command(app)
    for arguments in commands(page):
        command: Any = group
        words = list(arguments)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("tamis", words)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_job_is_one(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sources that the page shows under a comment with their name beside it."""
    monkeypatch.chdir(tmp_path)
    for source in blocks(page, "python"):
        if named := re.match(r"# (\w+\.py)\n", source):
            (tmp_path / named[1]).write_text(source)
    for text in blocks(page, "yaml"):
        found = yaml12.load(text)
        if text.startswith("# law.yaml\n"):  # of `tamis budget`
            assert Law.model_validate(found).buckets
            continue
        job = {"steps": found} if isinstance(found, list) else found
        whole = {"name": "x", "input": "x.tar", "output": "y", **job}
        assert parse_job(yaml12.dump(whole), page.name).steps


def test_steps_and_signals_are_all_described() -> None:
    steps, signals = steps_page(), signals_page()
    for kind in STEPS:
        assert f"\n## {kind}\n" in steps
        model = configuration(kind)
        for name, field in model.model_fields.items():
            assert name == "name" or f"| `{field.alias or name}` |" in steps
        assert all(f"| `{reason}` |" in steps for reason in model.reasons)
    assert all(f"| `{reason}` |" in steps for reason in Reason)
    assert all(f"| `{name}` | {signal.doc} |" in signals for name, signal in SIGNALS.items())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages; a warning is an error."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site") / "docs"
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_loads_nothing_from_another_host(site: Path) -> None:
    built = list(site.rglob("*.html"))
    assert {"index.html", "steps.html", "signal-list.html"} <= {page.name for page in built}
    for page in built:
        assert not ELSEWHERE.search(page.read_text()), page.name
    for sheet in site.rglob("*.css"):
        assert not IMPORTED.search(sheet.read_text()), sheet.name


def test_a_page_links_to_no_page_that_is_not_built(site: Path) -> None:
    for page in site.rglob("*.html"):
        for link in re.findall(r"href=\"([^\"#:]+)", page.read_text()):
            assert (page.parent / link).exists() or page.name == "404.html", (page.name, link)


def test_what_loads_from_elsewhere_is_found() -> None:
    assert ELSEWHERE.search('<link rel="stylesheet" href="https://fonts.example.org/a.css">')
    assert ELSEWHERE.search("<script async src=//cdn.example.org/x.js>")
    assert not ELSEWHERE.search('<a href="https://example.org">a link is followed by a person</a>')
    assert IMPORTED.search("src:url(https://fonts.example.org/a.woff2)")


@pytest.mark.slow
def test_the_tutorial_works_as_it_stands(
    demo_run: DemoRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Command by command, over the run that its first one makes."""
    shutil.copytree(demo_run.root, tmp_path / "runs" / "demo")
    (tmp_path / "data").symlink_to(ROOT / "jobs" / "examples" / "clipart")
    monkeypatch.chdir(tmp_path)
    first, *rest = commands(DOCS / "tutorial.md")
    assert first == ["run", "demo", "--output", "runs/demo"]
    ended = {}
    for arguments in rest:
        if arguments[:2] == ["run", "job.yaml"]:
            continue  # as the first one, over the job that `plan` has checked
        # Where the shell would write it.
        words = [*arguments, "job.yaml"] if arguments[0] == "init" else arguments
        with pytest.raises(SystemExit) as stop:
            main(words)
        ended[shlex.join(words)] = stop.value.code
    assert len(ended) > 12
    assert set(ended.values()) == {0}, ended
