"""`/api/tags|ps|show|create|pull|push|copy|delete`: the models of the store and those in memory."""

from __future__ import annotations

from contextlib import aclosing

from ollama_jupyter.api import ollama, ollama_answers
from ollama_jupyter.errors import OllamaJupyterError
from ollama_jupyter.server.base import Resource
from ollama_jupyter.server.stepwise import Steps, Stepwise


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


class Create(Stepwise):
    """POST: a model from another one or from uploaded files."""

    async def post(self) -> None:
        request = await self.read(ollama.create_request)
        steps = self.ollama.library.create(request, trusted=self.trusts_private)
        await self.tell(steps, stream=request.stream)


class Pull(Stepwise):
    """POST: a model from its registry."""

    async def post(self) -> None:
        request = await self.read(ollama.pull_request)
        steps = self.ollama.library.pull(request, trusted=self.trusts_private)
        await self.tell(_no_status(steps), stream=request.stream)


class Push(Stepwise):
    """POST: a model to its registry."""

    async def post(self) -> None:
        request = await self.read(ollama.push_request)
        steps = self.ollama.library.push(request, trusted=self.trusts_private)
        await self.tell(_no_status(steps), stream=request.stream)


async def _no_status(steps: Steps) -> Steps:
    """The steps, every failure a plain 500 where it needs a status: as Ollama has it here, whatever went wrong."""
    async with aclosing(steps):
        try:
            async for step in steps:
                yield step
        except OllamaJupyterError as error:
            raise OllamaJupyterError(error.message) from error


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
