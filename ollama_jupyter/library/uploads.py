"""Blobs that clients upload, on their way to the disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType

from ollama_jupyter.library.work import UPLOADS, in_thread
from ollama_jupyter.names import Digest
from ollama_jupyter.store.blobs import BlobWriter
from ollama_jupyter.store.models import Store


class BlobUpload:
    """A blob on its way in. Left without `commit`, or with the wrong bytes, it leaves nothing behind."""

    def __init__(self, store: Store, digest: Digest) -> None:
        self._store = store
        self._digest = digest
        self._writer: BlobWriter | None = None
        self._turn = threading.Lock()  # a cancelled write goes on in its thread: nobody may close the file under it

    async def __aenter__(self) -> BlobUpload:
        self._writer = await in_thread(lambda: self._store.blobs.writer(self._digest), UPLOADS)
        return self

    @property
    def writer(self) -> BlobWriter:
        assert self._writer is not None, "use `async with`"
        return self._writer

    async def write(self, data: bytes) -> None:
        await self._do(lambda: self.writer.write(data))

    async def commit(self) -> None:
        """Publish the blob.

        Raises:
            BadRequest: if its bytes do not have the digest that was promised.
        """
        await self._do(self.writer.commit)

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        # Shielded: a cancelled task may not get to await it, and it is to happen all the same.
        await asyncio.shield(asyncio.ensure_future(self._do(self.writer.abort)))

    async def _do(self, work: Callable[[], object]) -> None:
        def in_turn() -> None:
            with self._turn:
                work()

        await in_thread(in_turn, UPLOADS)
