"""How requests are logged and how a server ends."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import httpx
import pytest
from fakes import Raw
from plain_server import until

from ollama_jupyter.config import parse_host
from ollama_jupyter.messages import Chunk
from ollama_jupyter.server.standalone import Listener, bindable


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
            assert status == 503
        assert json.loads(last) == {"error": "server is shutting down"}
        assert ollama.service.outcome == "cancelled"
        assert ollama.manager.closed

    async def test_new_requests_are_refused(self, client: httpx.AsyncClient, ollama: Any) -> None:
        await ollama.close()
        assert (await client.post("/api/generate", json={"model": "m"})).status_code == 503

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
