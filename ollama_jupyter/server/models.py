"""`/api/tags|ps|show|create|copy|delete`: the models of the store and those in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from ollama_jupyter.api import ollama, ollama_answers
from ollama_jupyter.api.wire import encode
from ollama_jupyter.messages import Progress
from ollama_jupyter.server.base import Resource


class Tags(Resource):
    """GET, HEAD: the models of the store."""

    async def get(self) -> None:
        self.answer(ollama_answers.tags(await self.ollama.library.tags()))

    head = get


class Ps(Resource):
    """GET: the models in memory."""

    async def get(self) -> None:
        self.answer(ollama_answers.ps(self.ollama.manager.ps()))


class Show(Resource):
    """POST: everything about one model."""

    auth_action = "read"

    async def post(self) -> None:
        arguments = await self.read(ollama.show_arguments)
        self.answer(ollama_answers.show(await self.ollama.library.show(**arguments)))


class Create(Resource):
    """POST: a model from another one or from uploaded files, with a line for each step."""

    async def post(self) -> None:
        request = await self.read(ollama.create_request)
        steps = self.ollama.library.create(request)
        if request.stream:
            await self.stream(_lines(steps))
        else:
            self.answer(ollama_answers.progress(await _last(steps)), "application/json")


async def _lines(steps: AsyncIterator[Progress]) -> AsyncGenerator[bytes, None]:
    async for step in steps:
        yield encode(ollama_answers.progress(step)) + b"\n"


async def _last(steps: AsyncIterator[Progress]) -> Progress:
    last = Progress("success")
    async for step in steps:
        last = step
    return last


class Copy(Resource):
    """POST: a second name for a model."""

    async def post(self) -> None:
        source, destination = await self.read(ollama.copy_arguments)
        await self.ollama.library.copy(source, destination)
        self.answer_empty()


class Delete(Resource):
    """DELETE, POST: forget a model, and the blobs that only it used."""

    async def delete(self) -> None:
        await self.ollama.library.delete(await self.read(ollama.delete_argument))
        self.answer_empty()

    post = delete
