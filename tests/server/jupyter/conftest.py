"""A Jupyter server with our extension, and the fake application behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_ollama
from tornado.httpclient import HTTPClientError

from ollama_jupyter.server import app

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {
            # Terminals have an undecorated endpoint, which would be the warning that we look for in ours.
            "jpserver_extensions": {"ollama_jupyter": True, "jupyter_server_terminals": False},
            "allow_unauthenticated_access": False,
            "reraise_server_extension_failures": True,
        }
    }


@pytest.fixture
def run(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Run:
    return jp_asyncio_loop.run_until_complete


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The fake application that the extension gets instead of the real one."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    made = fake_ollama(folder)
    monkeypatch.setattr(app.Ollama, "create", classmethod(lambda cls, settings: made))
    return made


@pytest.fixture
def fetch(ollama: Any, jp_fetch: Any, run: Run) -> Callable[..., Any]:
    def call(*parts: str, **kwargs: Any) -> Any:
        try:
            return run(jp_fetch(*parts, allow_nonstandard_methods=True, **kwargs))
        except HTTPClientError as error:
            return error.response

    return call


@pytest.fixture
def post(fetch: Callable[..., Any]) -> Callable[..., Any]:
    return lambda path, body, **kwargs: fetch("ollama", path, method="POST", body=json.dumps(body), **kwargs)


@pytest.fixture
def port(ollama: Any, http_server: Any) -> int:
    [socket] = http_server._sockets.values()
    return int(socket.getsockname()[1])


@pytest.fixture
def base(jp_base_url: str) -> str:
    return f"{jp_base_url}ollama"
