"""A fake Ollama server for the tests of what the notebook room does with a server's answers.

It says what a test told it to say. The real engine is used in test_end_to_end.py.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789abcdef0123456789abcdef"


def chunk(text: str, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False} | more


def final(**more: Any) -> dict[str, Any]:
    times = {"total_duration": 2_000_000_000, "load_duration": 5_000_000, "eval_duration": 500_000_000}
    return chunk("", done=True, done_reason="stop", prompt_eval_count=7, eval_count=20, **times) | more


def status(text: str, **more: Any) -> dict[str, Any]:
    return {"status": text} | more


class FakeOllama:
    """`host` is what OLLAMA_HOST would be, key and all. Change `models` and `script` to say what it answers.

    Pulls and pushes move BLOB bytes in ten steps; `moved` of them are there already. They stand still at `stalls_at`
    until `goes_on` is set. `verbs` maps a route to the lines that it answers instead.
    """

    BLOB = 98_000_000

    def __init__(self) -> None:
        self.models = ["smollm2:135m"]
        self.loaded: list[str] = []
        self.script: list[dict[str, Any]] | None = []  # None streams for ever
        self.verbs: dict[str, list[dict[str, Any]]] = {}
        self.moved = 0
        self.stalls_at: int | None = None
        self.goes_on = threading.Event()
        self.requests: list[tuple[str, str, Any]] = []
        self.closed_at: float | None = None
        self.closed = threading.Event()
        self.stopping = threading.Event()
        self._http = _Server(self)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.host = f"http://127.0.0.1:{self._http.server_port}/k/{KEY}"

    def says(self, *texts: str, **ending: Any) -> None:
        self.script = [chunk(text) for text in texts] + [final(**ending)]

    def bodies(self, path: str) -> list[Any]:
        return [body for _, asked, body in self.requests if asked == path]

    def close(self) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def __init__(self, fake: FakeOllama) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up is what some tests are about


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"] or 0))
        is_blob = self.path.rpartition("/")[0].endswith("/blobs")
        self._answer({"size": len(data)} if is_blob else json.loads(data or b"null"))

    do_DELETE = do_POST

    def do_HEAD(self) -> None:
        """There is a server, and it has no blob yet."""
        self._json(None, 200 if self.path.strip("/") == f"k/{KEY}" else 404)

    def _answer(self, body: Any) -> None:
        fake, path = self.server.fake, self.path.removeprefix(f"/k/{KEY}")
        if path == self.path:
            return self._json({"error": "no key"}, 403)
        fake.requests.append((self.command, path, body))
        if path == "/api/version":
            return self._json({"version": "0.33.0"})
        if path == "/api/tags":
            return self._json({"models": [self._model(name) for name in fake.models]})
        if path in fake.verbs:
            return self._stream(fake.verbs[path])
        if path == "/api/ps":
            return self._json({"models": [self._model(name, context_length=4096) for name in fake.loaded]})
        name = body.get("model") or body.get("source")
        if path in ("/api/pull", "/api/create"):
            return self._stream(_arriving(fake, name) if path == "/api/pull" else _creating(fake, name))
        if path.startswith("/api/blobs/"):
            return self._json(None, 201)
        if name not in fake.models:
            return self._json({"error": f"model '{name}' not found"}, 404)
        return self._model_route(path, name, body)

    def _model_route(self, path: str, name: str, body: Any) -> None:
        fake = self.server.fake
        if path == "/api/chat":
            return self._chat(body)
        if path == "/api/show":
            details = {"parameter_size": "134.52M", "quantization_level": "Q4_1", "family": "llama"}
            info = {"general.architecture": "llama", "llama.context_length": 8192}
            return self._json({"details": details, "model_info": info, "capabilities": ["completion"]})
        if path == "/api/generate":
            return self._generate(body)
        if path == "/api/push":
            return self._stream(_leaving(fake))
        if path == "/api/delete":
            fake.models.remove(name)
        return self._json(None)

    def _chat(self, body: Any) -> None:
        fake, prompt = self.server.fake, {"prompt_eval_count": 6 + len(body["messages"])}
        if fake.script is None:
            return self._stream(_endless(fake))
        chunks = [said | prompt if said.get("done") else said for said in fake.script]
        if body.get("stream", True):
            return self._stream(chunks)
        said = [value["message"]["content"] for value in chunks]
        return self._json(final(message={"role": "assistant", "content": "".join(said)}))

    def _generate(self, body: Any) -> None:
        words = f"You asked: {body['prompt']} . . .".split() if body.get("prompt") else []
        common = {"model": body["model"], "created_at": "2026-01-01T00:00:00Z"}
        end = common | {"response": "", "done": True, "done_reason": "stop"}
        if body.get("stream", True) and words:
            return self._stream([common | {"response": word, "done": False} for word in words] + [end])
        return self._json(end | {"response": " ".join(words)})

    def _model(self, name: str, **more: Any) -> dict[str, Any]:
        at = {"modified_at": "2026-01-01T00:00:00Z", "expires_at": "2318-01-01T00:00:00Z"}
        return {"name": name, "model": name, "digest": "ab" * 32, "size": 98_000_000} | at | more

    def _json(self, value: Any, status: int = 200) -> None:
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, chunks: Iterable[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        try:
            for value in chunks:
                self.wfile.write(json.dumps(value).encode() + b"\n")
                self.wfile.flush()
        except OSError:
            self.server.fake.closed_at = time.monotonic()
            self.server.fake.closed.set()


def _endless(fake: FakeOllama) -> Iterable[dict[str, Any]]:
    number = 0
    while not fake.stopping.wait(0.01):
        number += 1
        yield chunk(f"{number} ")


def _arriving(fake: FakeOllama, name: str) -> Iterable[dict[str, Any]]:
    yield status("pulling manifest")
    yield from _moving(fake, "pulling")
    fake.moved = 0
    fake.models.append(name)
    yield from map(status, ("verifying sha256 digest", "writing manifest", "success"))


def _leaving(fake: FakeOllama) -> Iterable[dict[str, Any]]:
    yield status("retrieving manifest")
    yield from _moving(fake, "pushing")
    fake.moved = 0
    yield from map(status, ("pushing manifest", "success"))


def _moving(fake: FakeOllama, doing: str) -> Iterable[dict[str, Any]]:
    while True:
        digest = "sha256:" + "b1" * 32
        yield status(f"{doing} b1b1b1b1b1b1", digest=digest, total=fake.BLOB, completed=fake.moved)
        if fake.moved == fake.BLOB:
            return
        if fake.stalls_at is not None and fake.moved >= fake.stalls_at and not fake.goes_on.wait(0.01):
            if fake.stopping.is_set():
                return
            continue
        fake.moved += fake.BLOB // 10


def _creating(fake: FakeOllama, name: str) -> Iterable[dict[str, Any]]:
    yield status("using existing layer sha256:" + "ab" * 32)
    fake.models.append(name)
    yield from map(status, ("writing manifest", "success"))
