"""A registry that takes uploads, and misbehaves as a test tells it to."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from ollama_jupyter.names import Digest


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    size: int  # of the body, as far as it was read


@dataclass
class UploadServer:
    """What it holds, what it was asked, and how it misbehaves.

    `answers` are statuses that requests of a method get instead of what they ask for; `cuts` the bytes of a PATCH after
    which the connection is closed, one PATCH each; without `remembers` an upload is lost with a connection.
    """

    host: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)  # as the storage host of another
    requests: list[Request] = field(default_factory=list)
    answers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    cuts: list[int] = field(default_factory=list)
    remembers: bool = True
    storage: str = ""  # where chunks are redirected to
    reads_before_redirect: bool = True
    realm: str = ""  # asks for a token from there
    sends_to: str = ""  # where uploads are to go on, instead of here

    def asked(self, method: str, part: str = "") -> list[Request]:
        return [request for request in self.requests if request.method == method and part in request.path]


@contextlib.contextmanager
def upload_server() -> Iterator[UploadServer]:
    state = UploadServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    state.host = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: UploadServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        parts = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked = Request(
            self.command, parts.path, self.query, {name.lower(): value for name, value in self.headers.items()}, 0
        )
        self.state.requests.append(self.asked)
        return True

    def body(self, limit: int | None = None) -> bytes:
        size = int(self.headers.get("Content-Length", 0))
        data = self.rfile.read(size if limit is None else min(size, limit))
        self.asked.size = len(data)
        return data

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"content_length": "0"} | headers).items():
            self.send_header(name.replace("_", "-").title(), value)
        self.end_headers()

    def refused(self) -> bool:
        """Whether the request has been answered by way of misbehaviour."""
        if self.state.realm and "authorization" not in self.asked.headers:
            self.body()
            self.answer(401, www_authenticate=f'Bearer realm="{self.state.realm}",service="s",scope="a b"')
            return True
        if self.state.answers[self.command]:
            self.body()
            self.answer(self.state.answers[self.command].pop(0))
            return True
        return False

    # ---- what a registry does

    def do_HEAD(self) -> None:
        if not self.refused():
            self.answer(200 if self.path.rpartition("/")[2] in self.state.blobs else 404)

    def do_GET(self) -> None:
        if self.asked.path == "/token":
            text = b'{"token":"t0ken"}'
            self.answer(200, content_length=str(len(text)))
            self.wfile.write(text)
            return
        if self.refused():
            return
        upload = self.state.uploads.get(self.asked.path)
        if upload is None:
            self.answer(404)
        else:
            self.answer(204, range=f"0-{max(len(upload) - 1, 0)}")

    def do_POST(self) -> None:
        if self.refused():
            return
        self.body()
        if self.query.get("mount") in self.state.blobs:
            self.answer(201)
            return
        path = f"{self.asked.path}{len(self.state.uploads)}"
        self.state.uploads[path] = bytearray()
        self.answer(202, location=self.state.sends_to or f"{path}?state=0")

    def do_PATCH(self) -> None:
        if self.refused():
            return
        upload = self.state.uploads.get(self.asked.path)
        if upload is None:
            self.body()
            self.answer(404)
        elif self.state.storage:
            if self.state.reads_before_redirect:
                self.body()
            else:
                self.close_connection = True
            there = f"http://{self.state.storage}/there/{self.headers['Content-Range']}"
            self.answer(307, location=there, docker_upload_location=f"{self.asked.path}?state=1")
        else:
            self.take(upload)

    def take(self, upload: bytearray) -> None:
        if self.headers["Content-Range"].split("-")[0] != str(len(upload)):
            self.body()
            self.answer(416)
            return
        cut = self.state.cuts.pop(0) if self.state.cuts else None
        upload += self.body(cut)
        if cut is None:
            self.answer(202, location=f"{self.asked.path}?state={len(upload)}", range=f"0-{len(upload) - 1}")
            return
        if not self.state.remembers:
            del self.state.uploads[self.asked.path]
        self.close_connection = True

    def do_PUT(self) -> None:
        if self.refused():
            return
        body = self.body()
        if "/manifests/" in self.path:
            self.state.manifests[self.asked.path] = body
        elif self.asked.path.startswith("/there/"):
            self.state.stored[self.asked.path.rpartition("/")[2]] = body
        else:
            content = bytes(self.state.uploads.pop(self.asked.path))
            if not self.state.storage and str(Digest.of(content)) != self.query["digest"]:
                self.answer(400)
                return
            self.state.blobs[self.query["digest"]] = content
        self.answer(201)
