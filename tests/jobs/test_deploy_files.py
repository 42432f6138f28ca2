"""``deploy/ray-cluster.yaml`` as Ray's own ``ray up`` checks it, and what the Dockerfile copies and installs."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def cluster() -> Any:
    return YAML(typ="safe").load(DEPLOY / "ray-cluster.yaml")


def dockerfile() -> list[str]:
    """Its instructions, a line each."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    return text.replace("\\\n", " ").splitlines()


def test_ray_up_takes_the_file(cluster: Any) -> None:
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(cluster, json.loads(schema.read_text()))


def test_ray_up_installs_nothing_beside_the_image(cluster: Any) -> None:
    """What is left out, Ray fills in for AWS: a Ray of its own, and a boto3 that brings another botocore."""
    for name in ("setup_commands", "head_setup_commands", "worker_setup_commands"):
        assert cluster[name] == []
    installs = [line for line in dockerfile() if line.startswith("RUN pip")]
    assert all("boto3" in line for line in installs)
    packages = next(line for line in dockerfile() if "apt-get install" in line)
    assert {"rsync", "procps", "wget"} <= set(packages.split())


def test_every_node_has_a_role_and_the_head_computes_nothing(cluster: Any) -> None:
    kinds = cluster["available_node_types"]
    assert all("IamInstanceProfile" in kind["node_config"] for kind in kinds.values())
    assert kinds[cluster["head_node_type"]]["resources"] == {"CPU": 0}


def test_the_image_has_the_pinned_versions() -> None:
    """Both targets: head and workers may differ in theirs, and Ray refuses to join two versions."""
    installs = [
        command
        for line in dockerfile()
        if line.startswith("RUN pip")
        for command in line.removeprefix("RUN").split("&&")
    ]
    assert len(installs) == 4
    assert all("-c constraints.txt" in command for command in installs)
    # Instead of PyPI, torch's index would have to hold the pinned versions of all that torch needs.
    assert not [command for command in installs if " --index-url" in command]


def test_what_the_image_is_made_of_is_there_and_reaches_the_builder() -> None:
    let_in = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [line.split()[1:-1] for line in dockerfile() if line.startswith("COPY")]
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists()
        assert f"!{name}" in let_in
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for found in re.findall(r'"\.\[([a-z0-9,]+)\]"', "\n".join(dockerfile())):
        assert set(found.split(",")) <= set(extras)
