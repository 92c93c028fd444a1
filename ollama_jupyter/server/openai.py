"""`/v1/*`: OpenAI's chat completions and model list."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ollama_jupyter.api import openai
from ollama_jupyter.api.wire import encode
from ollama_jupyter.messages import Chunk
from ollama_jupyter.server.base import Resource
from ollama_jupyter.server.generate import Chunks, first_chunk, next_chunk, whole

JSON = "application/json"
EVENTS = "text/event-stream"


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


class ChatCompletions(OpenAIResource):
    """POST: an answer to a conversation."""

    auth_resource = "ollama_jupyter:generate"
    auth_action = "execute"

    async def post(self) -> None:
        request, include_usage = await self.read(openai.chat_request, empty="EOF")
        completion = openai.Completion(request.model)
        async with aclosing(self.ollama.service.chat(request)) as chunks:
            first = await first_chunk(self, chunks)
            if request.stream:
                await self.stream(self._events(completion, first, chunks, include_usage), EVENTS)
            else:
                self.answer(completion.whole(await whole(first, chunks)))

    async def _events(
        self, completion: openai.Completion, first: Chunk, chunks: Chunks, include_usage: bool
    ) -> AsyncGenerator[bytes, None]:
        chunk = first
        while True:
            if chunk.text or chunk is first:
                yield event(completion.delta(chunk.text, first=chunk is first))
            if chunk.done:
                usage = event(completion.usage(chunk)) if include_usage else b""
                self.ended = True
                yield event(completion.last(chunk)) + usage + b"data: [DONE]\n\n"
                return
            chunk = await next_chunk(chunks)


class Models(OpenAIResource):
    """GET: the models of the store."""

    async def get(self) -> None:
        self.answer(openai.models(await self.ollama.library.tags()))


class Model(OpenAIResource):
    """GET: one model. Its name may hold `/` and `:`."""

    async def get(self, name: str) -> None:
        description = await self.ollama.library.show(name)
        self.answer(openai.model(name, description.modified_at))
