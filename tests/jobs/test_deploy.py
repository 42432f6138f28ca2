"""Manifests against KubeRay's own definition of a RayJob, taken strictly: an unknown key is an error."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema.validators import validator_for
from ruamel.yaml import YAML

from tamis.jobs.cli.app import main
from tamis.jobs.commands.deploy import memory_of
from tamis.pipeline.runs.metrics import COUNTERS
from tamis.schemas.parse import parse_job

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("--input", "s3://bucket/laion/{00000..00007}.tar", "--output", "s3://bucket/run")


CUDA = "embed.device=cuda"


def documents(text: str) -> list[Any]:
    """As Kubernetes reads them: YAML 1.1."""
    yaml = YAML(typ="safe")
    yaml.version = (1, 1)
    return list(yaml.load_all(text))


def strict(schema: Any) -> Any:
    """A CRD's schema as JSON schema; Kubernetes would drop an unknown key without a word."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


@pytest.fixture(scope="module")
def crd() -> Any:
    """What holds a manifest to the schema of a RayJob, version v1."""
    default = ROOT.parent / "shared" / "reference" / "kuberay" / "ray.io_rayjobs.yaml"
    path = Path(os.environ.get("TAMIS_KUBERAY_CRD", default))
    if not path.is_file():
        pytest.skip(f"no KubeRay CRD at {path}: set TAMIS_KUBERAY_CRD to ray.io_rayjobs.yaml")
    (definition,) = documents(path.read_text())
    version = next(item for item in definition["spec"]["versions"] if item["name"] == "v1")
    schema = strict(version["schema"]["openAPIV3Schema"])
    # A CRD leaves these two to Kubernetes itself.
    schema["properties"]["metadata"] = {"type": "object"}
    validator = validator_for(schema)
    validator.check_schema(schema)  # which takes longer than all manifests
    return validator(schema)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[Any]:
    with pytest.raises(SystemExit) as ended:
        main(["deploy", "kuberay", *arguments])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.err) == (0, "")
    return documents(captured.out)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--gpu-workers", "8", "--gpus", "4", "--set", "resources.gpus=0.5", "--set", CUDA),
        ("--workers", "100", "--cpus", "64", "--memory", "256Gi", "--secret", "keys"),
        ("--service-account", "curator"),
    ],
)
def test_a_manifest_is_a_ray_job(
    crd: Any, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    config, job = printed(capsys, "dbp", "--image", "registry/tamis:0.1", *PLACES, *options)
    crd.validate(job)
    wrong = copy.deepcopy(job)
    wrong["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 1
    with pytest.raises(jsonschema.ValidationError):
        crd.validate(wrong)
    inside = parse_job(config["data"]["job.yaml"], "job.yaml")
    assert (inside.input[0].path, inside.output) == ((PLACES[1],), PLACES[3])
    spec = job["spec"]["rayClusterSpec"]
    mount = spec["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]
    assert job["spec"]["entrypoint"].split()[2] == f"{mount['mountPath']}/job.yaml"
    assert len(spec["workerGroupSpecs"]) == 1 + ("--gpu-workers" in options)
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        shared = group["template"]["spec"]["volumes"][1]["emptyDir"]["sizeLimit"]
        assert int(group["rayStartParams"]["object-store-memory"]) < memory_of(shared)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output", "runs/here"), "lies on a disk, which pods do not share"),
        (("--set", "resources.gpus=1"), "embed: a task holds 1 GPU: add --gpu-workers N"),
        (
            ("--gpu-workers", "1", "--set", "resources.gpus=2", "--set", CUDA),
            "claims 1 CPU, 2 GPU, a node has 8 CPU, 1 GPU",
        ),
        (("--set", "resources.steps={embed: {gpus: 1}}"), "embed: a task holds 1 GPU"),
        (
            ("--gpu-workers", "4"),
            "--gpu-workers 4: no step works on a GPU: say --set embed.device=cuda, or leave",
        ),
        (
            ("--gpu-workers", "4", "--set", "resources.gpus=1"),
            "embed: a task holds 1 GPU (resources.gpus), and computes on processors: --set embed.device=cuda",
        ),
        (("--set", "resources.steps={density: {cpus: 9}}"), "density: a task claims 9 CPU, a node"),
        (("--set", "resources.memory=40000000000"), "claims 1 CPU, 40,000,000,000 bytes, a node"),
        (("--set", "density.centroids=runs/before"), "runs/before` lies on a disk"),
        (("--image", "my image:LATEST"), "--image 'my image:LATEST': no container image"),
        (("--image", ""), "--image '': no container image"),
        (("--memory", "lots"), "--memory lots: no quantity of Kubernetes"),
        (("--memory", "32"), "--memory 32: at least 6Gi a node"),
        (("--memory", "32GB"), "--memory 32GB: no quantity"),
        (("--secret", "My Secret"), "--secret 'My Secret': no name of Kubernetes"),
        (("--service-account", "a/b"), "--service-account 'a/b': no name of Kubernetes"),
    ],
)
def test_what_pods_cannot_do_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["deploy", "kuberay", "dbp", "--image", "i", *PLACES, *arguments])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (2, "")
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("laion_2b.v1", "laion-2b-v1"),
        ("9lives", "job-9lives"),
        ("a" * 64, "a" * 47),
        ("1" * 46 + "-b", "job-" + "1" * 43),
    ],
)
def test_a_job_is_called_as_kuberay_allows(
    capsys: pytest.CaptureFixture[str], name: str, allowed: str
) -> None:
    """A letter first: services are named after it (RFC 1035)."""
    config, job = printed(capsys, "dbp", "--image", "i", *PLACES, "--set", f"name={name}")
    assert config["metadata"]["name"] == job["metadata"]["name"] == allowed
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", allowed)


def test_secrets_in_a_manifest_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    places = ("--input", "s3://key:hidden@bucket/0.tar", "--output", "s3://bucket/run")
    with pytest.raises(SystemExit):
        main(["deploy", "kuberay", "dbp", "--image", "i", *places])
    told = capsys.readouterr().err
    assert "`s3://***@bucket/0.tar` holds a password or signature" in told
    assert "--secret" in told
    assert "hidden" not in told


def test_what_scales_to_none_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """GPU nodes that idled while others decoded are gone when the encoder asks for one."""
    gpus = ("--gpu-workers", "2", "--set", CUDA)
    config, job = printed(capsys, "dbp", "--image", "i", *PLACES, *gpus)
    assert job["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"]
    assert parse_job(config["data"]["job.yaml"], "job.yaml").resources.grows


def test_the_manifests_in_deploy_are_what_the_command_prints(
    crd: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    job = printed(
        capsys,
        *("dbp", "--image", "registry.example.org/tamis:0.1.0-cuda", "--gpu-workers", "4"),
        *("--set", CUDA, "--set", "embed.precision=bf16"),
        *("--input", "s3://bucket/pairs/{00000..00999}.tar", "--output", "s3://bucket/runs/dbp"),
    )
    assert documents((ROOT / "deploy" / "rayjob.yaml").read_text()) == job
    (cluster,) = documents((ROOT / "deploy" / "raycluster.yaml").read_text())
    spec = crd.schema["properties"]["spec"]["properties"]["rayClusterSpec"]
    jsonschema.validate(cluster["spec"], spec)
    assert cluster["spec"]["rayVersion"] == job[1]["spec"]["rayClusterSpec"]["rayVersion"]


def test_the_dashboard_shows_every_counter_and_no_other() -> None:
    board = json.loads((ROOT / "deploy" / "grafana.json").read_text())
    asked = " ".join(
        target["expr"] for panel in board["panels"] for target in panel.get("targets", ())
    )
    for name in COUNTERS:
        assert f"ray_{name}_total" in asked
    found = {word.split("[")[0].split("{")[0] for word in asked.replace("(", " ").split()}
    ours = {word for word in found if word.startswith("ray_tamis_")}
    assert ours == {f"ray_{name}_total" for name in COUNTERS}


def test_the_dashboard_asks_for_labels_that_the_counters_have() -> None:
    """And that are not Prometheus's own: it would put ours aside."""
    for _, labels in COUNTERS.values():
        assert not {"job", "instance"} & set(labels)
    board = json.loads((ROOT / "deploy" / "grafana.json").read_text())
    variable = next(item for item in board["templating"]["list"] if item["type"] == "query")
    assert variable["query"] == f"label_values(ray_tamis_tasks_total, {variable['name']})"
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    for expression in asked:
        name = re.search(r"ray_(tamis_\w+)_total", expression)
        if name:
            groups = re.findall(r"by \(([^)]*)\)", expression)
            used = {label.strip() for group in groups for label in group.split(",")}
            used |= set(re.findall(r"[{,](\w+)=~", expression))
            assert used <= set(COUNTERS[name[1]][1]), expression
            assert f'{variable["name"]}=~"${variable["name"]}"' in expression
