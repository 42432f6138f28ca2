"""Which packages a manifest names."""

from __future__ import annotations

import re
import tomllib
from itertools import chain

import pytest

from tamis.schemas import manifest
from tests.conftest import ROOT


def test_only_what_is_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "PACKAGES", ("numpy", "not-installed-anywhere", "scipy"))
    assert [found.package for found in manifest.Version.installed()] == ["numpy", "scipy"]


def test_all_that_could_be_named_is_a_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    needed = [*project["dependencies"], *chain.from_iterable(extras)]
    names = {project["name"], *(re.split(r"[\[>]", need)[0] for need in needed)}
    assert sorted(set(manifest.PACKAGES) - names) == []
