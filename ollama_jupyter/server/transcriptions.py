"""`/v1/audio/transcriptions`: a form with a file, bounded while it arrives."""

from __future__ import annotations

import asyncio

from tornado import httputil

from ollama_jupyter.api import openai
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.server.base import PLAIN
from ollama_jupyter.server.body import MAX_BODY, too_large
from ollama_jupyter.server.generate import first_chunk, whole
from ollama_jupyter.server.openai import Generation


class Transcriptions(Generation):
    """POST: what is said in a recording."""

    async def prepare(self) -> None:
        self._form = bytearray()
        await super().prepare()

    async def take(self, chunk: bytes) -> None:
        self._form += chunk
        if len(self._form) > MAX_BODY:
            raise too_large()

    async def post(self) -> None:
        form, recording = await asyncio.to_thread(self._read_form)
        asked = openai.transcription_request(form, recording)
        chunks = self.ollama.service.chat(asked.request)
        text = (await whole(await first_chunk(self, chunks), chunks)).text
        if asked.plain:
            self.set_header("Content-Type", PLAIN)
            self.finish(text)
        else:
            self.answer({"text": text})

    def _read_form(self) -> tuple[dict[str, str], bytes | None]:
        """The texts of the form, and its file."""
        kind = self.request.headers.get("Content-Type", "")
        texts: dict[str, list[bytes]] = {}
        files: dict[str, list[httputil.HTTPFile]] = {}
        if not kind.startswith("multipart/form-data"):
            raise BadRequest("failed to parse multipart form: the Content-Type must be multipart/form-data")
        try:
            httputil.parse_body_arguments(kind, bytes(self._form), texts, files)
        except httputil.HTTPInputError as error:
            raise BadRequest(f"failed to parse multipart form: {error}") from None
        found = files.get("file")
        told = {name: values[-1].decode("utf-8", "replace") for name, values in texts.items() if values}
        return told, found[0].body if found else None
