"""What the tests of the plain doors share."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from ollama_jupyter.config import parse_host
from ollama_jupyter.server.standalone import Listener

DIGEST = "sha256:" + hashlib.sha256(b"hello").hexdigest()


async def until(condition: Callable[[], object]) -> None:
    """Let the server run until something is so; the test's own time limit is the deadline."""
    while not condition():
        await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0.001))])


async def listening(ollama: Any) -> AsyncIterator[int]:
    listener = Listener(ollama, parse_host("127.0.0.1:0"))
    yield int(listener.addresses[0].rpartition(":")[2])
    await listener.close()
