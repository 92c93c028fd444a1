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

TRUNCATED = "x-truncated-tokens"


def unfinished() -> EngineError:
    """The engine's stream stopped without its last chunk."""
    return EngineError("the model stopped without finishing its answer")


async def next_chunk(chunks: Chunks) -> Chunk:
    """The next chunk. The first call raises what is wrong with the request."""
    try:
        return await anext(chunks)
    except StopAsyncIteration:
        raise unfinished() from None


async def first_chunk(resource: Resource, chunks: Chunks) -> Chunk:
    """The first chunk. Tells in a header how many tokens of the prompt were cut: once bytes go out, it is too late."""
    first = await next_chunk(chunks)
    if first.truncated:
        resource.set_header(TRUNCATED, str(first.truncated.tokens))
    return first


async def whole(first: Chunk, chunks: Chunks) -> Chunk:
    """All chunks of one answer as one: the texts, calls and logprobs of all, the rest of the last."""
    (answer,) = await wholes(first, chunks, 1)
    return answer


async def wholes(first: Chunk, chunks: Chunks, n: int) -> list[Chunk]:
    """All chunks of `n` answers, each as one, in their order."""
    parts: list[list[Chunk]] = [[] for _ in range(n)]
    chunk, left = first, n
    while True:
        parts[chunk.index].append(chunk)
        left -= chunk.done
        if not left:
            return [_joined(answer) for answer in parts]
        chunk = await next_chunk(chunks)


def _joined(parts: list[Chunk]) -> Chunk:
    return replace(
        parts[-1],
        text="".join(part.text for part in parts),
        thinking="".join(part.thinking for part in parts),
        tool_calls=tuple(call for part in parts for call in part.tool_calls),
        tool_parse_error=next((part.tool_parse_error for part in parts if part.tool_parse_error), ""),
        logprobs=tuple(item for part in parts for item in part.logprobs),
    )


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
            first = await first_chunk(self, chunks)
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
