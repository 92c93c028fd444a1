"""`/v1/messages`: Anthropic's messages, and how many tokens one would be."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any

from ollama_jupyter.api import anthropic
from ollama_jupyter.api.wire import encode
from ollama_jupyter.messages import ChatRequest, Chunk
from ollama_jupyter.server.base import Resource
from ollama_jupyter.server.generate import Chunks, first_chunk, next_chunk, whole

JSON = "application/json"
EVENTS = "text/event-stream"


def event(kind: str, value: dict[str, Any]) -> bytes:
    return f"event: {kind}\n".encode() + b"data: " + encode({"type": kind} | value) + b"\n\n"


class AnthropicResource(Resource):
    """Errors come in Anthropic's envelope."""

    auth_resource = "ollama_jupyter:generate"
    auth_action = "execute"

    def error_line(self, status: int, message: str) -> bytes:
        return event("error", anthropic.error(status, message))

    def error_body(self, status: int, message: str) -> tuple[bytes, str]:
        return encode(anthropic.error(status, message)) + b"\n", JSON


class Messages(AnthropicResource):
    """POST: an answer to a conversation."""

    async def post(self) -> None:
        request = await self.read(anthropic.messages_request)
        answer = anthropic.Answer(request.model, _estimate(request))
        async with aclosing(self.ollama.service.chat(request)) as chunks:
            first = await first_chunk(self, chunks)
            if request.stream:
                await self.stream(self._events(answer, first, chunks), EVENTS)
            else:
                self.answer(answer.whole(await whole(first, chunks)), JSON)

    async def _events(self, answer: anthropic.Answer, first: Chunk, chunks: Chunks) -> AsyncGenerator[bytes, None]:
        chunk, begun = first, _told(answer.begin())
        while True:
            told = begun + _told(answer.pieces(chunk))
            self.ended = chunk.done
            if told:
                yield told
            if chunk.done:
                return
            begun, chunk = b"", await next_chunk(chunks)


class CountTokens(AnthropicResource):
    """POST: how many tokens a conversation has for a model."""

    async def post(self) -> None:
        request = await self.read(anthropic.count_request)
        self.answer(anthropic.count(await self.ollama.service.count_tokens(request)), JSON)


def _told(events: Iterable[anthropic.Event]) -> bytes:
    return b"".join(event(kind, value) for kind, value in events)


def _estimate(request: ChatRequest) -> int:
    """Tokens of the prompt, before anybody has counted: four bytes each, as Ollama guesses."""
    return sum(len(message.content.encode()) for message in request.messages) // 4
