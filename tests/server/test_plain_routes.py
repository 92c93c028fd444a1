"""The standalone server's answers: paths, methods, models, streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fakes import FINAL, Raw
from plain_server import DIGEST, until

from ollama_jupyter.errors import EngineError
from ollama_jupyter.messages import Chunk
from ollama_jupyter.server.base import Resource


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

    @pytest.mark.parametrize(
        ("target", "status", "text"),
        [
            ("http://localhost/api/version", 200, "version"),
            ("http://localhost", 200, "Ollama is running"),
            ("http://localhost?a=b", 200, "Ollama is running"),
            ("http://localhost/nope", 404, "404 page not found"),
            ("http://evil.example/api/version", 403, "evil.example"),
            ("*", 404, "404 page not found"),
        ],
    )
    async def test_absolute_form(self, raw: Raw, target: str, status: int, text: str) -> None:
        """As clients behind a proxy send it. The address in it counts, not the Host header."""
        await raw.send("GET", target)
        answered, _, body = await raw.answer()
        assert (answered, text in body.decode()) == (status, True)

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

    async def test_trouble_after_the_last_chunk_is_not_told(self, client: httpx.AsyncClient, ollama: Any) -> None:
        async def troubled(request: Any) -> AsyncIterator[Chunk]:
            try:
                yield Chunk("one")
                yield FINAL
            finally:
                raise EngineError("while closing")

        ollama.service.generate = troubled
        answer = await client.post("/api/generate", json={"model": "m", "prompt": "x"})
        assert [json.loads(line)["done"] for line in answer.text.splitlines()] == [False, True]

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
        assert parsed[-1]["usage"] == {
            "prompt_tokens": 10,
            "completion_tokens": 2,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
        assert len({event["created"] for event in parsed}) == len({event["id"] for event in parsed}) == 1

    async def test_a_client_that_stops_reading_is_let_go(
        self, port: int, ollama: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else it would hold its model for ever."""
        closed = asyncio.Event()

        async def endless(request: Any) -> AsyncIterator[Chunk]:
            try:
                while True:
                    yield Chunk("x" * 1_000_000)
            finally:
                closed.set()

        monkeypatch.setattr(Resource, "STALL_S", 0.05)
        ollama.service.generate = endless
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            body = b'{"model":"m","prompt":"x"}'
            client.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 26\r\n\r\n" + body)
            await asyncio.wait_for(closed.wait(), 10)
            client.settimeout(10)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while data := await asyncio.to_thread(client.recv, 1 << 20):
                    received += data
        assert received.startswith(b"HTTP/1.1 200 ")
        assert not received.endswith(b"0\r\n\r\n")
        await until(lambda: not ollama.active)

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
