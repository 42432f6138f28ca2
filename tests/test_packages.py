"""The order of the packages: what may import what; and that every package says what it is for."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT

LAYERS = (
    ("schemas", "algorithms"),
    ("host", "plugins"),
    ("store",),
    ("tables", "encoders", "inputs"),
    ("signals", "results", "tasks"),
    ("steps",),
    ("runs",),
    ("planning", "audit"),
    ("evaluate",),
    ("jobs",),
)
"""A package imports only from layers above its own line; those of one layer do not know each other."""

LAYER = {name: number for number, layer in enumerate(LAYERS) for name in layer}


def modules(root: Path) -> dict[str, Path]:
    """Every module of the product, by the name that an installation gives it."""
    found: dict[str, Path] = {}
    for top in ("schemas", "pipeline", "jobs"):
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(("tamis", *(part for part in parts if part != "__init__")))] = path
    return found


def package(module: str) -> str:
    """The package of the list above that a module belongs to."""
    _, top, *below = [*module.split("."), ""]
    return below[0] if top == "pipeline" else top or "jobs"  # `import tamis` is jobs/python


def imports(path: Path, known: Mapping[str, Path]) -> Iterator[tuple[str, bool]]:
    """The project's modules that a file imports, and whether it does so as it is imported itself."""
    tree = ast.parse(path.read_text())
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [
                name if (name := f"{node.module}.{alias.name}") in known else str(node.module)
                for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] == "tamis":
                yield name, id(node) not in late


def against_the_order(root: Path) -> list[str]:
    """Imports that run from a package to one of its own layer or below."""
    known = modules(root)
    return [
        f"{path.relative_to(root)} imports {name}"
        for module, path in known.items()
        for name, _ in imports(path, known)
        if package(name) != package(module)
        and package(module) in LAYER
        and LAYER[package(name)] >= LAYER[package(module)]
    ]


def circles(root: Path) -> list[str]:
    """Modules that import each other, straight or through others."""
    known = modules(root)
    arrows = {
        m: {name for name, _ in imports(path, known)} & set(known) for m, path in known.items()
    }
    left = dict(arrows)
    while True:
        free = [module for module, names in left.items() if not (names - {module}) & set(left)]
        if not free:
            return sorted(left)
        for module in free:
            del left[module]


def test_imports_follow_the_order_of_the_packages() -> None:
    assert against_the_order(ROOT) == []


def test_no_module_imports_one_that_imports_it() -> None:
    assert circles(ROOT) == []


def test_no_module_lies_loose() -> None:
    assert [path.name for path in (ROOT / "pipeline").glob("*.py")] == ["__init__.py"]


def test_ten_layers_hold_all_packages() -> None:
    there = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert there | {"schemas", "jobs"} == set(LAYER)
    assert len(LAYERS) <= 10


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A project of two packages, in order."""
    for name, text in {
        "pipeline/store/files.py": "",
        "pipeline/steps/rules.py": "from tamis.pipeline.store import files\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


def test_an_import_against_the_order_is_found(planted: Path) -> None:
    assert against_the_order(planted) == []
    (planted / "pipeline/store/files.py").write_text(
        "def read() -> None:\n    from tamis.pipeline.steps.rules import x\n"
    )
    assert against_the_order(planted) == [
        "pipeline/store/files.py imports tamis.pipeline.steps.rules"
    ]


def test_a_circle_is_found(planted: Path) -> None:
    assert circles(planted) == []
    (planted / "pipeline/steps/more.py").write_text("import tamis.pipeline.steps.most\n")
    (planted / "pipeline/steps/most.py").write_text("from tamis.pipeline.steps import more\n")
    assert circles(planted) == ["tamis.pipeline.steps.more", "tamis.pipeline.steps.most"]


def test_every_package_says_what_it_is_for() -> None:
    folders = {path.parent for path in modules(ROOT).values()} - {ROOT / "jobs" / "python"}
    for folder in folders:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


def test_the_installation_has_every_package() -> None:
    """setuptools does not look for packages under other names than their folders'."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT) for path in modules(ROOT).values()}
    there = {".".join(("tamis", *folder.parts)) for folder in folders}
    assert set(settings["packages"]) == there - {"tamis.jobs.python"} | {"tamis"}


def test_the_installation_has_every_file_that_is_no_module() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    named: set[Path] = set()
    for name, patterns in settings["package-data"].items():
        folder = ROOT.joinpath(*name.split(".")[1:] or ("jobs", "python"))
        named |= {path for pattern in patterns for path in folder.glob(pattern)}
    files = {path for top in ("schemas", "pipeline", "jobs") for path in (ROOT / top).rglob("*")}
    there = {path for path in files if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert there <= named
