"""Wrong addresses of clusters: one line each, soon."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tamis.jobs.cli.app import main
from tamis.jobs.cluster import submit


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that cannot be done says."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (2, "")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://head:notaport", "no address of a Ray job server (Port could not be cast"),
        ("http://head:99999", "no address of a Ray job server (Port out of range"),
        ("http://[::1", "no address of a Ray job server (Invalid IPv6 URL)"),
        ("http://a..b:8265", "nobody answers"),
        ("head:8265", "it looks like http://HEAD:8265"),
        ("https://", "it looks like http://HEAD:8265"),
        ("http://user:hidden@127.0.0.1:1/", "http://***@127.0.0.1:1: nobody answers"),
    ],
)
@pytest.mark.parametrize("command", [("jobs",), ("logs", "-f", "a"), ("cancel", "a")])
def test_no_address(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...], address: str, message: str
) -> None:
    said = told(capsys, *command, "--address", address)
    assert message in said
    assert "hidden" not in said


def test_who_takes_a_connection_and_says_nothing_is_not_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "timed out" in told(capsys, "jobs", "--address", address)


@pytest.fixture
def stranger() -> Iterator[str]:
    """A web server that says yes to everything, and is no Ray."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_another_server_is_no_cluster(capsys: pytest.CaptureFixture[str], stranger: str) -> None:
    assert "no Ray job server" in told(capsys, "jobs", "--address", stranger)


@pytest.mark.parametrize("address", ["http://head:8265", "ray://head:10001"])
def test_a_run_is_told_to_be_submitted(
    capsys: pytest.CaptureFixture[str], tmp_path: object, address: str
) -> None:
    arguments = ("run", "demo", "--output", f"{tmp_path}/run", "--progress", "none")
    assert "tamis submit JOB --address" in told(capsys, *arguments, "--address", address)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "5.8e9"), "--rows: belongs to --cluster"),
        (("--rows", "0"), "--rows: belongs to --cluster"),
        (("--here",), "--here: belongs to --cluster"),
        (("--cluster", "1x(1cpu)", "--rows", "nan"), "--rows nan: 1 to"),
        (("--cluster", "1x(1cpu)", "--rows", "inf"), "--rows inf: 1 to"),
        (("--cluster", "1x(1cpu)", "--sample", "nan"), "a share in (0, 1]"),
        (
            ("--cluster", "8x(16cpu)", "--set", "embed.device=cuda"),
            "embed: a task claims 1 CPU, 1 GPU, and no node has that",
        ),
        (
            ("--cluster", "8x(16cpu)", "--set", "resources.steps={rules: {cpus: 32}}"),
            "rules: a task claims 32 CPU, and no node has that",
        ),
    ],
)
def test_silly_questions_about_costs(
    capsys: pytest.CaptureFixture[str],
    tmp_path: object,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    said = told(capsys, "plan", "demo", "--output", f"{tmp_path}/run", *arguments)
    assert message in said
