"""The commands that speak to a cluster, against a real ``ray start --head`` and its job server."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tests.support.object_store as stores
from tamis.schemas.layout import RUN_LAYOUT
from tests.support.object_store import BUCKET, Fault
from tests.support.ray_cluster import ROOT, RayHead, free_ports, ray_head
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

pytestmark = pytest.mark.slow

STEPS = """
  - signals: [words, min_side]
  - rules: {words: {min: 2}}
  - exact_duplicates: {on: image}
  - write: {samples_per_shard: 10}
"""


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    # Ray's sockets lie below it, and their paths may have 107 bytes: pytest's own folders can be too long for that.
    with tempfile.TemporaryDirectory(prefix="tamis-") as folder, ray_head(Path(folder)) as made:
        yield made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number in range(3):
        samples = [
            Sample(f"{number}{i:03d}", picture(100 * number + i // 2), "two words", {"n": i})
            for i in range(20)
        ]
        write_tar(folder / f"{number}.tar", samples)
    return folder


def job(folder: Path, data: Path, steps: str = STEPS, files: str = "*.tar", **more: Any) -> Path:
    path = folder / "job.yaml"
    rest = "".join(f"{key}: {json.dumps(value)}\n" for key, value in more.items())
    path.write_text(
        f"name: test\ninput: [{{path: '{data}/{files}'}}]\noutput: {folder}/run\n{rest}steps:{steps}"
    )
    return path


def refused(found: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that could not be done."""
    assert (found.returncode, found.stdout) == (2, ""), found
    assert found.stderr.count("\n") == 1, found.stderr
    return found.stderr


def jobs_of(head: RayHead) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(head.tamis("jobs", "--json").stdout)
    return found


def status_of(head: RayHead, job_id: str) -> str:
    return str(json.loads(head.tamis("status", job_id, "--json").stdout)["status"])


def wait_for(there: Callable[[], object]) -> None:
    """Three minutes at most."""
    for _ in range(720):
        if there():
            return
        time.sleep(0.25)
    raise AssertionError("it did not come")


HOLD = """
import time
from pathlib import Path

def held(text: str) -> int:
    while not Path("GO").exists():
        time.sleep(0.1)
    return len(text)
"""


def test_a_cancelled_job_is_resumed(head: RayHead, data: Path, tmp_path: Path) -> None:
    """It cannot end before it is cancelled: a signal of its own waits for a file."""
    go, own = tmp_path / "go", tmp_path / "hold.py"
    own.write_text(HOLD.replace("GO", str(go)))
    steps = f"""
  - signals: [words, {{file: {own}, name: held}}]
  - rules: {{words: {{min: 2}}}}
  - exact_duplicates: {{on: image}}
  - write: {{samples_per_shard: 1000}}
"""
    path = job(tmp_path, data, steps)
    sent = head.tamis("submit", "--detach", str(path))
    job_id = sent.stdout.strip()
    assert sent.returncode == 0, sent.stderr
    assert status_of(head, job_id) in {"pending", "running"}
    assert f"watch it with tamis logs -f {job_id}" in refused(head.tamis("resume", job_id))
    wait_for(lambda: list(tmp_path.glob("run/tables/ingest/files/*.parquet")))
    wait_for(lambda: "ray_tamis_rows_total{" in head.metrics())
    cancelled = head.tamis("cancel", job_id)
    assert (cancelled.returncode, cancelled.stderr) == (0, "")
    assert "stopped" in cancelled.stdout
    assert status_of(head, job_id) == "stopped"
    assert "already" in refused(head.tamis("cancel", job_id))
    assert "tamis: stopped; the same command resumes" in head.tamis("logs", job_id).stdout
    assert not (tmp_path / "run" / "manifest.json").exists()
    assert not (tmp_path / "run" / "run.lock").exists()
    done = {
        path.name: path.stat().st_mtime_ns
        for path in tmp_path.glob("run/tables/ingest/files/[!.]*.parquet")
    }

    assert done
    go.touch()
    resumed = head.tamis("resume", job_id)
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "run" / "manifest.json").exists()
    for name, stamp in done.items():
        assert (tmp_path / "run/tables/ingest/files" / name).stat().st_mtime_ns == stamp


def test_what_a_cluster_cannot_do_is_one_line_before_anything_is_sent(
    head: RayHead, data: Path, tmp_path: Path
) -> None:
    before = [about["id"] for about in jobs_of(head)]
    path = job(tmp_path, data)

    closed = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert "nobody answers" in refused(head.tamis("submit", str(path), "--address", closed))
    assert "looks like http://HEAD:8265" in refused(
        head.tamis("submit", str(path), "--address", "ray://head:10001")
    )
    stranger = head.tamis("submit", str(path), environment={"RAY_AUTH_TOKEN": "0" * 64})
    assert "token" in refused(stranger)
    gpus = job(tmp_path, data, resources={"steps": {"signals": {"gpus": 1}}})
    assert (
        "signals: a task claims 1 CPU, 1 GPU, and none of the cluster's 1 nodes has that"
        in refused(head.tamis("submit", str(gpus)))
    )
    file = tmp_path / "file"
    file.write_text("in the way")
    blocked = head.tamis("submit", str(job(tmp_path, data)), "--output", f"{file}/run")
    assert "cannot write to" in refused(blocked)
    assert "no job `nowhere` there" in refused(head.tamis("status", "nowhere"))
    assert "--env NOT_SET_HERE: not set here" in refused(
        head.tamis("submit", str(job(tmp_path, data)), "--env", "NOT_SET_HERE")
    )
    assert [about["id"] for about in jobs_of(head)] == before
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


PODMAN = f"""#!/bin/bash
# `podman run [options] IMAGE command`, without a container: notes the image, and does the command here.
shift
while [[ $1 == -* ]]; do
  case $1 in
    -v) [[ $2 == *:/shared:* ]] && shared=${{2%%:*}}; shift 2 ;;
    --env) variables+=("$2"); shift 2 ;;
    --entrypoint) entry=("$2"); shift 2 ;;
    *) shift ;;
  esac
done
echo "$1" >> "$(dirname "$0")/images"
shift
exec env PYTHONPATH={ROOT} "${{variables[@]}}" "${{entry[@]}}" "${{@//\\/shared/$shared}}"
"""


def test_a_job_in_an_image(head: RayHead, data: Path, tmp_path: Path) -> None:
    """Ray starts each process by podman, for which a stand-in is put; without podman one line says so."""
    image = "registry.example.org/tamis:1"
    path = job(tmp_path, data)
    before = [about["id"] for about in jobs_of(head)]
    without = refused(head.tamis("submit", str(path), "--image", image))
    assert f"cannot start the image {image}: Ray does that with podman" in without
    assert "No such file or directory: 'podman'" in without
    assert [about["id"] for about in jobs_of(head)] == before

    head.commands.mkdir()
    (head.commands / "podman").write_text(PODMAN)
    (head.commands / "podman").chmod(0o755)
    made = head.tamis("submit", str(path), "--image", image, "--env", "A=b c")
    assert made.returncode == 0, made.stderr
    assert "60 in = 30 kept + 30 dropped" in made.stderr
    run_here(make_plan(tmp_path / "local", data / "*.tar", STEPS))
    for folder in ("shards", "ledger", "ledger_index"):
        assert contents(tmp_path / "run" / folder) == contents(tmp_path / "local" / folder)
    images = (head.commands / "images").read_text().split()
    assert set(images) == {image}
    assert len(images) > 4  # the supervisors of probe and job, and workers


def test_a_job_that_fails_says_why(head: RayHead, data: Path, tmp_path: Path) -> None:
    path = job(tmp_path, data)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").write_text(
        json.dumps({"layout": RUN_LAYOUT, "job": "another", "part_samples": 10000, "makes": {}})
    )
    failed = head.tamis("submit", str(path))
    assert failed.returncode == 2
    assert "belongs to the job `another`" in failed.stderr
    assert status_of(head, failed.stdout.strip()) == "failed (2)"


def test_a_job_on_a_store_makes_the_same_bytes_and_needs_its_rights_there(
    head: RayHead, data: Path, tmp_path: Path
) -> None:
    """Input and result on S3; the credentials go along by --env. Without the right to write nothing is sent."""
    with stores.object_store() as store:
        for path in data.glob("*.tar"):
            stores.put(store, f"in/{path.name}", path.read_bytes())
        sent = (
            *("submit", str(job(tmp_path, data))),
            *("--input", f"s3://{BUCKET}/in/*.tar", "--output", f"s3://{BUCKET}/run"),
            *(word for name in store.environment for word in ("--env", name)),
        )
        before = [about["id"] for about in jobs_of(head)]
        store.faults = [Fault("403", lambda method, key: method == "PUT")]
        denied = refused(head.tamis(*sent, environment=store.environment))
        assert f"the cluster cannot write to `s3://{BUCKET}/run`" in denied
        assert [about["id"] for about in jobs_of(head)] == before
        store.faults = []
        made = head.tamis(*sent, environment=store.environment)
        assert made.returncode == 0, made.stderr
        found = stores.contents(store, "run/")
        # Without --env: the cluster has it still. What is asked from here needs the credentials here.
        job_id = made.stdout.strip()
        again = head.tamis("resume", job_id, environment=store.environment)
        assert again.returncode == 0, again.stderr
        assert "nothing was left to do" in again.stderr, again.stderr
    assert "tamis: exact_duplicates: 60 in = 30 kept + 30 dropped" in made.stderr
    assert "Uploading" not in made.stderr
    assert "WebSocket" not in made.stderr
    assert status_of(head, job_id) == "succeeded"
    logs = head.tamis("logs", job_id).stdout
    assert "60 in = 30 kept + 30 dropped" in logs
    assert head.tamis("logs", "-f", job_id).stdout == logs
    assert job_id in head.tamis("jobs").stdout
    assert jobs_of(head)[0]["resumes"] == job_id
    run_here(make_plan(tmp_path / "local", data / "*.tar", STEPS))
    local = contents(tmp_path / "local")
    result = ("shards/", "ledger/", "ledger_index/", "subset.npy", "manifest.json")
    assert {name: found.get(name) for name in local if name.startswith(result)} == {
        name: data for name, data in local.items() if name.startswith(result)
    }
