"""Input from a web server: files are asked for themselves, by the whole address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tamis.schemas.errors import InputError, StorageError
from tests.support.running import Sample, contents, ledger, make_plan, picture, run_here, write_tar

STEPS = "  - signals: [words]\n  - write"


class Signed(BaseHTTPRequestHandler):
    """One file, for who has the signature; a listing for nobody."""

    data = b""

    def do_GET(self) -> None:
        if self.path != "/x/0.tar?sig=SECRET":
            self.send_response(404 if self.path.startswith("/none") else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, _, end = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        piece = self.data[int(start) : int(end) + 1 if end else None]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(piece)))
        self.send_header(
            "Content-Range", f"bytes {start}-{int(start) + len(piece) - 1}/{len(self.data)}"
        )
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(piece)

    do_HEAD = do_GET  # noqa: N815 - as the standard library calls it

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    samples = [Sample(f"k{i}", picture(i * 9999), f"caption {i}", {}) for i in range(3)]
    Signed.data = write_tar(tmp_path / "0.tar", samples).read_bytes()
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Signed)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()


def test_a_signed_address_is_read_and_not_kept(server: str, tmp_path: Path) -> None:
    run_here(make_plan(tmp_path / "run", f"{server}/x/0.tar?sig=SECRET", STEPS))
    assert [row["source"] for row in ledger(tmp_path / "run")] == ["input/0.tar"] * 3
    assert [n for n, data in contents(tmp_path / "run").items() if b"SECRET" in data] == []


def test_what_a_server_refuses_is_said_without_the_signature(server: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"x/1.tar\?\*\*\*`: access denied \(403") as refused:
        make_plan(tmp_path / "run", f"{server}/x/1.tar?sig=SECRET", STEPS)
    assert "SECRET" not in str(refused.value)
    with pytest.raises(InputError, match=r"none/0.tar\?\*\*\*` is not there"):
        make_plan(tmp_path / "run", f"{server}/none/0.tar?sig=SECRET", STEPS)
