"""A real S3 endpoint on this machine, and a proxy before it that counts what is asked and breaks what it is told to."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest

BUCKET = "bucket"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "expect", "date", "server"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server saw it, and the bytes of the body that it sent back."""

    method: str
    key: str  # path below the bucket; the query where there is one
    start: int | None
    size: int
    status: int


@dataclass
class Fault:
    """What happens instead of an answer to every ``every``-th request that ``matches``."""

    kind: (
        str  # "500", "cut" (half the body), "drop" (no answer), "slow" (seconds before the answer)
    )
    matches: Callable[[str, str], bool]
    every: int = 1
    times: int = 1 << 30
    seconds: float = 0.0
    seen: int = 0
    done: int = 0

    def strikes(self, method: str, key: str) -> bool:
        """Whether this request is hit; counts it."""
        if not self.matches(method, key) or self.done >= self.times:
            return False
        self.seen += 1
        hit = self.seen % self.every == 0
        self.done += hit
        return hit


@dataclass
class ObjectStore:
    """The endpoint (through the proxy), what was asked of it, and how it misbehaves."""

    endpoint: str
    client: Any
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint}

    def fault(self, method: str, key: str) -> Fault | None:
        """The first fault that strikes a request."""
        with self.lock:
            return next((fault for fault in self.faults if fault.strikes(method, key)), None)

    def reads(self, prefix: str) -> list[Request]:
        """Answered GETs of objects whose key starts so."""
        return [
            request
            for request in self.requests
            if request.method == "GET" and "?" not in request.key and request.key.startswith(prefix)
        ]


class Proxy(BaseHTTPRequestHandler):
    """Passes requests on to the server, counts them, and strikes where it is told to."""

    upstream: str
    store: ObjectStore
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = self.path.removeprefix(f"/{BUCKET}").removeprefix("/")
        fault = self.store.fault(self.command, key)
        if fault and fault.kind == "drop":
            self.close_connection = True
            return
        if fault and fault.kind == "403":
            self._answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>", key)
            return
        if fault and fault.kind == "500":
            self._answer(500, {}, b"<Error><Code>InternalError</Code></Error>", key)
            return
        if fault and fault.kind == "slow":
            time.sleep(fault.seconds)
        status, headers, answer = self._ask(body)
        self._answer(status, headers, answer, key, bool(fault and fault.kind == "cut"))

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        sent = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        connection.request(self.command, self.path, body, sent)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        kept = {k: v for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP}
        return response.status, kept, answer

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, key: str, cut: bool = False
    ) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range", ""))
        with self.store.lock:
            start = int(asked[1]) if asked else None
            self.store.requests.append(Request(self.command, key, start, len(body), status))
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
        """Silent."""


@cache
def moto_server() -> tuple[str, Any]:
    """Host and port of moto's server, and a client of it: one for the process, for each takes half a second."""
    moto = pytest.importorskip("moto.server", reason="no moto: install tamis[dev]")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    return f"{host}:{port}", client


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """moto's server with an empty bucket, behind the proxy, which ends with the block."""
    s3fs = pytest.importorskip("s3fs", reason="no s3fs: install tamis[s3]")
    s3fs.S3FileSystem.clear_instance_cache()  # a client remembers the endpoint that it was made for
    upstream, client = moto_server()
    reset = http.client.HTTPConnection(upstream)
    reset.request("POST", "/moto-api/reset")
    reset.getresponse().read()
    client.create_bucket(Bucket=BUCKET)
    store = ObjectStore("", client)
    proxy = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Bound", (Proxy,), {"upstream": upstream, "store": store})
    )
    proxy.daemon_threads = True
    store.endpoint = f"http://127.0.0.1:{proxy.server_port}"
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        proxy.shutdown()
        proxy.server_close()


def written_long_ago(seconds: float = 3600) -> None:
    """Let all objects be older: DuckDB asks anew for the footers of files that changed within the last ten seconds."""
    from moto.s3.models import s3_backends

    for backends in s3_backends.values():
        for backend in backends.values():
            for bucket in backend.buckets.values():
                for key in bucket.keys.values():
                    key.last_modified -= timedelta(seconds=seconds)


def contents(store: ObjectStore, prefix: str) -> dict[str, bytes]:
    """Every object below a prefix, by its name below it; read past the proxy."""
    found: dict[str, bytes] = {}
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    for page in pages:
        for item in page.get("Contents", ()):
            name = item["Key"].removeprefix(prefix).removeprefix("/")
            found[name] = store.client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
    return found


def put(store: ObjectStore, key: str, data: bytes) -> None:
    """An object, past the proxy."""
    store.client.put_object(Bucket=BUCKET, Key=key, Body=data)
