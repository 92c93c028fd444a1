"""`/`, `/api/version`, and the paths that answer "not here" or "not yet"."""

from __future__ import annotations

from ollama_jupyter.api import openai
from ollama_jupyter.api.wire import encode
from ollama_jupyter.config import API_VERSION
from ollama_jupyter.errors import NotSupportedYet
from ollama_jupyter.server.base import PLAIN, Resource


class Root(Resource):
    """GET, HEAD: the sign of life that clients look for."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("Ollama is running")

    head = get


class Version(Resource):
    """GET, HEAD: the version of Ollama's API that we answer as."""

    async def get(self) -> None:
        self.answer({"version": API_VERSION})

    head = get


class LaterOpenAI(Resource):
    """POST: a route of OpenAI's or Anthropic's that a later version brings."""

    async def post(self) -> None:
        raise NotSupportedYet(self.request.path[self.request.path.rindex("/v1/") :])

    def error_body(self, status: int, message: str) -> tuple[bytes, str]:
        return encode(openai.error(status, message)) + b"\n", "application/json"


class Missing(Resource):
    """Any method: there is nothing at this path."""

    async def get(self, *path: str) -> None:
        self.set_status(404)
        self.set_header("Content-Type", PLAIN)
        self.finish("404 page not found")

    head = post = put = patch = delete = get
