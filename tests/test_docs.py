"""The documents name paths, packages and commands that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from tamis.jobs.cli.app import app
from tests.conftest import ROOT
from tests.test_packages import LAYERS

DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
ARCHITECTURE = ROOT / "docs" / "architecture.md"

CODE = re.compile(r"^```.*?^```|`[^`]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
PATH = re.compile(
    r"(?:pipeline|jobs|schemas|tests|deploy|docs|\.ci)/[\w./*<>-]*|[\w.-]+\.(?:md|toml|txt)|Makefile"
)
MODULE = re.compile(r"(?:tamis|tests)(?:\.\w+)+")
ANY = re.compile(r"<\w+>|[A-Z]{2,}(?!\w*\.md$)")
"""A name that a reader chooses, or each of several that exist: `tests/steps/test_NAME.py`, `steps/<step>/config.py`."""

DEFINED = re.compile(r"`(\w+)`(?:,? and `(\w+)`)?,? (?:of\s+|in\s+|\()`([\w/]+\.py)`")
"""Names, and the file that a document says they are defined in."""


def code(text: str) -> list[str]:
    """What a document sets as code: fenced blocks, and words between backticks."""
    return [found.strip("`") for found in CODE.findall(text)]


def paths(text: str) -> Iterator[str]:
    """The files and folders of the project that a document names, as code."""
    for piece in code(text):
        for word in piece.split():
            bare = word.strip("'\"()[],:;").partition("::")[0]
            if PATH.fullmatch(bare):
                yield bare


def modules(text: str) -> Iterator[str]:
    """The modules and packages that a document names, as code."""
    for piece in code(text):
        for word in re.split(r"[\s\"':]+", piece):
            if MODULE.fullmatch(word):
                yield word


def missing(text: str, root: Path, folder: Path) -> list[str]:
    """Named paths and modules that are not below ``root``, and links that lead nowhere from ``folder``."""
    named = [path for path in paths(text) if not _exists(path, root)]
    named += [name for name in modules(text) if not _is_module(name, root)]
    links = [link for link in LINK.findall(text) if "://" not in link]
    return named + [link for link in links if not (folder / link).exists()]


def _exists(path: str, root: Path) -> bool:
    """Tell whether a path exists; one with names to be chosen or a pattern, whether any file is so called."""
    return any(root.glob(ANY.sub("*", path)))


def _is_module(name: str, root: Path) -> bool:
    path = name.removeprefix("tamis.").replace(".", "/")
    return _exists(f"{path}/", root) or _exists(f"{path}.py", root)


def undefined(text: str, root: Path) -> list[str]:
    """Names that are not in the file in which a document says they are."""
    return [
        f"{name} of {path}"
        for *names, path in DEFINED.findall(text)
        for name in filter(None, names)
        for file in root.glob(ANY.sub("*", path))
        if not re.search(rf"\b{name}\b", file.read_text())
    ]


def commands(text: str) -> set[str]:
    """The commands of tamis that a document names, as code."""
    return {name for piece in code(text) for name in re.findall(r"\btamis +([a-z]\w*)", piece)}


def targets(text: str) -> set[str]:
    """What a document has make do, as code."""
    return {name for piece in code(text) for name in re.findall(r"\bmake +([a-z]+)\b", piece)}


def packages(text: str) -> list[tuple[int, str, str]]:
    """(layer, package, sentence) of each line of the picture of the packages."""
    lines: list[tuple[int, str, str]] = []
    layer = 0
    for line in next(piece for piece in code(text) if " schemas " in piece).splitlines():
        if found := re.fullmatch(r" *(\d*) +(\w+) {2,}(.+)", line):
            layer = int(found[1] or layer)
            lines.append((layer, found[2], found[3]))
    return lines


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_in_the_documents_exists(document: Path) -> None:
    assert missing(document.read_text(), ROOT, document.parent) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_name_is_in_the_file_that_the_documents_give(document: Path) -> None:
    assert undefined(document.read_text(), ROOT) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_documents_exists(document: Path) -> None:
    known = set(vars(typer.main.get_command(app))["commands"])
    assert commands(document.read_text()) - known == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_target_of_make_in_the_documents_exists(document: Path) -> None:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets(document.read_text()) - known == set()


def test_the_picture_of_the_packages_shows_their_layers() -> None:
    picture = packages(ARCHITECTURE.read_text())
    assert [(layer, name) for layer, name, _ in picture] == [
        (number, name) for number, names in enumerate(LAYERS, start=1) for name in names
    ]


def test_the_picture_of_the_packages_has_their_own_sentences() -> None:
    for _, name, sentence in packages(ARCHITECTURE.read_text()):
        top = "" if name in {"schemas", "jobs"} else "pipeline"
        docstring = ast.get_docstring(ast.parse((ROOT / top / name / "__init__.py").read_text()))
        assert sentence == str(docstring).splitlines()[0], name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one module."""
    (tmp_path / "pipeline" / "store").mkdir(parents=True)
    (tmp_path / "pipeline" / "store" / "lease.py").touch()
    (tmp_path / "README.md").touch()
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "see `pipeline/store/lease.py`, `pipeline/store/` and `README.md`",
        "write `pipeline/store/NAME.py`, as `pipeline/<package>/*.py` are; [more](README.md#more)",
        "not ours: `data/00000.tar`, `runs/mine`, `docs`, https://example.org/pipeline/x",
        "in prose pipeline/store/leese.py is no path",
        "a line `tamis.pipeline.NAME.lease:CLASS` and `python -m tamis.pipeline.store`",
    ],
)
def test_paths_that_exist_pass(project: Path, text: str) -> None:
    assert missing(text, project, project) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("see `pipeline/store/leese.py`", "pipeline/store/leese.py"),
        ("run `python pipeline/stores/lease.py`:", "pipeline/stores/lease.py"),
        ("```\ncat docs/map.md\n```\n", "docs/map.md"),
        ("write `pipeline/stores/NAME.py`", "pipeline/stores/NAME.py"),
        ("write `pipeline/NAME/leese.py`", "pipeline/NAME/leese.py"),
        ("write `pipeline/store/test_NAME.py`", "pipeline/store/test_NAME.py"),
        ("write `pipeline/store/NAME/`", "pipeline/store/NAME/"),
        ('a line `"NAME": "tamis.pipeline.stores.NAME:CLASS"`', "tamis.pipeline.stores.NAME"),
        ("`python -m tamis.pipeline.leese`", "tamis.pipeline.leese"),
        ("`pipeline/store/test_*.py`", "pipeline/store/test_*.py"),
        ("`pipeline/<package>/leese.py`", "pipeline/<package>/leese.py"),
        ("`CHANGES.md`", "CHANGES.md"),
        ("[more](docs/map.md)", "docs/map.md"),
    ],
)
def test_a_wrong_path_is_found(project: Path, text: str, wrong: str) -> None:
    assert missing(text, project, project) == [wrong]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`take` of `pipeline/store/lease.py`", []),
        ("a `take` (`pipeline/store/lease.py`)", []),
        ("`take` and `give` in\n   `pipeline/store/lease.py`", ["give of pipeline/store/lease.py"]),
        ("`tak` of `pipeline/store/lease.py`", ["tak of pipeline/store/lease.py"]),
    ],
)
def test_a_name_that_its_file_lacks_is_found(project: Path, text: str, wrong: list[str]) -> None:
    (project / "pipeline" / "store" / "lease.py").write_text("def take() -> None: ...")
    assert undefined(text, project) == wrong


def test_commands_are_found_in_code_alone() -> None:
    text = "tamis reads; `tamis plan  job.yaml`\n```\n$ .venv/bin/tamis explane runs/demo\n```\n"
    assert commands(text) == {"plan", "explane"}
    assert targets("make sure of `make lint`") == {"lint"}
