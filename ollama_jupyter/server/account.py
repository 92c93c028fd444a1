"""The routes about an account at ollama.com, and what its cloud does: nobody is signed in here, and nobody is asked."""

from __future__ import annotations

from typing import Any

from ollama_jupyter.api import ollama_answers
from ollama_jupyter.errors import Forbidden
from ollama_jupyter.server.base import Resource


class Me(Resource):
    """POST: who is signed in."""

    async def post(self) -> None:
        self.answer(ollama_answers.unauthorized(), status=401)


class SignOut(Resource):
    """POST: sign out."""

    async def post(self) -> None:
        self.answer(ollama_answers.signed_out(), status=401)


class Key(Resource):
    """DELETE: the older way of signing out. Which key it names does not matter."""

    async def delete(self, _: str) -> None:
        self.answer(ollama_answers.signed_out(), status=401)


class Status(Resource):
    """GET: whether there is a cloud."""

    async def get(self) -> None:
        self.answer(ollama_answers.status())


class Recommendations(Resource):
    """GET: models that ollama.com would recommend."""

    async def get(self) -> None:
        self.answer({"recommendations": []})


class WebSearch(Resource):
    """POST: a search that only the cloud could do."""

    service = "web search"

    async def post(self) -> None:
        await self.read(_anything)
        raise Forbidden(f"ollama cloud is disabled: {self.service} is unavailable")


class WebFetch(WebSearch):
    service = "web fetch"


def _anything(body: dict[str, Any]) -> None:
    """What is asked for does not matter."""
