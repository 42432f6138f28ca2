"""A hub of this machine with one data set, which speaks as much of Hugging Face's protocol as its file system asks."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote

REPOSITORY = "people/pairs"


def entries(files: Mapping[str, bytes], folder: str, deep: bool) -> list[dict[str, Any]]:
    """The files and folders of a folder of the data set."""
    start = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for path, data in sorted(files.items()):
        if path.startswith(start):
            first, slash, _ = path[len(start) :].partition("/")
            name = path if deep or not slash else start + first
            oid = hashlib.sha1(data).hexdigest()  # as git names its objects
            kind = {"type": "file", "size": len(data), "oid": oid}
            if name != path:
                kind = {"type": "directory", "oid": "0" * 40}
            found.setdefault(name, {"path": name, **kind})
    return list(found.values())


API, RESOLVE = f"/api/datasets/{REPOSITORY}", f"/datasets/{REPOSITORY}/resolve/main/"


class Handler(BaseHTTPRequestHandler):
    """Answers about the data set, and sends ranges of its files."""

    files: ClassVar[Mapping[str, bytes]]
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        """Facts of the data set, of a folder, or a file's bytes."""
        path, _, query = unquote(self.path).partition("?")
        self.asked.append(f"{self.command} {path}")
        if path in {API, f"{API}/revision/main"}:
            self._json({"id": REPOSITORY, "sha": "1" * 40, "siblings": []})
        elif tree := re.fullmatch(rf"{API}/tree/main/?(.*)", path):
            found = entries(self.files, tree[1], "recursive=true" in query.lower())
            self._json(found) if found else self._absent("EntryNotFound")
        elif path.startswith(RESOLVE) and path[len(RESOLVE) :] in self.files:
            self._range(self.files[path[len(RESOLVE) :]])
        else:
            self._absent("EntryNotFound" if REPOSITORY in path else "RepoNotFound")

    do_HEAD = do_GET  # noqa: N815 - as the standard library calls it

    def _range(self, data: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        stop = int(wanted[2]) + 1 if wanted and wanted[2] else len(data)
        self._send(206 if wanted else 200, data[start:stop], "application/octet-stream")

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), "application/json")

    def _absent(self, code: str) -> None:
        self._send(404, b"{}", "application/json", {"X-Error-Code": code})

    def _send(
        self, status: int, data: bytes, kind: str, more: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def hub(files: Mapping[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub whose data set `people/pairs` has ``files``, and the list of what is asked of it."""
    asked: list[str] = []
    here = type("Here", (Handler,), {"files": files, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), here)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
