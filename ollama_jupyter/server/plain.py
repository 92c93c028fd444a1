"""Base of the doors that are not Jupyter's: Tornado's own handler, one log line a request, and the key of a client."""

from __future__ import annotations

import hmac
import logging
import re
from typing import Any

from tornado import web
from tornado.httputil import HTTPServerRequest

from ollama_jupyter.server.base import Resource

log = logging.getLogger("ollama_jupyter.access")

_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://([^/]*)", re.IGNORECASE)


def sent_key(request: HTTPServerRequest) -> str:
    """The Bearer token of the Authorization header, or what Anthropic's clients send as x-api-key, or ""."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "").strip()


def same(given: str, key: str) -> bool:
    """Compare in a time that tells nothing about where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode("utf-8", "replace"))


@web.stream_request_body
class PlainDoor(Resource):
    """A handler that Tornado itself runs."""


class PlainApplication(web.Application):
    """Routes that also take a request in absolute form, as clients behind a proxy send it."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        to_origin_form(request)
        return super().find_handler(request, **kwargs)


def to_origin_form(request: HTTPServerRequest) -> None:
    """Take `scheme://authority` off the path. The authority then replaces the Host header (RFC 9112, 3.2.2)."""
    absolute = _ABSOLUTE.match(request.path)
    if absolute:
        request.host = absolute[1]
    path = request.path[absolute.end() :] if absolute else request.path
    set_path(request, path if path.startswith("/") else f"/{path}")


def set_path(request: HTTPServerRequest, path: str) -> None:
    """Everything that reads or logs the request sees this path from now on."""
    request.path = path
    request.uri = path + (f"?{request.query}" if request.query else "")


def log_request(handler: web.RequestHandler) -> None:
    """One line a request: method, path, status, milliseconds. Never the query, which may hold a key, nor a body."""
    request, status = handler.request, handler.get_status()
    level = logging.INFO if status < 500 else logging.ERROR
    log.log(level, "%s %s %d %.1fms", request.method, request.path, status, 1000 * request.request_time())


def application_settings(**settings: Any) -> dict[str, Any]:
    """Settings of every plain application."""
    return {"log_function": log_request, "compress_response": False} | settings
