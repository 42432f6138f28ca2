"""Who may ask the server of ``tamis browse``: this machine; and where it listens to others, whoever has the key."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tamis.jobs.cli.app import main
from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.browse.access import Access
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.server import Server
from tamis.pipeline.audit.reading.finished_run import open_run
from tests.conftest import ROOT
from tests.support.serving import serving


@pytest.fixture
def everywhere(hostile: Path) -> Iterator[Server]:
    """A server that listens on all addresses of this machine."""
    browser = Browser(open_run(str(hostile)), in_words)
    with serving(Server(browser, host="0.0.0.0")) as made:
        yield made


def get(server: Server, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_others_need_the_key(everywhere: Server) -> None:
    port = everywhere.server_port
    for path in (
        "/",
        "/browse.js",
        "/api/run",
        "/picture?sid=0",
        "/api/uids",
        "/?key=x",
        "/?key=%C3%A9",
    ):
        status, _, body = get(everywhere, path)
        assert status == 403
        assert body == b'{"error": "open the address that `tamis browse` names"}'
    assert get(everywhere, "/", Cookie=f'key-{port}=x; a[b]="')[0] == 403
    opened = urlsplit(everywhere.address)
    status, headers, body = get(everywhere, f"//evil.example/?step=rules&{opened.query}")
    assert (status, body) == (303, b"")
    assert headers["Location"] == "/evil.example/?step=rules"
    cookie = headers["Set-Cookie"]
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    kept = cookie.partition(";")[0]
    assert get(everywhere, "/api/run", Cookie=kept)[0] == 200
    assert get(everywhere, "/api/run", Cookie=f"other=1; {kept}")[0] == 200


def test_a_name_that_is_not_the_machines_is_refused_even_with_the_key(everywhere: Server) -> None:
    cookie = everywhere.access.cookie(everywhere.server_port).partition(";")[0]
    hosts = {
        "evil.example": 403,
        "10.0.0.7": 200,
        "[fd00::7]": 200,
        socket.gethostname(): 200,
        "localhost": 200,
        "a]b": 403,
    }
    for host, expected in hosts.items():
        named = f"{host}:{everywhere.server_port}"
        assert get(everywhere, "/api/run", Host=named, Cookie=cookie)[0] == expected, host
    assert get(everywhere, "/api/run", Host="10.0.0.7", Cookie=cookie)[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost", "::1"])
def test_this_machine_alone_needs_none(host: str) -> None:
    access = Access(host)
    shown = f"[{host}]" if ":" in host else host
    assert (access.key, access.address(80)) == (None, f"http://{shown}:80/")
    assert access.knows(f"{shown}:80", 80)
    assert access.knows("localhost:80", 80)
    assert not access.knows("10.0.0.7:80", 80)
    assert not access.knows("10.0.0.7:x", 80)


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.7",) * 2]
)
def test_each_server_has_a_key_of_its_own(host: str, shown: str) -> None:
    one, two = Access(host), Access(host)
    assert one.key != two.key
    assert one.address(80) == f"http://{shown}:80/?key={one.key}"


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a b"])
def test_an_address_that_is_not_the_machines_is_one_line(
    hostile: Path, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["browse", str(hostile), "--host", host])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"--host {host}: " in said


def test_the_command_opens_the_address_that_it_prints(hostile: Path, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\necho "$1" > {tmp_path}/part && mv {tmp_path}/part {tmp_path}/opened\n'
    )
    browser.chmod(0o755)
    command = [
        sys.executable,
        "-c",
        "from tamis.jobs.cli.app import main; main()",
        "browse",
        str(hostile),
    ]
    options = ["--port", "0", "--open", "--host", "0.0.0.0"]
    with subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        env=os.environ | {"BROWSER": str(browser)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        printed = running.stdout.readline().split()[0]
        while not (tmp_path / "opened").exists():
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        assert running.communicate()[1].startswith("tamis: whoever reaches this machine")
    assert (tmp_path / "opened").read_text().strip() == printed
    assert "/?key=" in printed
