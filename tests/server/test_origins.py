"""Who the standalone server lets in: Host, Origin and key, by Ollama's rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes import Raw, fake_ollama
from plain_server import DIGEST, listening

from ollama_jupyter.config import parse_host
from ollama_jupyter.server.standalone import Listener


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
        told = "x-ignored-fields, x-truncated-tokens"
        assert headers.get("access-control-expose-headers") == (told if allowed else None)
        if not allowed:
            await raw.reader.read()  # until the server is done with the request
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
        async for port in listening(fake_ollama(tmp_path, origins=("*",))):
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

    @pytest.mark.parametrize(("method", "path"), [("POST", "/api/delete"), ("GET", "/v1/models/m")])
    async def test_without_it_nothing_is_done(self, raw: Raw, ollama: Any, method: str, path: str) -> None:
        """The body arrives whole after the refusal: the verb must not run all the same."""
        await raw.send(method, path, Content_Length="13")
        assert (await raw.answer())[0] == 401
        await raw.more(b'{"model":"m"}')
        await raw.reader.read()
        assert ollama.library.calls == []

    async def test_a_body_without_it_is_not_taken(self, raw: Raw, ollama: Any) -> None:
        await raw.send("POST", f"/api/blobs/{DIGEST}", Content_Length="1000000000")
        assert (await raw.answer())[0] == 401
        assert ollama.library.calls == []

    async def test_a_preflight_cannot_bring_it(self, raw: Raw) -> None:
        await raw.send("OPTIONS", "/api/chat", Origin="http://localhost:3000")
        assert (await raw.head())[0] == 204
