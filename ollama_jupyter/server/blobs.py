"""`/api/blobs/DIGEST`: is a blob there, and its upload, streamed to disk."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ollama_jupyter.errors import NotFound
from ollama_jupyter.server.base import Resource

if TYPE_CHECKING:
    from ollama_jupyter.library import BlobUpload, Library

PIECE = 2**20
"""Bytes collected before they go to the disk: all of an upload that is ever in memory."""


class Upload:
    """A blob on its way to the disk. What is not committed is removed when it is closed."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._pending = bytearray()
        self._committing = False

    async def open(self, library: Library, digest: str) -> None:
        self._writer: BlobUpload = await self._stack.enter_async_context(library.blob_writer(digest))

    async def feed(self, chunk: bytes) -> None:
        self._pending += chunk
        if len(self._pending) >= PIECE:
            await self._write()

    async def _write(self) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        await self._writer.write(data)

    async def commit(self) -> None:
        """Write the rest, check the digest, publish. Once begun it runs to its end: a thread cannot be cancelled,
        and nobody may close the file under it."""
        self._committing = True
        await asyncio.shield(asyncio.ensure_future(self._commit()))

    async def _commit(self) -> None:
        async with self._stack:
            await self._write()
            await self._writer.commit()

    async def close(self) -> None:
        if not self._committing:
            await self._stack.aclose()


class Blob(Resource):
    """HEAD: whether a blob is there. POST: its bytes."""

    _upload: Upload | None = None
    _closing: asyncio.Task[None] | None = None

    async def expect_body(self, size: int) -> None:
        """Open the temporary file before the first byte; a blob that is there already is not read again."""
        if self.request.method != "POST":
            return await super().expect_body(size)
        digest = self.path_args[0]
        if not await self.ollama.library.has_blob(digest):
            self._upload = Upload()
            await self._upload.open(self.ollama.library, digest)
        elif self._has_body():
            self.clear_header("Content-Type")
            self.answer_early(None)
        return None

    async def take(self, chunk: bytes) -> None:
        if self._upload is None:
            await super().take(chunk)
        else:
            await self._upload.feed(chunk)

    async def head(self, digest: str) -> None:
        if not await self.ollama.library.has_blob(digest):
            raise NotFound(f'blob "{digest}" not found')
        self.answer_empty()

    async def post(self, digest: str) -> None:
        if self._upload is None:
            return self.answer_empty()
        await self._upload.commit()
        return self.answer_empty(201)

    def on_finish(self) -> None:
        self._abandon()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._abandon()

    def _abandon(self) -> None:
        if self._upload is not None and self._closing is None:
            self._closing = asyncio.ensure_future(self._upload.close())
