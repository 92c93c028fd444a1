"""The application that all doors share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from ollama_jupyter.config import Settings
from ollama_jupyter.errors import Canceled, Stopping

if TYPE_CHECKING:
    from ollama_jupyter.library import Library
    from ollama_jupyter.manager import Manager
    from ollama_jupyter.reports import DoctorReport
    from ollama_jupyter.service import Service

log = logging.getLogger("ollama_jupyter.server")

CLOSE_S = 1.2
"""Seconds that running requests and the models have to end when the server does."""


class Work(Protocol):
    """A request under way."""

    @property
    def label(self) -> str: ...
    def interrupt(self, reason: Canceled) -> None: ...


class Ollama:
    """Settings, library, service and manager, and the requests that are under way on any door."""

    def __init__(self, settings: Settings, library: Library, service: Service, manager: Manager) -> None:
        self.settings = settings
        self.library = library
        self.service = service
        self.manager = manager
        self.active: set[Work] = set()
        self.closing = False
        self.touch: Callable[[], None] = lambda: None  # tells a host of ours that somebody is at work
        self._examination: asyncio.Future[DoctorReport] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    def create(cls, settings: Settings) -> Ollama:
        """The real thing. Imports here are lazy: a Jupyter server loads this extension at its start."""
        from ollama_jupyter.library import Library
        from ollama_jupyter.manager import Manager
        from ollama_jupyter.service import Service

        manager = Manager.open(settings)
        library = Library.open(settings, manager.try_file)
        return cls(settings, library, Service(library.resolve, manager, settings), manager)

    async def start(self) -> None:
        """Called once, on the running loop, before the first request."""
        await self.manager.start()

    async def examine(self) -> DoctorReport:
        """What the doctor says. It loads a model, so whoever asks while it is at work gets the same report."""
        if self._examination is None or self._examination.done():
            self._examination = asyncio.ensure_future(self._examined())
        return await asyncio.shield(self._examination)

    async def _examined(self) -> DoctorReport:
        from ollama_jupyter.doctor import run_checks
        from ollama_jupyter.library.work import in_own_thread

        return await in_own_thread(lambda: run_checks(self.settings))

    def begin(self, work: Work) -> None:
        """Count a request as under way."""
        self.active.add(work)
        self._idle.clear()

    def end(self, work: Work) -> None:
        self.active.discard(work)
        if not self.active:
            self._idle.set()

    async def close(self) -> None:
        """Tell running requests that the server is ending, give them a moment, unload the models. Idempotent."""
        if self.closing:
            return
        self.closing = True
        for work in list(self.active):
            work.interrupt(Stopping())
        await _within(CLOSE_S / 2, self._idle.wait(), "running requests")
        await _within(CLOSE_S / 4, self.library.close(), "transfers")
        await _within(CLOSE_S / 2, self.manager.close(), "the models")
        self.service.close()


async def _within(seconds: float, end: Awaitable[object], what: str) -> None:
    try:
        await asyncio.wait_for(end, seconds)
    except asyncio.TimeoutError:
        log.warning("gave up waiting for %s to end", what)
