"""What goes along with a job: as Ray takes it, and as a resumed job has it again."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.runtime_env import RuntimeEnv

from jobs import submit
from jobs.commands.cluster import Sending
from jobs.submit import Shipment

IMAGE = "registry.example.org/tamis:1"


def known(shipment: Shipment) -> Any:
    """What a cluster tells of a job that was sent so."""
    metadata = {} if shipment.project else {"project": "installed"}
    return cast(Any, SimpleNamespace(runtime_env=dict(shipment.surroundings), metadata=metadata))


@pytest.mark.parametrize(
    "shipment",
    [Shipment(), Shipment(False, {"A": "b"}), Shipment(False, {"A": "b c"}, IMAGE)],
)
def test_ray_takes_it_and_a_resumed_job_has_it_again(shipment: Shipment) -> None:
    taken = RuntimeEnv(**shipment.surroundings).to_dict()
    assert taken == {key: value for key, value in shipment.surroundings.items() if value}
    assert Shipment.of(known(shipment)) == shipment
    assert Sending().shipment(Shipment.of(known(shipment))) == shipment


def test_what_is_said_anew_goes_before_what_was_said() -> None:
    before = Shipment(True, {"KEY": "old", "REGION": "here"})
    assert Sending(env=["KEY=new"]).shipment(before) == Shipment(
        True, {"KEY": "new", "REGION": "here"}
    )
    assert Sending(image=IMAGE).shipment(before) == Shipment(False, dict(before.environment), IMAGE)
    assert Sending(image=IMAGE).shipment() == Shipment(False, {}, IMAGE)


def test_a_job_in_an_image_brings_its_text_in_the_command(tmp_path: Path) -> None:
    text = 'name: it\'s\noutput: "$HOME/`x`" # %s \\n\n'
    command = submit.inline(text, "job-1")
    written, _, run = command.partition(" && ")
    subprocess.run(["sh", "-c", written], cwd=tmp_path, check=True)
    assert (tmp_path / "job-1.yaml").read_text() == text
    assert run == "python -m jobs run ./job-1.yaml --address auto --progress lines"
