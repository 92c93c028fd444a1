"""What real clients are tried against: `serve`, and a Jupyter server, each with models that can call and think."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from conforming import ABLE, ABLE_TEMPLATE, ENGINE_ERROR, FILL, FILL_TEMPLATE
from doors import MODEL, Door, jupyter, serve

from ollama_jupyter.config import Settings, parse_host
from ollama_jupyter.engine.llama import LlamaBackend
from ollama_jupyter.errors import EngineError
from ollama_jupyter.server.app import Ollama
from ollama_jupyter.server.standalone import Listener

T = TypeVar("T")


def _prepare(door: Door) -> Door:
    with httpx.Client(base_url=door.url, headers=door.headers, timeout=120) as client:
        for name, template in ((ABLE, ABLE_TEMPLATE), (FILL, FILL_TEMPLATE)):
            body = {"model": name, "from": MODEL, "template": template, "stream": False}
            client.post("/api/create", json=body).raise_for_status()
    return door


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with serve(tmp_path_factory.mktemp("served") / "models") as door:
        yield _prepare(door)


@pytest.fixture(scope="session")
def doors_of_jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Door, Door]]:
    base = tmp_path_factory.mktemp("mounted")
    (base / "notebooks").mkdir()
    with jupyter(base / "notebooks", base / "models") as (door, inner, _):
        yield _prepare(door), inner


@pytest.fixture(scope="session")
def mounted(doors_of_jupyter: tuple[Door, Door]) -> Door:
    return doors_of_jupyter[0]


@pytest.fixture(scope="session")
def inner(doors_of_jupyter: tuple[Door, Door]) -> Door:
    """The door of a Jupyter server's kernels, whose key is in its path: for clients that can send no header."""
    return doors_of_jupyter[1]


@pytest.fixture(scope="session", params=["served", "mounted"])
def door(request: pytest.FixtureRequest) -> Door:
    """Each of both doors, with the models ABLE and FILL beside the embedded one."""
    found: Door = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Door]]:
    """Call it with a number: from so many decodes on, the engine of the server that it returns fails."""
    left = [0]
    decode = LlamaBackend.decode

    def decode_or_fail(backend: LlamaBackend, spans: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise EngineError(ENGINE_ERROR)
        return decode(backend, spans)

    monkeypatch.setattr(LlamaBackend, "decode", decode_or_fail)
    with _threaded(Settings(models=tmp_path / "models")) as door:

        def after(decodes: int) -> Door:
            left[0] = decodes
            return door

        yield after


@contextmanager
def _threaded(settings: Settings) -> Iterator[Door]:
    """A server on a thread of this process, whose parts a test may replace."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        server, listener = wait(_start(settings))
        yield Door("thread", f"http://{listener.addresses[0]}")
        wait(server.close())
        wait(listener.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


async def _start(settings: Settings) -> tuple[Ollama, Listener]:
    server = Ollama.create(settings)
    await server.start()
    return server, Listener(server, parse_host("127.0.0.1:0"))
