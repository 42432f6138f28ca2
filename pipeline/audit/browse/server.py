"""A web server for one run: one page, and JSON for it. It only reads, and only answers whom ``access`` lets in.

Captions and pictures are not to be trusted. So the page's Content-Security-Policy allows only its own files and
pictures, captions travel as JSON and become text nodes, and pictures are encoded anew.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import duckdb

from tamis.pipeline.audit.browse import access
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.beside import Beside
from tamis.pipeline.audit.browse.questions import OF_A_RUN, OF_TWO_RUNS, Unknown, sid_of
from tamis.pipeline.audit.reading.pictures import SIDE, Pictures
from tamis.pipeline.host import crash_log
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, TamisError
from tamis.schemas.terminal_text import as_json

WEB = Path(__file__).parent / "web"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
PAGES = {
    "/": ("browse.html", "text/html; charset=utf-8"),
    "/browse.js": ("browse.js", "text/javascript; charset=utf-8"),
    "/beside.js": ("beside.js", "text/javascript; charset=utf-8"),
    "/cards.js": ("cards.js", "text/javascript; charset=utf-8"),
    "/charts.js": ("charts.js", "text/javascript; charset=utf-8"),
    "/groups.js": ("groups.js", "text/javascript; charset=utf-8"),
    "/choice.js": ("choice.js", "text/javascript; charset=utf-8"),
    "/map.js": ("map.js", "text/javascript; charset=utf-8"),
    "/members.js": ("members.js", "text/javascript; charset=utf-8"),
    "/plane.js": ("plane.js", "text/javascript; charset=utf-8"),
    "/meaning.js": ("meaning.js", "text/javascript; charset=utf-8"),
    "/thresholds.js": ("thresholds.js", "text/javascript; charset=utf-8"),
    "/browse.css": ("browse.css", "text/css; charset=utf-8"),
}
PICTURE_BYTES = 64 << 20
"""Bytes of a picture that is searched for, at most."""
PATIENCE = 10.0
"""Seconds that ``end`` waits for open connections."""
LARGE = 480
"""Longer side in pixels of a picture in a story."""


class Server(ThreadingHTTPServer):
    """Listens on the loopback address alone, unless it is told of another; port 0 takes a free one.

    ``beside``: another run, to compare with.

    Raises:
        OSError: the port is taken, or this machine has no such address.
    """

    daemon_threads = True

    def __init__(
        self,
        browser: Browser,
        port: int = 0,
        beside: Browser | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.address_family = access.family(host)
        super().__init__((host, port), _Handler)
        self.browser = browser
        self.access = access.Access(host)
        self.beside = None if beside is None else Beside(browser, beside)
        self._browsers = [browser] if beside is None else [browser, beside]
        self._pictures = [Pictures(one.run) for one in self._browsers]
        self.ended = False
        self.open: set[Any] = set()  # connections
        self._idle = threading.Condition()

    @property
    def address(self) -> str:
        """The URL to open."""
        return self.access.address(self.server_port)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, which the browser may keep open; ``end`` waits for it."""
        with self._idle:
            self.open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._idle:
                self.open.discard(request)
                self._idle.notify_all()

    def end(self) -> None:
        """Stop listening, and interrupt the open connections: their threads must not outlive the process."""
        self.ended = True
        self.server_close()
        until = time.monotonic() + PATIENCE
        with self._idle:
            while self.open and time.monotonic() < until:
                for request in self.open:
                    with suppress(OSError):
                        request.shutdown(socket.SHUT_RDWR)
                for browser in self._browsers:
                    browser.interrupt()
                if self.beside is not None:
                    self.beside.interrupt()
                self._idle.wait(0.05)
        if self.beside is not None:
            self.beside.close()

    def answer(self, path: str, asked: Mapping[str, str]) -> Any:
        """Plain values for a request of the page.

        Raises:
            TamisError: the question makes no sense.
            Unknown: there is no such question, or it lacks a field.
        """
        browser = self._browsers[self._number(asked)]
        browser.check()
        if path == "/api/run":
            return {**browser.overview, "beside": self.beside and self.beside.name}
        if path in OF_A_RUN:
            return OF_A_RUN[path](browser, asked)
        if path in OF_TWO_RUNS and self.beside is not None:
            self.beside.second.check()
            return OF_TWO_RUNS[path](self.beside, asked)
        raise Unknown("no such page")

    def _number(self, asked: Mapping[str, str]) -> int:
        """Of the run that is asked about: 1 for the other one, where there is one."""
        return int(asked.get("run") == "other" and self.beside is not None)

    def picture(self, asked: Mapping[str, str]) -> bytes | None:
        """WebP bytes of a sample's picture; None where it has none that can be shown."""
        sid, number = sid_of(asked), self._number(asked)
        if not self._browsers[number].run.has(sid):
            return None
        side = LARGE if asked.get("large") else SIDE
        return self._pictures[number].encoded([sid], side).get(sid)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer one request."""
        self._respond(self._answer)

    def do_POST(self) -> None:
        """Answer a search for the picture that the request holds.

        Its type is one that a browser asks leave for, which nobody gives, before it lets another site's page send it.
        """
        self.close_connection = True  # a body that was refused is not read
        self._respond(self._search)

    def _respond(self, answer: Callable[[str, dict[str, str]], None]) -> None:
        port, guard = self.server.server_port, self.server.access
        address = urlsplit(self.path)
        asked = dict(parse_qsl(address.query))
        known = guard.knows(self.headers.get("Host"), port)
        if known and guard.key is not None and guard.opens(asked.get(access.KEY)):
            self._keep_key(address.path, asked)
            return
        if not known or not guard.opens_by(self.headers.get("Cookie"), port):
            self._say(HTTPStatus.FORBIDDEN, {"error": "open the address that `tamis browse` names"})
            return
        try:
            answer(address.path, asked)
        except TamisError as error:
            self._say(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except Unknown as error:
            self._say(HTTPStatus.NOT_FOUND, {"error": str(error)})
        except duckdb.Error as error:
            if self.server.ended:
                self.close_connection = True
                return
            self._say(HTTPStatus.BAD_REQUEST, {"error": " ".join(str(error).split())[:400]})
        except ConnectionError:
            pass  # the page has gone away
        except Exception as error:  # noqa: BLE001 - one question's fault must not end the server
            if self.server.ended:
                self.close_connection = True
                return
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": crash_log.write(error)})

    def _keep_key(self, path: str, asked: dict[str, str]) -> None:
        """Give the browser the key as a cookie, and send it on to the address without it."""
        rest = urlencode({name: value for name, value in asked.items() if name != access.KEY})
        self.close_connection = True
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Set-Cookie", self.server.access.cookie(self.server.server_port))
        self.send_header("Location", f"/{path.lstrip('/')}" + (f"?{rest}" if rest else ""))
        self.send_header("Content-Length", "0")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def _answer(self, path: str, asked: Mapping[str, str]) -> None:
        if path in PAGES:
            name, kind = PAGES[path]
            page = storage.read_bytes(str(WEB / name))
            self._send(HTTPStatus.OK, page, kind)
        elif path == "/favicon.ico":
            self._send(HTTPStatus.NO_CONTENT, b"", "image/x-icon")
        elif path == "/picture":
            data = self.server.picture(asked)
            status = HTTPStatus.OK if data else HTTPStatus.NOT_FOUND
            self._send(status, data or b"", "image/webp")
        elif path == "/api/uids":
            self._send_uids(self.server.browser.uids(asked))
        else:
            self._say(HTTPStatus.OK, self.server.answer(path, asked))

    def _search(self, path: str, asked: dict[str, str]) -> None:
        if path != "/api/search":
            raise Unknown("no such page")
        if self.headers.get("Content-Type") != "application/octet-stream":
            raise InputError("a picture is sent as application/octet-stream")
        written = self.headers.get("Content-Length", "")
        size = int(written) if written.isdecimal() and len(written) < 20 else 0
        if not 0 < size <= PICTURE_BYTES:
            raise InputError(f"the picture has {size:,} bytes: it may have 1 to {PICTURE_BYTES:,}")
        picture = self.rfile.read(size)
        self._say(HTTPStatus.OK, self.server.browser.nearest(asked, picture))

    def _send_uids(self, uids: Iterator[bytes]) -> None:
        """A list of uids to save as a file, in chunks: how many there are is known at the end."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Disposition", 'attachment; filename="uids.txt"')
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for lines in uids:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(lines), lines))
            self.wfile.write(b"0\r\n\r\n")
        except duckdb.Error:
            self.close_connection = True  # without its end the list is seen to be cut off

    def _say(self, status: HTTPStatus, value: Any) -> None:
        self._send(
            status, as_json(value).encode("utf-8", "replace"), "application/json; charset=utf-8"
        )

    def _send(self, status: HTTPStatus, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing: requests are private to the page."""
