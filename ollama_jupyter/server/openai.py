"""`/v1/*`: OpenAI's chat completions, completions and model list."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from ollama_jupyter.api import openai
from ollama_jupyter.api.wire import encode
from ollama_jupyter.messages import ChatRequest, Chunk, GenerateRequest
from ollama_jupyter.server.base import Resource
from ollama_jupyter.server.generate import Chunks, first_chunk, next_chunk, wholes

JSON = "application/json"
EVENTS = "text/event-stream"


Request = ChatRequest | GenerateRequest


class Teller(Protocol):
    """Makes OpenAI's objects of an answer's chunks."""

    def whole(self, answers: Sequence[Chunk]) -> dict[str, Any]: ...
    def pieces(self, chunk: Chunk) -> Iterator[dict[str, Any]]: ...
    def ending(self, last: Sequence[Chunk]) -> Iterator[dict[str, Any]]: ...
    def rendered(self, chunk: Chunk) -> dict[str, Any]: ...


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + encode(value) + b"\n\n"


class OpenAIResource(Resource):
    """Bodies end in a new line, errors come in OpenAI's envelope."""

    def answer(self, value: Any, content_type: str = JSON, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", content_type)
        self.finish(encode(value) + b"\n")

    def error_line(self, status: int, message: str) -> bytes:
        return event(openai.error(status, message))

    def error_body(self, status: int, message: str) -> tuple[bytes, str]:
        return encode(openai.error(status, message)) + b"\n", JSON


class Generation(OpenAIResource):
    """Base of the routes that write."""

    auth_resource = "ollama_jupyter:generate"
    auth_action = "execute"
    end_mark = b"data: [DONE]\n\n"

    def event(self, piece: dict[str, Any]) -> bytes:
        return event(piece)

    async def respond(self, chunks: Chunks, request: Request, teller: Teller) -> None:
        """One object or a stream of events; a rendered prompt is one object even where a stream was asked for."""
        async with aclosing(chunks):
            first = await first_chunk(self, chunks)
            if first.rendered is not None:
                self.answer(teller.rendered(first))
            elif request.stream:
                await self.stream(self._events(first, chunks, 1 if first.is_handshake else request.n, teller), EVENTS)
            else:
                answers = [first] if first.is_handshake else await wholes(first, chunks, request.n)
                self.answer(teller.whole(answers))

    async def _events(self, first: Chunk, chunks: Chunks, n: int, teller: Teller) -> AsyncGenerator[bytes, None]:
        """All answers piece by piece, mixed as they come. Whoever gets the last one has got all."""
        chunk, last = first, list[Chunk]()
        while True:
            told = b"".join(map(self.event, teller.pieces(chunk)))
            last += [chunk] if chunk.done else []
            if len(last) == n:
                break
            if told:
                yield told
            chunk = await next_chunk(chunks)
        self.ended = True
        yield told + b"".join(map(self.event, teller.ending(last))) + self.end_mark


class ChatCompletions(Generation):
    """POST: an answer to a conversation."""

    async def post(self) -> None:
        request, include_usage = await self.read(openai.chat_request, empty="EOF")
        teller = openai.Completion(request.model, include_usage)
        await self.respond(self.ollama.service.chat(request), request, teller)


class Completions(Generation):
    """POST: an answer to a prompt."""

    async def post(self) -> None:
        call = await self.read(openai.completion_request, empty="EOF")
        chunks = self.ollama.service.generate(call.request)
        await self.respond(chunks, call.request, openai.TextCompletion(call))


class Responses(Generation):
    """POST: an answer to a conversation, as items and events."""

    end_mark = b""
    _response: openai.Response | None = None

    async def post(self) -> None:
        call = await self.read(openai.response_request, empty="EOF")
        self._response = openai.Response(call)
        await self.respond(self.ollama.service.chat(call.request), call.request, self._response)

    def event(self, piece: dict[str, Any]) -> bytes:
        return f"event: {piece['type']}\n".encode() + event(piece)

    def error_line(self, status: int, message: str) -> bytes:
        return self.event(self._response.failed(message)) if self._response else super().error_line(status, message)


class Models(OpenAIResource):
    """GET: the models of the store."""

    async def get(self) -> None:
        self.answer(openai.models(await self.ollama.library.tags()))


class Model(OpenAIResource):
    """GET: one model. Its name may hold `/` and `:`."""

    async def get(self, name: str) -> None:
        description = await self.ollama.library.show(name)
        self.answer(openai.model(name, description.modified_at))
