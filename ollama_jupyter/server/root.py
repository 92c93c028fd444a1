"""`/`, `/api/version`, and the paths that are not there."""

from __future__ import annotations

from ollama_jupyter.config import API_VERSION
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


class Missing(Resource):
    """Any method: there is nothing at this path."""

    async def get(self, *path: str) -> None:
        self.set_status(404)
        self.set_header("Content-Type", PLAIN)
        self.finish("404 page not found")

    head = post = put = patch = delete = get
