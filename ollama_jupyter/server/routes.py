"""The one table of routes, and how a door makes handlers of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tornado import web

from ollama_jupyter.server.account import Key, Me, Recommendations, SignOut, Status, WebFetch, WebSearch
from ollama_jupyter.server.anthropic import CountTokens, Messages
from ollama_jupyter.server.base import Resource, Verb
from ollama_jupyter.server.blobs import Blob
from ollama_jupyter.server.embeddings import Embed, EmbedPrompt, OpenAIEmbeddings, Rerank
from ollama_jupyter.server.generate import Chat, Generate
from ollama_jupyter.server.models import Copy, Create, Delete, Ps, Pull, Push, Show, Tags
from ollama_jupyter.server.openai import ChatCompletions, Completions, Model, Models, Responses
from ollama_jupyter.server.openapi import OpenAPI
from ollama_jupyter.server.root import Missing, Root, Version
from ollama_jupyter.server.tools import Doctor, Scan, Verify
from ollama_jupyter.server.transcriptions import Transcriptions

ROUTES: tuple[tuple[str, type[Resource]], ...] = (
    (r"", Root),
    (r"/api/version", Version),
    (r"/api/status", Status),
    (r"/api/me", Me),
    (r"/api/signout", SignOut),
    (r"/api/user/keys/([^/]+)", Key),
    (r"/api/experimental/web_search", WebSearch),
    (r"/api/experimental/web_fetch", WebFetch),
    (r"/api/experimental/model-recommendations", Recommendations),
    (r"/api/tags", Tags),
    (r"/api/ps", Ps),
    (r"/api/show", Show),
    (r"/api/create", Create),
    (r"/api/pull", Pull),
    (r"/api/push", Push),
    (r"/api/verify", Verify),
    (r"/api/scan", Scan),
    (r"/api/doctor", Doctor),
    (r"/api/copy", Copy),
    (r"/api/delete", Delete),
    (r"/api/blobs/([^/]+)", Blob),
    (r"/api/generate", Generate),
    (r"/api/chat", Chat),
    (r"/v1/chat/completions", ChatCompletions),
    (r"/v1/completions", Completions),
    (r"/v1/responses", Responses),
    (r"/v1/audio/transcriptions", Transcriptions),
    (r"/v1/models", Models),
    (r"/v1/models/(.+)", Model),
    (r"/api/embed", Embed),
    (r"/api/embeddings", EmbedPrompt),
    (r"/v1/embeddings", OpenAIEmbeddings),
    (r"/v1/rerank", Rerank),
    (r"/v1/messages", Messages),
    (r"/v1/messages/count_tokens", CountTokens),
    (r"/openapi\.yaml", OpenAPI),
    (r"/.*", Missing),
)

METHODS = ("HEAD", "GET", "POST", "PUT", "PATCH", "DELETE")

Guard = Callable[[type[Resource], Verb], Verb]


def handlers(door: type[Resource], guard: Guard, prefix: str = "") -> list[tuple[str, type[Resource]]]:
    """Tornado's rules for a door: each resource joined with the door's base class, each verb behind its guard."""
    return [(f"{prefix}{pattern}/?", bind(resource, door, guard)) for pattern, resource in ROUTES]


def bind(resource: type[Resource], door: type[Resource], guard: Guard) -> type[Resource]:
    """A handler class. Methods that the resource lacks answer 405, behind the same guard."""
    found = {method: getattr(resource, method.lower()) for method in METHODS}
    missing = web.RequestHandler.get
    allowed = tuple(method for method, verb in found.items() if verb is not missing)
    namespace: dict[str, Any] = {
        method.lower(): guard(resource, _performed(found[method] if method in allowed else Resource.not_allowed))
        for method in METHODS
    }
    return type(resource.__name__, (resource, door), namespace | {"allowed": allowed, "__module__": __name__})


def _performed(verb: Verb) -> Verb:
    """A fresh function for each method: the guards of Jupyter keep state on what they wrap."""

    async def perform(self: Resource, *args: str) -> None:
        await self.perform(verb, args)

    return perform


def unguarded(resource: type[Resource], verb: Verb) -> Verb:
    """The guard of doors that check everything in `admit`."""
    return verb
