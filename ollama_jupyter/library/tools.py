"""Tools for a store's owner: verify and scan, for the server, and for the terminal where no server runs."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from ollama_jupyter.config import Settings
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.library import scan as scanning
from ollama_jupyter.library.embedded import EmbeddedModel
from ollama_jupyter.library.remote import access
from ollama_jupyter.library.repair import Refetch, Repair
from ollama_jupyter.library.verify import verify
from ollama_jupyter.library.work import Report, in_thread, stream
from ollama_jupyter.messages import Progress, VerifyRequest
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.reports import ScanReport, VerifyReport
from ollama_jupyter.store.manifests import LAYER_TYPE, Layer
from ollama_jupyter.store.models import Store

if TYPE_CHECKING:
    from ollama_jupyter.registry import Access


class StoreTools:
    """Verify and scan of one store."""

    def __init__(self, store: Store, settings: Settings, embedded: EmbeddedModel) -> None:
        self._store = store
        self._settings = settings
        self._embedded = embedded

    async def verify(self, request: VerifyRequest, *, trusted: bool) -> AsyncGenerator[Progress | VerifyReport, None]:
        """Check the blobs, and mend what can be mended if asked to: progress in bytes, and the report last.

        Args:
            trusted: whether whoever asks may have us connect to private addresses.

        Raises:
            InvalidName, ModelNotFound: if it is about a model that there is not.
        """
        found: list[VerifyReport] = []
        steps = stream(lambda report: found.append(self.verify_now(request, report, trusted=trusted)))
        async with aclosing(steps):
            async for progress in steps:
                yield progress
        yield found[0]

    def verify_now(self, request: VerifyRequest, report: Report, *, trusted: bool) -> VerifyReport:
        """The same at once, in the calling thread."""
        name = ModelName.parse(request.model) if request.model else None
        found, wanted = verify(self._store, report, name=name)
        if not request.repair:
            return found
        refetch = _refetch(self._store, access(self._settings, insecure=request.insecure, trusted=trusted))
        return Repair(self._store, wanted, self._embedded, refetch).mend(found, report)

    async def scan(self, name: str) -> ScanReport:
        """What a model holds that its user should know.

        Raises:
            BadRequest: without a name.
            InvalidName, ModelNotFound, ModelLoadError: if it cannot be scanned.
        """
        if not name:
            raise BadRequest("model is required")
        return await in_thread(lambda: self.scan_now(name))

    def scan_now(self, name: str) -> ScanReport:
        """The same at once, in the calling thread."""
        parsed = ModelName.parse(name)
        self._embedded.ensure(parsed, _ignore)
        return scanning.scan_model(self._store, parsed)


def verify_store(settings: Settings, request: VerifyRequest, report: Report) -> VerifyReport:
    """Verify the store that the settings name, for its own user, without a server."""
    return _tools(settings).verify_now(request, report, trusted=True)


def scan_model(settings: Settings, name: str) -> ScanReport:
    """Scan a model of the store that the settings name, without a server."""
    return _tools(settings).scan_now(name)


def _tools(settings: Settings) -> StoreTools:
    store = Store(settings.models_dir, settings.shared_dirs)
    return StoreTools(store, settings, EmbeddedModel(store))


def _refetch(store: Store, terms: Access) -> Refetch:
    """Fetches single blobs, and leaves manifests alone: a tag may by now name another model."""

    def refetch(digest: Digest, size: int, name: ModelName, report: Report) -> None:
        from ollama_jupyter.registry.blob import Blob
        from ollama_jupyter.registry.client import RegistryClient

        blob = Blob(store, Layer(LAYER_TYPE, digest, size), report)
        with RegistryClient(name, terms, threading.Event()) as client:
            blob.fetch(client, terms.streams)
        with store.lock:
            blob.adopt()

    return refetch


def _ignore(progress: Progress) -> None:
    pass
