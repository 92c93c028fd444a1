"""The kernel door: Ollama's routes on a loopback port of their own, behind a key in the path.

Clients that know only a base URL reach it with `OLLAMA_HOST=http://127.0.0.1:PORT/k/KEY`. The key is made anew at each
start and opens nothing but these routes, so that Jupyter's token, which means code execution, is never handed out.
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import unquote

from tornado import httputil
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from ollama_jupyter.errors import Forbidden
from ollama_jupyter.server.app import Ollama
from ollama_jupyter.server.origins import is_loopback_host, is_loopback_origin
from ollama_jupyter.server.plain import (
    PlainApplication,
    PlainDoor,
    application_settings,
    same,
    sent_key,
    set_path,
    to_origin_form,
)
from ollama_jupyter.server.root import Missing
from ollama_jupyter.server.routes import bind, handlers, unguarded


class LoopbackDoor(PlainDoor):
    """A request that brought the key; it must also come from this machine and from no foreign page."""

    async def admit(self) -> None:
        if not is_loopback_host(self.request.host):
            raise Forbidden("this port answers to loopback host names only")
        origin = self.request.headers.get("Origin")
        if origin and not is_loopback_origin(origin):
            raise Forbidden("this port does not answer web pages of other origins")


class ClosedDoor(PlainDoor):
    """A request without the key."""

    async def admit(self) -> None:
        raise Forbidden("missing or wrong key")


class KeyedApplication(PlainApplication):
    """Takes the key off the path before anything else sees it, logs included."""

    def __init__(self, ollama: Ollama, key: str) -> None:
        super().__init__(handlers(LoopbackDoor, unguarded), **application_settings(ollama=ollama))
        self._key = key
        self._closed = bind(Missing, ClosedDoor, unguarded)

    def find_handler(self, request: httputil.HTTPServerRequest, **kwargs: Any) -> Any:
        to_origin_form(request)
        given, path = _split(request.path)
        request.query = self._masked(request.query)
        set_path(request, self._masked(path))
        if same(given or sent_key(request), self._key):
            return super().find_handler(request, **kwargs)
        return self.get_handler_delegate(request, self._closed)

    def _masked(self, text: str) -> str:
        """The text, or nothing of it where the key stands in it by mistake: it may be logged."""
        return "/(masked)" if self._key in unquote(text).lower() else text


def _split(path: str) -> tuple[str, str]:
    """The key in `/k/KEY/rest`, or "", and the rest, clean of doubled slashes."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] != ["k"]:
        return "", "/" + "/".join(parts)
    return (parts[1] if len(parts) > 1 else "-"), "/" + "/".join(parts[2:])


class KernelDoor:
    """The open door. `url` is what clients are given; it holds the key."""

    def __init__(self, ollama: Ollama) -> None:
        self._key = secrets.token_hex(16)
        [socket] = bind_sockets(0, "127.0.0.1")
        self.port: int = socket.getsockname()[1]
        self._server = HTTPServer(KeyedApplication(ollama, self._key))
        self._server.add_socket(socket)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/k/{self._key}"

    async def close(self) -> None:
        self._server.stop()
        await self._server.close_all_connections()
