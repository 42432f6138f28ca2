"""What goes along with a job: as Ray takes it, and as a resumed job has it again."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.runtime_env import RuntimeEnv

from tamis.jobs.cluster import submit
from tamis.jobs.cluster.submit import Shipment
from tamis.jobs.commands.cluster import SendOptions
from tamis.schemas.errors import ClusterError
from tamis.schemas.parse import parse_job

IMAGE = "registry.example.org/tamis:1"


def known(shipment: Shipment) -> Any:
    """What a cluster tells of a job that was sent so."""
    metadata = {} if shipment.project else {"project": "installed"}
    return cast(Any, SimpleNamespace(runtime_env=dict(shipment.runtime_env), metadata=metadata))


@pytest.mark.parametrize(
    "shipment",
    [Shipment(), Shipment(False, {"A": "b"}), Shipment(False, {"A": "b c"}, IMAGE)],
)
def test_ray_takes_it_and_a_resumed_job_has_it_again(shipment: Shipment) -> None:
    taken = RuntimeEnv(**shipment.runtime_env).to_dict()
    assert taken == {key: value for key, value in shipment.runtime_env.items() if value}
    assert Shipment.of(known(shipment)) == shipment
    assert SendOptions().shipment(Shipment.of(known(shipment))) == shipment


def test_what_is_said_anew_goes_before_what_was_said() -> None:
    before = Shipment(True, {"KEY": "old", "REGION": "here"})
    assert SendOptions(env=["KEY=new"]).shipment(before) == Shipment(
        True, {"KEY": "new", "REGION": "here"}
    )
    assert SendOptions(image=IMAGE).shipment(before) == Shipment(
        False, dict(before.environment), IMAGE
    )
    assert SendOptions(image=IMAGE).shipment() == Shipment(False, {}, IMAGE)


@pytest.mark.parametrize("image", ["", "an image", "Registry/UPPER", "i; rm -r x"])
def test_an_image_that_is_none_is_refused(image: str) -> None:
    """Ray would paste it into a command line."""
    with pytest.raises(ClusterError, match="no container image"):
        SendOptions(image=image).shipment()


def test_a_value_that_ends_its_own_quotes_cannot_go_into_an_image() -> None:
    with pytest.raises(ClusterError, match="--env A: Ray can give no value with a '"):
        SendOptions(env=["A=it's"], image=IMAGE).shipment()
    assert SendOptions(env=["A=it's"]).shipment().environment == {"A": "it's"}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("=value", "write --env NAME, or --env NAME=VALUE"),
        ("A B=c", "write --env NAME"),
        ("OMP_NUM_THREADS=8", "is 1 in every task"),
        ("NOT_SET_HERE", "not set here"),
    ],
)
def test_a_variable_that_cannot_go_along_is_refused(said: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        submit.env_variables([said])


def test_a_job_that_is_longer_than_a_variable_is_refused(tmp_path: Path) -> None:
    """Its process could not be started: "Argument list too long"."""
    paths = ", ".join(f"s3://a-bucket/with/a/long/name/{number:05d}.tar" for number in range(3000))
    text = f"name: a\ninput: [{{path: [{paths}]}}]\noutput: /o\nsteps: [signals: [words]]"
    nobody = cast(Any, SimpleNamespace(get_address=lambda: "http://head:8265"))
    with pytest.raises(ClusterError, match=r"a process can be given 131,072: .* ranges and globs"):
        submit.send(nobody, parse_job(text, "job"), Shipment())
    metadata = {"job": "x" * (submit.LARGEST_VARIABLE - 8192)}
    submit._check_length(metadata, Shipment())
    with pytest.raises(OSError, match="Argument list too long"):  # the bound is Linux's own
        subprocess.run(["true"], env={"A": "x" * submit.LARGEST_VARIABLE}, check=True)


def test_a_job_in_an_image_brings_its_text_in_the_command(tmp_path: Path) -> None:
    text = 'name: it\'s\noutput: "$HOME/`x`" # %s \\n\n'
    command = submit.inline_command(text, "job-1")
    written, _, run = command.partition(" && ")
    assert run == "python -m tamis.jobs run /tmp/job-1.yaml --address auto --progress lines"
    written = written.replace("/tmp/", f"{tmp_path}/")
    subprocess.run(["sh", "-c", written], check=True)
    assert (tmp_path / "job-1.yaml").read_text() == text
