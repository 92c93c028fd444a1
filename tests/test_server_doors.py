"""The doors that are not Jupyter's: the kernel door and the standalone server, on real loopback sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import FINAL, Raw, fake_ollama

from ollama_jupyter.config import parse_host
from ollama_jupyter.errors import EngineError
from ollama_jupyter.messages import Chunk
from ollama_jupyter.server import base, body
from ollama_jupyter.server.loopback import KernelDoor
from ollama_jupyter.server.standalone import Listener, bindable

DIGEST = "sha256:" + hashlib.sha256(b"hello").hexdigest()


async def until(condition: Callable[[], object]) -> None:
    """Let the server run until something is so; the test's own time limit is the deadline."""
    while not condition():
        await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0.001))])


@pytest.fixture
def ollama(tmp_path: Path) -> Any:
    return fake_ollama(tmp_path)


@pytest.fixture
async def door(ollama: Any) -> AsyncIterator[KernelDoor]:
    door = KernelDoor(ollama)
    yield door
    await door.close()


async def _listener(ollama: Any) -> AsyncIterator[int]:
    listener = Listener(ollama, parse_host("127.0.0.1:0"))
    yield int(listener.addresses[0].rpartition(":")[2])
    await listener.close()


@pytest.fixture
async def port(ollama: Any) -> AsyncIterator[int]:
    """The port of a standalone server."""
    async for port in _listener(ollama):
        yield port


@pytest.fixture
async def client(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client


@pytest.fixture
async def raw(port: int) -> AsyncIterator[Raw]:
    raw = await Raw.open(port)
    yield raw
    await raw.close()


# ---- the kernel door -----------------------------------------------------------------------------------------------


def key_of(door: KernelDoor) -> str:
    return door.url.rpartition("/")[2]


async def ask(door: KernelDoor, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    raw = await Raw.open(door.port)
    await raw.send(method, path, b"{}" if method == "POST" else None, **headers)
    status, _, answer = await raw.answer()
    await raw.close()
    return status, answer


class TestKernelDoor:
    async def test_the_key_in_the_path_opens(self, door: KernelDoor) -> None:
        for path in ("", "/", "/api/version", "/api/version/", "//api//version", "/v1/models"):
            status, _ = await ask(door, f"/k/{key_of(door)}{path}")
            assert status == 200, path

    async def test_the_key_as_bearer_opens(self, door: KernelDoor) -> None:
        status, _ = await ask(door, "/api/version", Authorization=f"Bearer {key_of(door)}")
        assert status == 200

    @pytest.mark.parametrize(
        "path", ["/", "/api/version", "/k", "/k/", "/k/wrong/api/version", "/k/%s0/", "/K/%s/", "/k/é/"]
    )
    async def test_without_the_key_nothing_opens(self, door: KernelDoor, path: str, ollama: Any) -> None:
        path = path.replace("%s", key_of(door)).replace("é", "%C3%A9")
        for method in ("GET", "HEAD", "POST", "DELETE", "PUT"):
            raw = await Raw.open(door.port)
            await raw.send(method, path, b"")
            status, _ = await raw.head()
            await raw.close()
            assert status == 403
        assert ollama.service.requests == []

    async def test_a_wrong_key_in_the_path_is_not_mended_by_a_right_bearer(self, door: KernelDoor) -> None:
        status, _ = await ask(door, "/k/wrong/api/version", Authorization=f"Bearer {key_of(door)}")
        assert status == 403

    async def test_keys_are_new_at_each_start(self, ollama: Any, door: KernelDoor) -> None:
        other = KernelDoor(ollama)
        assert key_of(other) != key_of(door)
        assert len(bytes.fromhex(key_of(door))) == 16
        await other.close()

    @pytest.mark.parametrize(
        ("host", "status"),
        [("127.0.0.1:1", 200), ("localhost", 200), ("[::1]:80", 200), ("evil.example", 403), ("10.0.0.1", 403)],
    )
    async def test_host(self, door: KernelDoor, host: str, status: int) -> None:
        assert (await ask(door, f"/k/{key_of(door)}/", Host=host))[0] == status

    @pytest.mark.parametrize(
        ("origin", "status"),
        [
            ("http://localhost:8888", 200),
            ("https://127.0.0.1", 200),
            ("http://evil.example", 403),
            ("null", 403),
            ("http://localhost.evil.example", 403),
        ],
    )
    async def test_origin(self, door: KernelDoor, origin: str, status: int) -> None:
        assert (await ask(door, f"/k/{key_of(door)}/", Origin=origin))[0] == status

    async def test_the_key_is_in_no_log(self, door: KernelDoor, ollama: Any, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        key = key_of(door)
        ollama.service.says(RuntimeError("inside"))
        for path, method in [
            ("/api/version", "GET"),
            ("/nope", "GET"),
            ("/api/generate", "POST"),
            ("/api/x?a=1", "PUT"),
        ]:
            await ask(door, f"/k/{key}{path}", method)
        raw = await Raw.open(door.port)
        await raw.send("POST", f"/k/{key}/api/generate", b'{"model":"m"}')
        await raw.answer()
        await raw.more(f"GET /k/{key}/ HTTP/9\r\n\r\n".encode())
        await raw.reader.read()
        await raw.close()
        await ask(door, f"/{key}/k/{key}", "GET")
        logged = caplog.text
        assert "POST /api/generate 500" in logged
        assert key not in logged.replace(f"GET /{key}/k/{key}", "")


# ---- standalone: Ollama's rules ------------------------------------------------------------------------------------


class TestPaths:
    async def test_root(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/")
        assert (answer.status_code, answer.text) == (200, "Ollama is running")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        head = await client.head("/")
        assert (head.status_code, head.content) == (200, b"")

    @pytest.mark.parametrize("path", ["/api/version", "/api/tags"])
    async def test_signs_of_life_by_head(self, client: httpx.AsyncClient, path: str) -> None:
        head = await client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == (await client.get(path)).headers["content-length"]

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    async def test_unknown(self, client: httpx.AsyncClient, method: str) -> None:
        answer = await client.request(method, "/api/nope")
        assert (answer.status_code, answer.text) == (404, "404 page not found")
        assert answer.headers["content-type"] == "text/plain"

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("HEAD", "/api/ps", "GET"),
            ("GET", "/api/generate", "POST"),
            ("PUT", "/", "HEAD, GET"),
            ("GET", f"/api/blobs/{DIGEST}", "HEAD, POST"),
            ("GET", "/api/delete", "POST, DELETE"),
        ],
    )
    async def test_wrong_method(self, client: httpx.AsyncClient, method: str, path: str, allow: str) -> None:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allow)
        assert method == "HEAD" or answer.text == "405 method not allowed"

    @pytest.mark.parametrize(
        ("method", "path", "status", "location"),
        [
            ("GET", "/api/tags/", 301, "/api/tags"),
            ("GET", "//api//tags?a=1", 301, "/api/tags?a=1"),
            ("POST", "/api/chat/", 307, "/api/chat"),
            ("GET", "//evil.example/", 404, None),
        ],
    )
    async def test_unclean(self, raw: Raw, method: str, path: str, status: int, location: str | None) -> None:
        await raw.send(method, path, b"")
        answered, headers, _ = await raw.answer()
        assert (answered, headers.get("location")) == (status, location)

    @pytest.mark.parametrize("path", ["/api/pull", "/api/embed", "/v1/embeddings", "/v1/messages"])
    async def test_what_comes_later_says_so(self, client: httpx.AsyncClient, path: str) -> None:
        answer = await client.post(path, json={"model": "m"})
        assert answer.status_code == 400
        assert "not supported yet" in answer.text


class TestModels:
    async def test_tags_and_ps(self, client: httpx.AsyncClient, ollama: Any) -> None:
        assert (await client.get("/api/tags")).json()["models"][0]["name"] == "m:latest"
        assert (await client.get("/api/ps")).json()["models"][0]["context_length"] == 4096
        ollama.library.models, ollama.manager.running = [], []
        assert (await client.get("/api/tags")).text == '{"models":[]}'
        assert (await client.get("/api/ps")).text == '{"models":[]}'

    async def test_show_passes_what_it_is_asked(self, client: httpx.AsyncClient, ollama: Any) -> None:
        answer = await client.post("/api/show", json={"name": "m", "VERBOSE": True})
        assert answer.json()["model_info"]["llama.rope.freq_base"] == 100000
        assert ollama.library.calls == [("show", "m", {"system": None, "options": None, "verbose": True})]

    async def test_copy_and_delete_answer_nothing(self, client: httpx.AsyncClient, ollama: Any) -> None:
        for method, path, asked in [
            ("POST", "/api/copy", {"source": "m", "destination": "n"}),
            ("DELETE", "/api/delete", {"model": "m"}),
            ("POST", "/api/delete", {"name": "m"}),
        ]:
            answer = await client.request(method, path, json=asked)
            assert (answer.status_code, answer.content) == (200, b"")
            assert "content-type" not in answer.headers
        assert ollama.library.calls == [("copy", "m", "n"), ("delete", "m"), ("delete", "m")]

    async def test_create_tells_each_step(self, client: httpx.AsyncClient, ollama: Any) -> None:
        answer = await client.post("/api/create", json={"model": "n", "from": "m"})
        assert answer.text == '{"status":"writing manifest"}\n{"status":"success"}\n'
        assert answer.headers["content-type"] == "application/x-ndjson"
        whole = await client.post("/api/create", json={"model": "n", "from": "m", "stream": False})
        assert (whole.text, whole.headers["content-type"]) == ('{"status":"success"}', "application/json")

    async def test_create_fails_with_a_status_first_and_with_a_line_later(
        self, client: httpx.AsyncClient, ollama: Any
    ) -> None:
        steps, failure = ollama.library.steps, EngineError("no")
        ollama.library.steps = [failure]
        assert (await client.post("/api/create", json={"model": "n"})).status_code == 500
        ollama.library.steps = [steps[0], failure]
        answer = await client.post("/api/create", json={"model": "n"})
        assert (answer.status_code, answer.text.splitlines()[-1]) == (200, '{"error":"no"}')
        assert (await client.post("/api/create", json={"model": "n", "stream": False})).status_code == 500


class TestGenerate:
    @pytest.mark.parametrize("reason", ["load", "unload"])
    async def test_handshakes_are_one_object(self, client: httpx.AsyncClient, ollama: Any, reason: str) -> None:
        ollama.service.says(Chunk(done=True, done_reason=reason))
        answer = await client.post("/api/generate", json={"model": "m", "stream": True})
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.json()["done_reason"] == reason

    async def test_without_stream_the_texts_are_joined(self, client: httpx.AsyncClient) -> None:
        answer = (await client.post("/api/chat", json={"model": "m", "messages": [{}], "stream": False})).json()
        assert answer["message"] == {"role": "assistant", "content": "Hello"}
        assert (answer["done"], answer["done_reason"], answer["eval_count"]) == (True, "stop", 2)

    @pytest.mark.parametrize("ending", [[], [EngineError("broken")], [RuntimeError("/etc/secret")]])
    async def test_exactly_one_terminal_line(self, client: httpx.AsyncClient, ollama: Any, ending: list[Any]) -> None:
        ollama.service.says(Chunk("one"), *ending)
        for path, marker in [("/api/generate", '{"error":'), ("/v1/chat/completions", 'data: {"error":')]:
            answer = await client.post(path, json={"model": "m", "messages": [{"content": "x"}], "stream": True})
            lines = [line for line in answer.text.splitlines() if line]
            assert [line.startswith(marker) for line in lines] == [False] * (len(lines) - 1) + [True]
            assert "secret" not in answer.text
            assert "[DONE]" not in answer.text

    async def test_nothing_follows_the_last_chunk(self, client: httpx.AsyncClient, ollama: Any) -> None:
        ollama.service.says(Chunk("one"), FINAL, Chunk("more"), EngineError("late"))
        answer = await client.post("/api/generate", json={"model": "m", "prompt": "x"})
        assert len(answer.text.splitlines()) == 2

    async def test_the_openai_stream(self, client: httpx.AsyncClient) -> None:
        asked = {
            "model": "m",
            "messages": [{"role": "user", "content": "x"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        answer = await client.post("/v1/chat/completions", json=asked)
        assert answer.headers["content-type"] == "text/event-stream"
        events = answer.text.removesuffix("\n\n").split("\n\n")
        assert events[-1] == "data: [DONE]"
        parsed = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
        deltas = [choice for event in parsed for choice in event["choices"]]
        assert [choice["delta"] for choice in deltas] == [
            {"role": "assistant", "content": "Hel"},
            {"content": "lo"},
            {},
        ]
        assert [choice["finish_reason"] for choice in deltas] == [None, None, "stop"]
        assert parsed[-1]["usage"] == {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        assert len({event["created"] for event in parsed}) == len({event["id"] for event in parsed}) == 1

    async def test_a_slow_reader_slows_the_writer(self, raw: Raw, ollama: Any) -> None:
        """Backpressure: with nobody reading, the service is not drained beyond what the sockets hold."""
        drawn = 0

        async def endless(request: Any) -> AsyncIterator[Chunk]:
            nonlocal drawn
            while True:
                drawn += 1
                yield Chunk("x" * 100_000)

        ollama.service.generate = endless
        await raw.send("POST", "/api/generate", b'{"model":"m","prompt":"x"}')
        await raw.head()
        before = -1
        while drawn != before:  # until it stands still
            before, _ = drawn, await asyncio.sleep(0.2)
        assert drawn < 500  # 50 MB; the sockets and the reader hold a few
        await raw.chunk()


# ---- bodies --------------------------------------------------------------------------------------------------------


class TestBodies:
    async def test_an_announced_size_is_refused_before_a_byte_of_it(self, raw: Raw) -> None:
        await raw.send("POST", "/api/generate", Content_Length=str(body.MAX_BODY + 1))
        status, headers, answer = await raw.answer()
        assert (status, headers["connection"]) == (413, "close")
        assert "64 MB" in json.loads(answer)["error"]

    async def test_an_unannounced_size_is_refused_while_it_arrives(
        self, raw: Raw, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(body, "MAX_BODY", 1 << 20)
        await raw.send("POST", "/api/generate", Transfer_Encoding="chunked")
        for _ in range(17):  # no terminating chunk: the body never ends
            await raw.more(b"10000\r\n" + b"A" * 65536 + b"\r\n")
        status, _, _ = await raw.answer()
        assert status == 413

    async def test_text_beyond_its_limit_is_refused_while_it_arrives(self, raw: Raw) -> None:
        size = 20 << 20
        await raw.send("POST", "/api/chat", Content_Length=str(size))
        words = b"many words " * 6000
        for _ in range(1 + body.MAX_TEXT // len(words)):
            await raw.more(words)
        status, _, answer = await raw.answer()
        assert status == 413
        assert "4 MB of text" in json.loads(answer)["error"]

    async def test_one_long_word_is_text_too(self, client: httpx.AsyncClient, ollama: Any) -> None:
        answer = await client.post("/api/generate", json={"model": "m", "prompt": "a" * (5 << 20)})
        assert answer.status_code == 413
        assert ollama.service.requests == []

    async def test_openai_bodies_are_refused_in_its_envelope(self, raw: Raw) -> None:
        await raw.send("POST", "/v1/chat/completions", Content_Length=str(body.MAX_BODY + 1))
        status, _, answer = await raw.answer()
        assert (status, json.loads(answer)["error"]["type"]) == (413, "api_error")

    async def test_a_client_that_sends_all_first_still_reads_the_refusal(self, raw: Raw) -> None:
        """Closing at once would reset the connection under it."""
        data = b"x y " * (2 << 20)
        await raw.send("POST", "/api/generate", Content_Length=str(100 << 20))
        await raw.more(data)
        status, _, _ = await raw.answer()
        assert status == 413

    async def test_the_connection_is_closed_after_a_refusal(self, raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(base, "LINGER_S", 0.05)
        await raw.send("POST", "/api/generate", Content_Length=str(body.MAX_BODY + 1))
        await raw.answer()
        assert await asyncio.wait_for(raw.reader.read(), 5) == b""

    async def test_who_waits_for_100_continue_is_refused_at_once(self, raw: Raw) -> None:
        await raw.send("POST", "/api/generate", Content_Length=str(body.MAX_BODY + 1), Expect="100-continue")
        status, _, _ = await raw.answer()
        assert status == 413
        assert await asyncio.wait_for(raw.reader.read(), base.LINGER_S / 2) == b""

    @pytest.mark.parametrize(
        ("sent", "error"),
        [
            (b"", "missing request body"),
            (b"  \n", "missing request body"),
            (b"{", "unexpected EOF"),
            (b'{"model":"m', "unexpected EOF"),
            (b"not json", "invalid character 'n' at offset 0 of the request body"),
            (b"[]", "the request body must be a JSON object, got an array"),
            (b"[" * 100_000, "the request body is nested too deeply"),
            (b'{"model": 1' + b"0" * 5000 + b"}", "the request body holds a number that is too large"),
            (b'{"model":"m","stream":"yes"}', 'field "stream" must be a boolean, got a string'),
        ],
    )
    async def test_what_is_no_request(self, client: httpx.AsyncClient, sent: bytes, error: str) -> None:
        answer = await client.post("/api/generate", content=sent)
        assert (answer.status_code, answer.json()) == (400, {"error": error})

    async def test_content_type_and_trailing_bytes_do_not_matter(self, client: httpx.AsyncClient, ollama: Any) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await client.post("/api/generate", content=b'{"MODEL":"m","Prompt":"x"} trailing', headers=headers)
        assert answer.status_code == 200
        assert ollama.service.requests[0].prompt == "x"


class TestBlobs:
    async def test_head(self, client: httpx.AsyncClient, ollama: Any) -> None:
        assert (await client.head(f"/api/blobs/{DIGEST}")).status_code == 404
        (ollama.library.folder / DIGEST[7:]).touch()
        assert (await client.head(f"/api/blobs/{DIGEST}")).status_code == 200
        assert (await client.head("/api/blobs/sha256:..")).status_code == 400

    async def test_upload(self, client: httpx.AsyncClient, ollama: Any) -> None:
        first = await client.post(f"/api/blobs/{DIGEST}", content=b"hello")
        assert (first.status_code, first.content) == (201, b"")
        again = await client.post(f"/api/blobs/{DIGEST}", content=b"hello")
        assert (again.status_code, again.content) == (200, b"")
        assert [path.name for path in ollama.library.folder.iterdir()] == [DIGEST[7:]]

    @pytest.mark.parametrize(
        "digest", ["sha256:xyz", "md5:" + "0" * 64, "sha256:" + "0" * 63, "..%2F..%2Fetc%2Fpasswd"]
    )
    async def test_bad_digests(self, client: httpx.AsyncClient, digest: str) -> None:
        answer = await client.post(f"/api/blobs/{digest}", content=b"hello")
        assert (answer.status_code, answer.json()) == (400, {"error": "invalid digest format"})

    async def test_wrong_bytes_leave_nothing(self, client: httpx.AsyncClient, ollama: Any) -> None:
        answer = await client.post(f"/api/blobs/{DIGEST}", content=b"other")
        assert answer.status_code == 400
        assert "digest mismatch" in answer.json()["error"]
        assert list(ollama.library.folder.iterdir()) == []

    async def test_large_uploads_pass_in_pieces(self, raw: Raw, ollama: Any) -> None:
        size, piece = 96 << 20, b"\0" * (1 << 20)
        digest = hashlib.sha256()
        for _ in range(size // len(piece)):
            digest.update(piece)
        tracemalloc.start()
        try:
            await raw.send("POST", f"/api/blobs/sha256:{digest.hexdigest()}", Content_Length=str(size))
            for _ in range(size // len(piece)):
                await raw.more(piece)
            status, _, _ = await raw.answer()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert status == 201
        assert ollama.library.peak <= 2 << 20
        assert peak < 16 << 20  # client and server together

    async def test_a_broken_upload_leaves_nothing(self, raw: Raw, ollama: Any) -> None:
        await raw.send("POST", f"/api/blobs/{DIGEST}", Content_Length="1000000")
        await raw.more(b"hello" * 1000)
        await until(lambda: list(ollama.library.folder.iterdir()))
        await raw.close()
        await until(lambda: not list(ollama.library.folder.iterdir()))


# ---- standalone: Host, Origin, key ---------------------------------------------------------------------------------


class TestHost:
    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1:11434", 200),
            ("localhost", 200),
            ("LOCALHOST:1", 200),
            ("[::1]:11434", 200),
            ("0.0.0.0", 200),
            ("192.168.1.5", 200),
            ("10.1.2.3:80", 200),
            ("a.localhost", 200),
            ("box.local:11434", 200),
            ("db.internal", 200),
            ("evil.com", 403),
            ("8.8.8.8", 403),
            ("localhost.evil.com", 403),
            ("127.0.0.1.evil.com", 403),
            ("local", 403),
        ],
    )
    async def test_table(self, raw: Raw, host: str, status: int) -> None:
        await raw.send("GET", "/", Host=host)
        assert (await raw.answer())[0] == status

    @pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE", "OPTIONS"])
    async def test_any_method(self, raw: Raw, method: str, ollama: Any) -> None:
        await raw.send(method, "/api/generate", b"{}", Host="evil.com")
        assert (await raw.head())[0] == 403
        assert ollama.service.requests == []

    @pytest.mark.parametrize(("host", "status"), [("localhost", 204), ("127.0.0.1", 405)])
    async def test_options_by_name_and_by_address(self, raw: Raw, host: str, status: int) -> None:
        await raw.send("OPTIONS", "/api/chat", Host=host)
        assert (await raw.head())[0] == status

    async def test_is_not_checked_on_other_addresses(self, ollama: Any) -> None:
        listener = Listener(ollama, parse_host("0.0.0.0:0"))
        raw = await Raw.open(int(listener.addresses[0].rpartition(":")[2]))
        await raw.send("GET", "/", Host="box.example.com")
        assert (await raw.answer())[0] == 200
        await raw.close()
        await listener.close()


ORIGINS = [
    ("http://localhost", True),
    ("https://localhost:3000", True),
    ("http://127.0.0.1:8080", True),
    ("https://0.0.0.0", True),
    ("app://obsidian.md", True),
    ("vscode-webview://abc", True),
    ("https://listed.example", True),
    ("https://a.wild.example", True),
    ("chrome-extension://abc", True),
    ("null", False),
    ("http://evil.com", False),
    ("http://localhost.evil.com", False),
    ("http://localhost:evil", False),
    ("https://listed.example.evil", False),
    ("moz-extension://abc", False),
]


class TestOrigin:
    @pytest.fixture
    def ollama(self, tmp_path: Path) -> Any:
        configured = ("https://listed.example", "https://*.wild.example", "chrome-extension://*")
        return fake_ollama(tmp_path, origins=configured)

    @pytest.mark.parametrize(("origin", "allowed"), ORIGINS)
    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
    async def test_table(self, raw: Raw, origin: str, allowed: bool, method: str, ollama: Any) -> None:
        await raw.send(method, "/api/generate", b'{"model":"m"}', Origin=origin)
        status, headers = await raw.head()
        assert (status != 403) == allowed
        assert headers.get("access-control-allow-origin") == (origin if allowed else None)
        assert bool(ollama.service.requests) == (allowed and method == "POST")

    async def test_preflight(self, raw: Raw) -> None:
        await raw.send("OPTIONS", "/api/chat", Origin="http://localhost:3000")
        status, headers = await raw.head()
        assert status == 204
        assert headers["access-control-max-age"] == "43200"
        assert headers["access-control-allow-methods"] == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
        assert "X-Stainless-Retry-Count" in headers["access-control-allow-headers"]
        assert headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in headers

    async def test_the_own_origin_is_not_cross(self, raw: Raw, port: int) -> None:
        await raw.send("GET", "/", Origin="http://box.local", Host="box.local")
        status, headers, _ = await raw.answer()
        assert (status, headers.get("access-control-allow-origin")) == (200, None)

    async def test_errors_carry_the_header_too(self, raw: Raw) -> None:
        await raw.send("POST", "/api/chat", b"", Origin="http://localhost:3000")
        status, headers, _ = await raw.answer()
        assert (status, headers["access-control-allow-origin"]) == (400, "http://localhost:3000")

    async def test_the_refusal_names_the_setting(self, raw: Raw) -> None:
        await raw.send("GET", "/", Origin="http://evil.com")
        assert "OLLAMA_ORIGINS" in json.loads((await raw.answer())[2])["error"]

    async def test_star_opens_to_all(self, tmp_path: Path) -> None:
        async for port in _listener(fake_ollama(tmp_path, origins=("*",))):
            raw = await Raw.open(port)
            await raw.send("GET", "/", Origin="http://evil.com")
            status, headers, _ = await raw.answer()
            await raw.close()
            assert (status, headers["access-control-allow-origin"]) == (200, "*")


class TestKey:
    @pytest.fixture
    def ollama(self, tmp_path: Path) -> Any:
        return fake_ollama(tmp_path, api_key="sesame")

    @pytest.mark.parametrize("path", ["/", "/api/version", "/api/tags", "/api/nope", "/v1/models", "/api/tags/"])
    @pytest.mark.parametrize("given", ["", "Bearer wrong", "Basic sesame", "sesame"])
    async def test_everyone_needs_it(self, raw: Raw, path: str, given: str) -> None:
        await raw.send("GET", path, **({"Authorization": given} if given else {}))
        status, headers, _ = await raw.answer()
        assert (status, headers["www-authenticate"]) == (401, "Bearer")

    async def test_it_opens(self, raw: Raw) -> None:
        await raw.send("GET", "/api/version", Authorization="Bearer sesame")
        assert (await raw.answer())[0] == 200

    async def test_a_body_without_it_is_not_taken(self, raw: Raw, ollama: Any) -> None:
        await raw.send("POST", f"/api/blobs/{DIGEST}", Content_Length="1000000000")
        assert (await raw.answer())[0] == 401
        assert list(ollama.library.folder.iterdir()) == []

    async def test_a_preflight_cannot_bring_it(self, raw: Raw) -> None:
        await raw.send("OPTIONS", "/api/chat", Origin="http://localhost:3000")
        assert (await raw.head())[0] == 204


# ---- lines and ends ------------------------------------------------------------------------------------------------


class TestLog:
    async def test_one_line_a_request_without_what_was_said(
        self, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "ollama_jupyter")
        await client.post("/api/generate?x=y", json={"model": "m", "prompt": "my secret"})
        lines = [record.getMessage() for record in caplog.records if record.name == "ollama_jupyter.access"]
        assert [bool(re.fullmatch(r"POST /api/generate 200 [\d.]+ms", line)) for line in lines] == [True]
        assert "secret" not in caplog.text

    async def test_a_disconnect_is_499(self, raw: Raw, ollama: Any, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "ollama_jupyter")
        ollama.service.says(asyncio.Event())
        await raw.send("POST", "/api/generate", b'{"model":"m","prompt":"x"}')
        await ollama.service.started.wait()
        await raw.close()
        await ollama.service.closed.wait()

        def lines() -> list[str]:
            return [record.getMessage() for record in caplog.records if record.name == "ollama_jupyter.access"]

        await until(lines)
        assert len(lines()) == 1
        assert lines()[0].startswith("POST /api/generate 499 ")


class TestEnd:
    @pytest.mark.parametrize("said", [[], [Chunk("one")]], ids=["before the first chunk", "in the middle"])
    async def test_running_requests_are_told(self, raw: Raw, ollama: Any, said: list[Chunk]) -> None:
        ollama.service.says(*said, asyncio.Event())
        await raw.send("POST", "/api/generate", b'{"model":"m","prompt":"x"}')
        await ollama.service.started.wait()
        if said:
            assert (await raw.head())[0] == 200
            await raw.chunk()
        await ollama.close()
        if said:
            last = await raw.chunk()
            assert await raw.chunk() == b""
        else:
            status, _, last = await raw.answer()
            assert status == 499
        assert json.loads(last) == {"error": "server is shutting down"}
        assert ollama.service.outcome == "cancelled"
        assert ollama.manager.closed

    async def test_new_requests_are_refused(self, client: httpx.AsyncClient, ollama: Any) -> None:
        await ollama.close()
        assert (await client.post("/api/generate", json={"model": "m"})).status_code == 499

    async def test_a_stuck_manager_does_not_hold_the_end(self, ollama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        async def stuck() -> None:
            await asyncio.Event().wait()

        ollama.manager.close = stuck
        await asyncio.wait_for(ollama.close(), 2)


@pytest.mark.parametrize("text", ["https://example.com", "http://127.0.0.1:1/k/abc", "example.com/ollama"])
def test_a_clients_address_is_not_bound(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert bindable(text) == parse_host("127.0.0.1:11434")
    assert "default" in caplog.text


async def test_an_open_address_is_told(ollama: Any, caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener(ollama, parse_host("0.0.0.0:0"))
    await listener.close()
    assert "open to the network" in caplog.text
