"""`/api/generate` and `/api/chat`: one JSON object or a stream of them, from the service's chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from ollama_jupyter.api import ollama, ollama_answers
from ollama_jupyter.api.wire import encode
from ollama_jupyter.errors import EngineError
from ollama_jupyter.messages import Chunk
from ollama_jupyter.server.base import Resource

Chunks = AsyncGenerator[Chunk, None]


def unfinished() -> EngineError:
    """The engine's stream stopped without its last chunk."""
    return EngineError("the model stopped without finishing its answer")


async def next_chunk(chunks: Chunks) -> Chunk:
    """The next chunk. The first call raises what is wrong with the request."""
    try:
        return await anext(chunks)
    except StopAsyncIteration:
        raise unfinished() from None


async def whole(first: Chunk, chunks: Chunks) -> Chunk:
    """All chunks as one: the text of all, the rest of the last."""
    texts, last = [first.text], first
    while not last.done:
        last = await next_chunk(chunks)
        texts.append(last.text)
    return replace(last, text="".join(texts))


class Generate(Resource):
    """POST: an answer to a prompt."""

    auth_resource = "ollama_jupyter:generate"
    auth_action = "execute"

    async def post(self) -> None:
        request = await self.read(ollama.generate_request)
        chunks = self.ollama.service.generate(request)
        await self.respond(chunks, request.stream, lambda chunk: ollama_answers.generate_chunk(request.model, chunk))

    async def respond(self, chunks: Chunks, stream: bool, render: Callable[[Chunk], dict[str, Any]]) -> None:
        """Handshakes and rendered prompts are one object even where a stream was asked for."""
        async with aclosing(chunks):
            first = await next_chunk(chunks)
            if first.is_handshake:
                self.answer(render(first))
            elif stream:
                await self.stream(self._lines(first, chunks, render))
            else:
                self.answer(render(await whole(first, chunks)))

    async def _lines(
        self, first: Chunk, chunks: Chunks, render: Callable[[Chunk], dict[str, Any]]
    ) -> AsyncGenerator[bytes, None]:
        chunk = first
        while True:
            self.ended = chunk.done
            yield encode(render(chunk)) + b"\n"
            if chunk.done:
                return
            chunk = await next_chunk(chunks)


class Chat(Generate):
    """POST: an answer to a conversation."""

    async def post(self) -> None:
        request = await self.read(ollama.chat_request)
        chunks = self.ollama.service.chat(request)
        await self.respond(chunks, request.stream, lambda chunk: ollama_answers.chat_chunk(request.model, chunk))
