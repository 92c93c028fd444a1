"""Pulls and pushes of one store, each as a job that all who ask for the same share."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from ollama_jupyter.config import Settings
from ollama_jupyter.errors import InvalidName
from ollama_jupyter.library.create import Ensure
from ollama_jupyter.library.scan import telling
from ollama_jupyter.library.transfer import Transfers
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import Progress, PullRequest, PushRequest
from ollama_jupyter.names import ModelName, spelled_out
from ollama_jupyter.store.models import Store

if TYPE_CHECKING:
    from ollama_jupyter.registry import Access

PULL_OPENING = "pulling manifest"
PUSH_OPENING = "retrieving manifest"


class Remote:
    """What the store gets from registries, and gives to them.

    Args:
        ensure: brings a model that the package itself carries into the store, before it is pushed.
    """

    def __init__(self, store: Store, settings: Settings, ensure: Ensure) -> None:
        self._store = store
        self._settings = settings
        self._ensure = ensure
        self._transfers = Transfers()

    def pull(self, request: PullRequest, *, trusted: bool) -> AsyncGenerator[Progress, None]:
        """Get a model; status lines in Ollama's order. Everything but a bad name is told after the first line.

        Args:
            trusted: whether whoever asks may have us connect to private addresses.

        Raises:
            InvalidName: at once, if the request names no model.
        """
        name = ModelName.parse(request.model)
        prune = not self._settings.noprune

        def work(report: Report, cancel: threading.Event) -> None:
            from ollama_jupyter import registry

            target = self._store.manifests.canonical(name)
            terms = self._access(request, trusted)
            told = telling(self._store, target, report)
            registry.pull(self._store, target, access=terms, report=told, cancel=cancel, prune=prune)

        return self._transfers.follow(("pull", name.folded, request.insecure, trusted), PULL_OPENING, work)

    def push(self, request: PushRequest, *, trusted: bool) -> AsyncGenerator[Progress, None]:
        """Give a model to its registry; as `pull`, but even a bad name is told after the first line."""
        try:
            name = ModelName.parse(request.model)
        except InvalidName:
            return _unqualified(request.model)

        def work(report: Report, cancel: threading.Event) -> None:
            from ollama_jupyter import registry

            self._ensure(name, lambda progress: None)
            terms = self._access(request, trusted)
            registry.push(self._store, name, access=terms, report=report, cancel=cancel)

        return self._transfers.follow(("push", name, request.insecure, trusted), PUSH_OPENING, work)

    def _access(self, request: PullRequest | PushRequest, trusted: bool) -> Access:
        return access(self._settings, insecure=request.insecure, trusted=trusted)

    async def close(self) -> None:
        """End what is under way; partly fetched files stay for the next time."""
        await self._transfers.close()


def access(settings: Settings, *, insecure: bool, trusted: bool) -> Access:
    """The terms of a transfer that somebody asked for."""
    from ollama_jupyter.registry import Access

    return Access(
        insecure=insecure,
        trusted=trusted,
        registries=settings.registries,
        streams=settings.transfer_streams,
    )


async def _unqualified(text: str) -> AsyncGenerator[Progress, None]:
    yield Progress(PUSH_OPENING)
    yield Progress("couldn't retrieve manifest")
    raise InvalidName(f"unqualified name: {spelled_out(text)}")
