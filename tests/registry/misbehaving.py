"""A registry of our own that can be told to misbehave, and the host that it redirects to. Both remember everything.

`Registry` serves a model's manifest and blobs as it should. What it does instead is a function of a `Request`:
`registry.on_blob = cut_short(1000)`, `registry.cdn.on_blob = ...`, `registry.on_manifest = ...`.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from ollama_jupyter.names import ModelName
from ollama_jupyter.store.manifests import CONFIG_TYPE, LAYER_TYPE, MEDIA_TYPE
from ollama_jupyter.store.ranges import Ranges

CONFIG = b'{"model_format":"gguf","model_family":"llama"}\n'
SLICE = 64 << 10


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest_of(weights: bytes, *others: bytes) -> dict[str, object]:
    """A manifest as a dictionary, to be spoiled."""
    layers = [("model", weights), *(("license", other) for other in others)]
    return {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(CONFIG), "size": len(CONFIG)},
        "layers": [
            {"mediaType": LAYER_TYPE + role, "digest": digest_of(data), "size": len(data)} for role, data in layers
        ],
    }


class Seen(NamedTuple):
    """A request as it is remembered."""

    path: str
    headers: dict[str, str]


class Request(BaseHTTPRequestHandler):
    """A request, with what a server can do about it."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(Seen(self.path, dict(self.headers)))
        try:
            self.server.answer(self)
        except OSError:  # the client went away
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass

    # ---- what was asked

    @property
    def digest(self) -> str:
        return self.path.partition("?")[0].rpartition("/")[2]

    @property
    def data(self) -> bytes:
        return self.server.blobs[self.digest]

    @property
    def range(self) -> tuple[int, int] | None:
        match = re.match(r"bytes=(\d+)-(\d+)\Z", self.headers.get("Range", ""))
        return (int(match[1]), int(match[2]) + 1) if match else None

    # ---- what is answered

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.head(status, len(body), **headers)
        self.wfile.write(body)

    def head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def redirect(self, status: int, url: str) -> None:
        self.answer(status, Location=url)

    def blob(self, *, ranges: bool = True, cut: int | None = None, data: bytes | None = None) -> None:
        """The blob, or the part of it that was asked for; cut after some bytes, or of other data."""
        data = self.data if data is None else data
        start, end = (self.range if ranges else None) or (0, len(data))
        if self.range and ranges:
            span = f"bytes {start}-{end - 1}/{len(data)}"
            self.head(206, end - start, Content_Range=span)
        else:
            self.head(200, len(data))
        stop = end if cut is None else min(start + cut, end)
        for at in range(start, stop, SLICE):
            piece = memoryview(data)[at : min(at + SLICE, stop)]
            self.server.throttle(len(piece))
            self.server.count(at, at + len(piece))
            self.wfile.write(piece)
        if stop < end:
            self.close_connection = True


Behaviour = Callable[[Request], None]


class Server(ThreadingHTTPServer):
    """One host. `sent` are the bytes of blobs that it sent, `again` those of them that it had sent before."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, blobs: dict[str, bytes], host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Request)
        # Small buffers, so that what was sent has arrived, nearly.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SLICE)
        self.blobs = blobs
        self.requests: list[Seen] = []
        self.on_blob: Behaviour = Request.blob
        self.rate = 0
        self.sent = self.again = 0
        self._covered = Ranges()
        self._lock = threading.Lock()
        self._due = 0.0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def answer(self, request: Request) -> None:
        self.on_blob(request)

    def throttle(self, size: int) -> None:
        """Wait, so that all connections together keep to `rate` bytes a second."""
        if self.rate:
            with self._lock:
                self._due = max(self._due, time.monotonic()) + size / self.rate
                due = self._due
            time.sleep(max(due - time.monotonic(), 0))

    def count(self, start: int, end: int) -> None:
        with self._lock:
            self.sent += end - start
            before = self._covered.total
            self._covered.add(start, end)
            self.again += end - start - (self._covered.total - before)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # connections that were closed under it


class Registry(Server):
    """A registry with one model, and `cdn`, another host with the same blobs."""

    def __init__(self, weights: bytes, *others: bytes) -> None:
        super().__init__({digest_of(data): data for data in (weights, *others, CONFIG)})
        self.cdn = Server(self.blobs)
        self.manifest = json.dumps(manifest_of(weights, *others)).encode()
        self.on_manifest: Behaviour = lambda request: request.answer(200, self.manifest)
        self.on_token: Behaviour = lambda request: request.answer(200, b'{"token":"let-me-in"}')
        self.guarded = False
        self.realm = f"http://{self.address}/token"

    @property
    def name(self) -> ModelName:
        return ModelName.parse(f"{self.address}/some/model:latest")

    def answer(self, request: Request) -> None:
        if request.path.startswith("/token"):
            self.on_token(request)
        elif self.guarded and request.headers.get("Authorization") != "Bearer let-me-in":
            challenge = f'Bearer realm="{self.realm}",service="{self.address}",scope="repository:some/model:pull"'
            request.answer(401, WWW_Authenticate=challenge)
        elif "/manifests/" in request.path:
            self.on_manifest(request)
        else:
            self.on_blob(request)

    def redirecting(self, status: int = 307, host: str = "127.0.0.1") -> None:
        """Send whoever wants a blob to the other host."""
        base = f"http://{host}:{self.cdn.server_port}/signed"
        self.on_blob = lambda request: request.redirect(status, f"{base}/{request.digest}?key=1")


@contextmanager
def serving(registry: Registry) -> Iterator[Registry]:
    """Both hosts, at work for the length of the block."""
    servers = (registry, registry.cdn)
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield registry
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
