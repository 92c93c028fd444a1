"""`/api/embed`, `/api/embeddings`, `/v1/embeddings` and `/v1/rerank`."""

from __future__ import annotations

import asyncio

from ollama_jupyter.api import embeddings
from ollama_jupyter.server.base import Resource
from ollama_jupyter.server.openai import OpenAIResource


class Embed(Resource):
    """POST: vectors of texts."""

    auth_resource = "ollama_jupyter:generate"
    auth_action = "execute"

    async def post(self) -> None:
        request = await self.read(embeddings.embed_request)
        made = await self.ollama.service.embed(request)
        self.answer_text(await asyncio.to_thread(embeddings.embed_answer, request.model, made))


class EmbedPrompt(Embed):
    """POST: the vector of one text, as older clients ask for it."""

    async def post(self) -> None:
        request = await self.read(embeddings.embeddings_request)
        self.answer(embeddings.embeddings_answer(await self.ollama.service.embed(request)))


class OpenAIEmbeddings(OpenAIResource):
    """POST: vectors of texts."""

    auth_resource = "ollama_jupyter:generate"
    auth_action = "execute"

    async def post(self) -> None:
        request, as_base64 = await self.read(embeddings.openai_request, empty="EOF")
        made = await self.ollama.service.embed(request)
        self.answer_text(await asyncio.to_thread(embeddings.openai_answer, request.model, made, as_base64))


class Rerank(OpenAIResource):
    """POST: documents in the order of how well they answer a query."""

    auth_resource = "ollama_jupyter:generate"
    auth_action = "execute"

    async def post(self) -> None:
        request, top, with_documents = await self.read(embeddings.rerank_request, empty="EOF")
        made = await self.ollama.service.rerank(request)
        self.answer(embeddings.rerank_answer(request, made, top, with_documents))
