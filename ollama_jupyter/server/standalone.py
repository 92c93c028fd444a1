"""The standalone server: Ollama's routes at the root of `OLLAMA_HOST`, by Ollama's rules for Host and Origin."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import sys
import threading
from typing import Any

from tornado import httputil, web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.routing import Matcher, Rule

import ollama_jupyter
from ollama_jupyter.config import Host, Settings, parse_host
from ollama_jupyter.errors import Forbidden
from ollama_jupyter.server import origins
from ollama_jupyter.server.app import Ollama
from ollama_jupyter.server.base import IGNORED, Resource
from ollama_jupyter.server.generate import TRUNCATED
from ollama_jupyter.server.plain import PlainApplication, PlainDoor, application_settings, same, sent_key
from ollama_jupyter.server.root import Missing
from ollama_jupyter.server.routes import ROUTES, bind, handlers, unguarded

log = logging.getLogger("ollama_jupyter.server")

END_S = 1.8
"""Seconds after which the process ends whatever still holds it."""


class StandaloneDoor(PlainDoor):
    """Host, Origin, then the key. Settings of the application: `origins`, `checks_host`, `api_key`."""

    @property
    def trusts_private(self) -> bool:
        """Who is on this machine reaches its private addresses anyway."""
        return bool(self.settings["checks_host"])

    def set_default_headers(self) -> None:
        """CORS headers stand on every answer, errors too: without them a page cannot read what went wrong."""
        origin = self.request.headers.get("Origin")
        allowed: origins.Origins = self.settings["origins"]
        if origin and origins.is_cross(origin, self.request.host) and allowed.allows(origin):
            self.set_header("Access-Control-Allow-Origin", "*" if allowed.all else origin)
            self.set_header("Access-Control-Expose-Headers", f"{IGNORED}, {TRUNCATED}")
            self.add_header("Vary", "Origin")

    async def admit(self) -> None:
        is_options = self.request.method == "OPTIONS"
        if self._is_cross_checked() and is_options:
            return self._preflight(origins.PREFLIGHT_HEADERS)
        if self.settings["checks_host"] and self._is_named_host() and is_options:
            return self._preflight({})
        key: str = self.settings["api_key"]
        if key and not same(sent_key(self.request), key):
            raise web.HTTPError(401, "unauthorized: this server asks for its key as Bearer token")
        return None

    def _is_cross_checked(self) -> bool:
        """Whether a page of another, allowed origin asks. Raises Forbidden for one that is not allowed."""
        origin = self.request.headers.get("Origin")
        if not origins.is_cross(origin, self.request.host):
            return False
        if not self.settings["origins"].allows(origin):
            raise Forbidden(f'origin "{origin}" is not allowed; OLLAMA_ORIGINS lists those that are')
        return True

    def _is_named_host(self) -> bool:
        """Whether the Host is a local name rather than an address. Raises Forbidden for a stranger's."""
        name = origins.host_name(self.request.host)
        if origins.is_local_address(name):
            return False
        if not origins.is_local_name(name):
            raise Forbidden(f'host "{name}" is not a name of this machine')
        return True

    def _preflight(self, headers: dict[str, str]) -> None:
        self.set_status(204)
        for name, value in headers.items():
            self.set_header(name, value)
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        super().write_error(status_code, **kwargs)


class Unclean(Matcher):
    """A path with doubled slashes or one at the end, that would be a route without them."""

    def __init__(self) -> None:
        self._routes = [re.compile(route) for route, resource in ROUTES if resource is not Missing]

    def match(self, request: httputil.HTTPServerRequest) -> dict[str, Any] | None:
        cleaned = clean(request.path)
        if cleaned == request.path or not any(route.fullmatch(cleaned) for route in self._routes):
            return None
        return {}


def clean(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part)


class Moved(Resource):
    """The same route at its clean path: 301 for GET, 307 for the others, which keep their body."""

    async def get(self) -> None:
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(clean(self.request.path) + query, status=301 if self.request.method == "GET" else 307)

    head = post = put = patch = delete = get


def application(ollama: Ollama, *, checks_host: bool) -> web.Application:
    """The routes at the root. `checks_host` where the address is a loopback one."""
    rules: list[Any] = [Rule(Unclean(), bind(Moved, StandaloneDoor, unguarded))]
    settings = application_settings(
        ollama=ollama,
        origins=origins.Origins(ollama.settings.origins),
        checks_host=checks_host,
        api_key=ollama.settings.api_key,
    )
    return PlainApplication(rules + handlers(StandaloneDoor, unguarded), **settings)


def bindable(text: str) -> Host:
    """The address to listen on. One with a path, or https, is a client's and cannot be bound: the default is taken."""
    host = parse_host(text)
    if host.path or host.scheme != "http":
        log.warning("OLLAMA_HOST is the address of a client here (path or https); listening on the default instead")
        return parse_host("")
    return host


class Listener:
    """A listening plain server. Raises OSError where the address cannot be had."""

    def __init__(self, ollama: Ollama, host: Host) -> None:
        address = None if host.host in ("", "*") else host.host
        self._sockets = bind_sockets(host.port, address)
        self.addresses = [_text(bound) for bound in self._sockets]
        self._server = HTTPServer(application(ollama, checks_host=host.is_loopback))
        self._server.add_sockets(self._sockets)
        log.info("Listening on %s (version %s)", ", ".join(self.addresses), ollama_jupyter.__version__)
        if not host.is_loopback:
            who = "with the key" if ollama.settings.api_key else "without any key"
            log.warning("open to the network: whoever reaches %s can use it %s", self.addresses[0], who)

    async def close(self) -> None:
        self._server.stop()
        await self._server.close_all_connections()


def _text(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve(settings: Settings) -> int:
    """Run until Ctrl-C or SIGTERM. Returns the process's exit code: 0, or 1 where the address cannot be had."""
    return asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    stop = _stop_event()  # before anybody is told that we listen: a signal may come right after
    ollama = Ollama.create(settings)
    await ollama.start()
    host = bindable(settings.host)
    try:
        listener = Listener(ollama, host)
    except OSError as error:
        print(f"Error: cannot listen on {host.host or '*'}:{host.port}: {error.strerror}", file=sys.stderr)
        return 1
    await stop.wait()
    log.info("ending")
    _end_for_certain()
    await ollama.close()
    await asyncio.wait_for(listener.close(), 0.5)
    return 0


def _stop_event() -> asyncio.Event:
    """Set by Ctrl-C or SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))  # works on Windows too
    return stop


def _end_for_certain() -> None:
    """A thread inside llama.cpp or a slow disk cannot be interrupted; the process ends without it."""
    timer = threading.Timer(END_S, lambda: os._exit(0))
    timer.daemon = True
    timer.start()
