"""The kernel door: the key, Host and Origin, and what the logs tell."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import unquote

import pytest
from fakes import Raw

from ollama_jupyter.server.loopback import KernelDoor


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
        assert "POST /api/generate 500" in caplog.text
        assert key not in caplog.text

    @pytest.mark.parametrize(
        "path",
        ["/%s/k/%s", "/x/k/%s", "/K/%s/api/tags", "/k/%s/v1/models/%s", "/k/%s/api/tags?key=%s", "/x?%s", "*%s",
         "/x/%2e%s", "http://localhost/%s", "/x//http://localhost/k/%s"],
    )  # fmt: skip
    async def test_nor_where_it_stands_by_mistake(
        self, door: KernelDoor, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        key = key_of(door)
        for spelled in (key, key.upper(), f"%{ord(key[0]):x}{key[1:]}"):
            _, answer = await ask(door, path.replace("%s", spelled))
            assert key not in unquote(answer.decode()).lower()
        assert key not in unquote(caplog.text).lower()

    async def test_the_absolute_form_opens_too(self, door: KernelDoor, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        key = key_of(door)
        assert (await ask(door, f"http://localhost:{door.port}/k/{key}/api/version?x=y"))[0] == 200
        assert (await ask(door, f"http://evil.example/k/{key}/api/version", Host="localhost"))[0] == 403
        assert (await ask(door, f"HTTP://localhost/k/{key}"))[0] == 200
        assert (await ask(door, "http://localhost/api/version"))[0] == 403
        assert "GET /api/version 200" in caplog.text
        assert key not in caplog.text
