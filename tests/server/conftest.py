"""A fake application behind the plain doors, on real loopback sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import Raw, fake_ollama
from plain_server import listening

from ollama_jupyter.server.loopback import KernelDoor


@pytest.fixture
def ollama(tmp_path: Path) -> Any:
    return fake_ollama(tmp_path)


@pytest.fixture
async def door(ollama: Any) -> AsyncIterator[KernelDoor]:
    door = KernelDoor(ollama)
    yield door
    await door.close()


@pytest.fixture
async def port(ollama: Any) -> AsyncIterator[int]:
    """The port of a standalone server."""
    async for port in listening(ollama):
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
