"""What a cluster is refused for, and that its version is asked for before anything is sent."""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import tests.support.object_store as stores
from tamis.jobs.cli.app import main
from tamis.jobs.cluster import probe
from tamis.jobs.cluster.needs import MODULES, Needs, ProbeAnswer, judge, needs_of
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.tasks.claims import Claim
from tamis.schemas import registry
from tamis.schemas.errors import ClusterError
from tamis.schemas.parse import parse_job
from tests.conftest import ROOT
from tests.support.object_store import BUCKET
from tests.support.running import Sample, make_plan, picture, write_tar

NODES = [{"CPU": 8.0, "GPU": 0.0, "memory": 1e9}, {"CPU": 2.0, "GPU": 1.0, "memory": 4e9}]
STEPS = "  - signals: [words]\n  - write: {}"


@pytest.mark.parametrize(
    ("found", "needs", "message"),
    [
        ({"ray": "2.9.3"}, {}, "the cluster has Ray 2.9.3, and here it is 2.60.0"),
        ({"python": "3.12.1"}, {}, "the cluster has Python 3.12.1, and here it is 3.11.7"),
        ({"missing": ["faiss", "scipy"]}, {}, "Python lacks faiss, scipy"),
        ({"unreadable": {"s3://k:s@b/x": "PermissionError"}}, {}, r"cannot read `s3://\*\*\*@b/x`"),
        (
            {"unwritable": {"s3://b/out": "Forbidden"}},
            {},
            "cannot write to `s3://b/out`: Forbidden",
        ),
        (
            {},
            {"claims": [Claim("embed", 1, 2, 0)]},
            "embed: a task claims 1 CPU, 2 GPU, and none .* 2 nodes has that .*: 8 CPU, 1 GPU",
        ),
        (
            {"nodes": [{"CPU": 8, "GPU": 0, "memory": 2e9}]},
            {"claims": [Claim("density", 1, 1, 0)]},
            "density: a task claims 1 CPU, 1 GPU, .*: set device: cpu, add nodes",
        ),
        (
            {},
            {"claims": [Claim("near", 1, 0, 5 * 10**9)]},
            "claims 1 CPU, 5,000,000,000 bytes, .* 4,000,000,000 bytes",
        ),
        (
            {"unshared": {"/data/run": "node7"}},
            {},
            "`/data/run` lies on a disk that the cluster's node node7 does not see",
        ),
        ({"missing": ["gcsfs"]}, {}, "Python lacks gcsfs: install what is missing on its nodes"),
        # Each is somewhere, but not on one node.
        ({}, {"claims": [Claim("embed", 8, 1, 0)]}, "embed: a task claims 8 CPU, 1 GPU"),
    ],
)
def test_what_does_not_fit_is_named(
    found: dict[str, Any], needs: dict[str, Any], message: str
) -> None:
    there = {"ray": "2.60.1", "python": "3.11.9", "nodes": NODES, **found}
    with pytest.raises(ClusterError, match=message) as caught:
        judge(ProbeAnswer(**there), Needs(**needs), "2.60.0", "3.11.7")
    assert "\n" not in str(caught.value)


def test_trying_a_bucket_that_is_not_there_makes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """s3fs's makedirs would, and the run would go into a bucket that nobody meant."""
    with stores.object_store() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        assert probe.access_error(f"s3://{BUCKET}/run", True) is None
        assert "does not exist" in (probe.access_error("s3://bukcet/run", True) or "")
        found = [bucket["Name"] for bucket in store.client.list_buckets()["Buckets"]]
        assert found == [BUCKET]
        assert stores.contents(store, "run/") == {}


def test_trying_a_folder_of_a_disk(tmp_path: Path) -> None:
    assert probe.access_error(f"{tmp_path}/new/run", True) is None
    assert probe.absent([f"{tmp_path}/new/run", f"{tmp_path}/none"]) == [f"{tmp_path}/none"]
    assert "FileNotFoundError" in (probe.access_error(f"{tmp_path}/none", False) or "")


def test_what_fits_passes_and_a_growing_cluster_may_lack_nodes() -> None:
    there = ProbeAnswer(ray="2.60.1", python="3.11.9", nodes=NODES, unwritable={"s3://b/out": None})
    judge(there, Needs([Claim("embed", 1, 0.5, 4 * 10**9)]), "2.60.0", "3.11.7")
    judge(there, Needs([Claim("embed", 1, 8, 0)], grows=True), "2.60.0", "3.11.7")


def _source(module: str) -> Path | None:
    """The product's file of that module, if it is one of its own."""
    place = ROOT.joinpath(*module.removeprefix("tamis.").split("."))
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)


def _imports(source: Path) -> Iterator[str]:
    """What the statements of a file import, those inside functions as well."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def test_a_cluster_is_asked_only_for_what_a_run_imports() -> None:
    """Followed through the sources from the command `run` and the steps, which it imports by their names."""
    steps = [f"{place.partition(':')[0]}.step" for place in registry.STEPS.values()]
    todo, seen, others = ["tamis.jobs.commands.run", *steps], set[str](), set[str]()
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            source = _source(module)
            if source is None:
                others.add(module.partition(".")[0])
            else:
                todo += _imports(source)
    assert {"numpy", "ray"} <= others
    assert sorted({module.partition(".")[0] for module in MODULES} - others) == []


@pytest.fixture
def pattern(tmp_path: Path) -> str:
    write_tar(tmp_path / "in" / "0.tar", [Sample("a", picture(1), "two words", {})])
    return f"{tmp_path}/in/*.tar"


def test_needs_follow_from_the_job(tmp_path: Path, pattern: str) -> None:
    steps = f"  - embed: {{encoder: demo, device: cuda}}\n{STEPS}"
    needs = needs_of(make_plan(tmp_path / "run", pattern, steps), installed=False, grows=False)
    assert Claim("embed", 1, 1.0, 0) in needs.claims
    assert needs.read == [f"{tmp_path}/in/0.tar"]
    assert needs.write == [f"{tmp_path}/run"]
    assert "torch" in needs.modules
    assert "tamis" not in needs.modules
    said = {"gpus": 0.5, "memory": 1 << 30, "grows": True, "steps": {"signals": {"cpus": 4}}}
    half = make_plan(tmp_path / "run", pattern, steps, resources=said)
    needs = needs_of(half, installed=True, grows=False)
    assert Claim("embed", 1, 0.5, 0) in needs.claims
    assert Claim("signals", 4, 0, 0) in needs.claims
    assert max(claim.memory for claim in needs.claims) == 1 << 30
    assert needs.grows
    assert "tamis" in needs.modules


@pytest.mark.parametrize(("device", "needed"), [("cpu", False), ("cuda", True)])
def test_clusters_need_torch_on_a_gpu_alone(device: str, needed: bool) -> None:
    steps = f"[embed: {{encoder: precomputed}}, density: {{keep: 1, device: {device}}}]"
    asked = f"name: a\ninput: [{{path: /x.tar}}]\noutput: /o\nsteps: {steps}"
    plan = Plan(parse_job(asked, "job"), "/o", (), ())
    assert ("torch" in needs_of(plan, installed=False, grows=False).modules) == needed


@pytest.fixture
def another_ray() -> Iterator[tuple[str, list[str]]]:
    """A job server of Ray 2.9; its address, and what was asked of it."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"GET {self.path}")
            body = json.dumps({"version": "4", "ray_version": "2.9.3", "ray_commit": ""}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            asked.append(f"POST {self.path}")
            self.send_error(500)

        do_PUT = do_POST  # noqa: N815 - http.server's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_another_ray_is_told_before_anything_is_sent(
    another_ray: tuple[str, list[str]],
    tmp_path: Path,
    pattern: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, asked = another_ray
    (tmp_path / "job.yaml").write_text(
        f"name: test\ninput: [{{path: '{pattern}'}}]\noutput: {tmp_path}/run\nsteps:\n{STEPS}\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["submit", str(tmp_path / "job.yaml"), "--address", address])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (2, "")
    assert "the cluster has Ray 2.9.3" in captured.err
    assert captured.err.count("\n") == 1
    assert set(asked) == {"GET /api/version"}
