"""Base of the doors that are not Jupyter's: Tornado's own handler, one log line a request, keys as Bearer tokens."""

from __future__ import annotations

import hmac
import logging
from typing import Any

from tornado import web
from tornado.httputil import HTTPServerRequest

from ollama_jupyter.server.base import Resource

log = logging.getLogger("ollama_jupyter.access")


def bearer(request: HTTPServerRequest) -> str:
    """The token of the Authorization header, or ""."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def same(given: str, key: str) -> bool:
    """Compare in a time that tells nothing about where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode("utf-8", "replace"))


@web.stream_request_body
class PlainDoor(Resource):
    """A handler that Tornado itself runs."""


def log_request(handler: web.RequestHandler) -> None:
    """One line a request: method, path, status, milliseconds. Never the query, which may hold a key, nor a body."""
    request, status = handler.request, handler.get_status()
    level = logging.INFO if status < 500 else logging.ERROR
    log.log(level, "%s %s %d %.1fms", request.method, request.path, status, 1000 * request.request_time())


def application_settings(**settings: Any) -> dict[str, Any]:
    """Settings of every plain application."""
    return {"log_function": log_request, "compress_response": False} | settings
