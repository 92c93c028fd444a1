"""Bodies: bounded while they arrive, blobs streamed to disk."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import tracemalloc
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import zstandard
from fakes import Raw
from plain_server import DIGEST, until

from ollama_jupyter.api import ollama as ollama_api
from ollama_jupyter.server import base, body, generate


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

    @pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/api/create"])
    async def test_a_large_body_is_read_beside_the_loop(self, client: httpx.AsyncClient, path: str) -> None:
        """Millions of small values take seconds to read one by one, and a while to decode."""
        content = b'{"model":"m","messages":[' + b"{}," * 1_300_000 + b"{}]}"
        answer = await client.post(path, content=content)
        assert answer.status_code == 400
        assert "1300001 array elements; at most 10000 are taken" in answer.text

    async def test_the_loop_goes_on_while_a_body_is_read(
        self, client: httpx.AsyncClient, ollama: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reading, go_on = threading.Event(), threading.Event()

        def slow(request: dict[str, Any]) -> Any:
            reading.set()
            assert go_on.wait(30)
            return ollama_api.generate_request(request)

        monkeypatch.setattr(generate, "ollama", SimpleNamespace(generate_request=slow))
        sent = asyncio.ensure_future(client.post("/api/generate", json={"model": "m", "prompt": "word " * 60_000}))
        await until(reading.is_set)
        assert (await client.get("/api/version")).status_code == 200
        go_on.set()
        assert (await sent).status_code == 200


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


class TestPackedBodies:
    """Bodies in zstd, which some coding tools send."""

    ZSTD = {"Content-Encoding": "zstd"}

    @staticmethod
    def packed(value: Any) -> bytes:
        return zstandard.ZstdCompressor().compress(json.dumps(value).encode())

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
    async def test_they_are_unpacked(self, client: httpx.AsyncClient, ollama: Any, path: str) -> None:
        body_ = {"model": "m", "messages": [{"role": "user", "content": "packed"}], "stream": False}
        await client.post(path, content=self.packed(body_), headers=self.ZSTD)
        assert ollama.service.requests[-1].messages[0].content == "packed"

    @pytest.mark.parametrize("data", [b"", b"no frame", b"\x28\xb5\x2f\xfd\x00", b'{"model": "m"}'], ids=repr)
    async def test_what_is_no_frame_is_refused(self, client: httpx.AsyncClient, data: bytes) -> None:
        answer = await client.post("/v1/chat/completions", content=data, headers=self.ZSTD)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] in ("failed to decompress request body", "EOF")

    async def test_a_bomb_is_not_unpacked(self, client: httpx.AsyncClient) -> None:
        bomb = zstandard.ZstdCompressor(level=19).compress(b" " * (200 << 20))
        assert len(bomb) < 50_000
        tracemalloc.start()
        answer = await client.post("/v1/chat/completions", content=bomb, headers=self.ZSTD)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (answer.status_code, "20 MB when it is unpacked" in answer.text) == (413, True)
        assert peak < 3 * body.MAX_UNPACKED

    async def test_its_text_has_the_limit_of_all_texts(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/chat", content=self.packed({"model": "m" * (5 << 20)}), headers=self.ZSTD)
        assert answer.status_code == 413
