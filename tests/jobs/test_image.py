"""The Dockerfile's steps, done line by line in an empty folder: what they leave is a whole installation."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.running import Sample, contents, picture, write_tar

DOCKERFILE = ROOT / "deploy" / "Dockerfile"

OFFLINE = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
"""What pip is told beside its line: dependencies and setuptools are those that are here, and nothing is fetched."""


def lines(target: str) -> Iterator[tuple[str, str]]:
    """The instructions that make a target, in order: (COPY, its words), and so on."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    stages: dict[str, list[tuple[str, str]]] = {}
    stage = ""
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        instruction, _, words = line.partition(" ")
        if instruction == "FROM":
            base, _, stage = words.partition(" AS ")
            stages[stage] = list(stages.get(base, []))
        else:
            stages[stage].append((instruction, words))
    yield from stages[target]


FILES = """
from importlib.resources import files
for package, name in {"audit.browse": "web/browse.html", "encoders": "demo.safetensors"}.items():
    assert (files(f"tamis.pipeline.{package}") / name).read_bytes()
"""
"""What is no module, and that no command above asks for."""


class Image:
    """A folder in the place of an image's root, with what has been copied into it and installed there."""

    def __init__(self, root: Path) -> None:
        self.root, self.place, self.site = root, root, root / "site-packages"
        self.environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self.site)}
        self.installed: list[str] = []
        let_in = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
        self._let_in = {line.removeprefix("!") for line in let_in if line.startswith("!")}

    def do(self, instruction: str, words: str) -> None:
        """One instruction. Packages of the system, users and arguments are the builder's."""
        match instruction:
            case "WORKDIR":
                self.place = self.root / words.lstrip("/")
                self.place.mkdir(parents=True, exist_ok=True)
            case "COPY":
                *sources, target = words.split()
                for source in sources:
                    self._copy(source, self.place / target)
            case "RUN" if words.startswith("pip "):
                for command in words.split("&&"):
                    self._install(shlex.split(command)[2:])
            case "ENV":
                self.environment |= dict(pair.split("=", 1) for pair in words.split())
            case "RUN" | "USER" | "ARG":
                pass
            case _:
                raise AssertionError(f"the test does not know {instruction}")

    def _copy(self, source: str, target: Path) -> None:
        assert source in self._let_in, f"{source} does not reach the builder"
        if (ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, target, ignore=ignored)
        else:
            shutil.copy(ROOT / source, target)

    def _install(self, words: list[str]) -> None:
        """What the line installs of this project; that it names the versions of the rest is tested elsewhere."""
        for word in words:
            if word.startswith("."):
                pip = [sys.executable, "-m", "pip", "install", *OFFLINE]
                subprocess.run([*pip, "--target", str(self.site), word], cwd=self.place, check=True)
                self.installed.append(word)

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        """A program in the folder in which the image's commands begin."""
        return subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=self.place, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def files(self) -> dict[str, bytes]:
        """What it has of this project, but for what is compiled and what tells of its own place."""
        told = ("RECORD", "direct_url.json")
        return {
            name: data
            for name, data in contents(self.site).items()
            if "__pycache__" not in name and not name.endswith(told)
        }


TARGETS = ("cpu", "cuda")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    pytest.importorskip("setuptools")
    made = {target: Image(tmp_path_factory.mktemp(target) / "image") for target in TARGETS}
    for target, image in made.items():
        for instruction, words in lines(target):
            image.do(instruction, words)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_the_project_once_and_nothing_lies_where_its_commands_begin(
    target: str, images: dict[str, Image]
) -> None:
    image = images[target]
    assert len(image.installed) == 1
    assert list(image.place.iterdir()) == []
    where = image.run("-c", "import tamis; print(tamis.__file__)")
    assert where.stdout.strip() == str(image.site / "tamis/__init__.py"), where.stderr


@pytest.mark.slow
def test_an_image_has_all_that_a_run_needs(images: dict[str, Image], tmp_path: Path) -> None:
    """Each has: their files are the same, and they begin in the same folder with the same variables, but that one tells
    NVIDIA's own tools what to let in."""
    other, image = (images[target] for target in TARGETS)
    assert image.files() == other.files()
    assert image.files()
    places = [one.place.relative_to(one.root) for one in (image, other)]
    assert places[0] == places[1]
    more = dict(image.environment.items() - other.environment.items())
    assert all(name == "PYTHONPATH" or name.startswith("NVIDIA_") for name in more), more
    assert other.environment.keys() <= image.environment.keys()
    samples = [
        Sample(f"k{i}", picture(i * 99, 64, 64), f"a picture of number {i}", {"n": i})
        for i in range(5)
    ]
    write_tar(tmp_path / "in/0.tar", samples)
    changed = ["--output", tmp_path / "out", "--progress", "none"]
    for command in (
        ["-m", "tamis.jobs", "init", "--input", tmp_path / "in/0.tar"],
        ["-m", "tamis.jobs", "run", "--input", tmp_path / "in/0.tar", "--local", *changed],
        ["-m", "tamis.jobs", "report", tmp_path / "out"],
        ["-m", "tamis.jobs", "verify", tmp_path / "out", "--deep"],
        ["-c", FILES],
    ):
        done = image.run(*command)
        assert done.returncode == 0, (command, done.stderr)
