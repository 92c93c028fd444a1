"""Library: the asynchronous face of the store. Nothing here blocks the event loop."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

from ollama_jupyter.config import Settings
from ollama_jupyter.errors import BadRequest, Forbidden, ModelNotFound
from ollama_jupyter.library.create import Ensure, Probe, create
from ollama_jupyter.library.describe import describe
from ollama_jupyter.library.embedded import DISTRIBUTION, NAME, EmbeddedModel
from ollama_jupyter.library.listing import Listing
from ollama_jupyter.library.remote import Remote
from ollama_jupyter.library.tools import StoreTools
from ollama_jupyter.library.uploads import BlobUpload
from ollama_jupyter.library.work import Report, in_thread, stream
from ollama_jupyter.messages import (
    CreateRequest,
    ModelDescription,
    ModelSummary,
    Progress,
    PullRequest,
    PushRequest,
)
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store.manifests import CorruptManifest, Manifest
from ollama_jupyter.store.models import Model, Store
from ollama_jupyter.store.recovery import recover

log = logging.getLogger("ollama_jupyter.library")


class Library:
    """The model-free verbs of one store.

    Args:
        probe: tries a model file in a place where a crash does no harm, before a model is published from it. Called in
            a thread; raises an error of ours to refuse the file.
    """

    def __init__(self, store: Store, settings: Settings, probe: Probe | None = None) -> None:
        self.store = store
        self._settings = settings
        self._probe = probe
        self._embedded = EmbeddedModel(store)
        self._listing = Listing(store)
        self.tools = StoreTools(store, settings, self._embedded)
        self.recovery = threading.Thread(target=self._recover, name="ollama-recovery", daemon=True)
        self._remote = Remote(store, settings, self._embedded.ensure)

    @classmethod
    def open(cls, settings: Settings, probe: Probe | None = None) -> Library:
        """The library of the folders that the settings name. A thread begins to tidy the store at once."""
        library = cls(Store(settings.models_dir, settings.shared_dirs), settings, probe)
        library.recovery.start()
        return library

    def _recover(self) -> None:
        for number, folder in enumerate(self.store.shared, start=2):
            if not (folder / "manifests").is_dir():
                log.warning("folder %d of OLLAMA_MODELS is no model store, or cannot be read: left out", number)
        try:
            if done := str(recover(self.store, prune=not self._settings.noprune)):
                log.info("tidied the model store: %s", done)
        except OSError as error:
            log.warning("cannot tidy the model store: %s", error.strerror)

    # ---- reading

    async def tags(self) -> list[ModelSummary]:
        """Every model, newest first. With an empty store, the embedded default if its package is there."""
        return await in_thread(self._tags)

    def _tags(self) -> list[ModelSummary]:
        rows = self._listing.rows()
        offer = None if rows else self._embedded.offer()
        return rows if offer is None else [self._listing.offered(offer, self._embedded)]

    async def resolve(self, name: str) -> Model:
        """The model of this name; the embedded default is imported when it is asked for.

        Raises:
            InvalidName, ModelNotFound, ModelLoadError, BadRequest: as `Store.resolve`.
        """
        return await in_thread(lambda: self._resolve(name))

    def _resolve(self, text: str) -> Model:
        name = ModelName.parse(text)
        self._embedded.ensure(name, _ignore)
        try:
            return self.store.resolve(name)
        except ModelNotFound:
            raise ModelNotFound(text) from None

    async def show(
        self,
        name: str,
        *,
        system: str | None = None,
        options: Mapping[str, object] | None = None,
        verbose: bool = False,
    ) -> ModelDescription:
        """Everything about a model. Of its arrays only with `verbose`.

        Raises:
            BadRequest: without a name.
            ModelNotFound: with the name in its full short form, `name:tag`.
        """
        if not name:
            raise BadRequest("model is required")
        parsed = ModelName.parse(name)

        go = self._settings.go_template

        def work() -> ModelDescription:
            model = self._resolve(str(self.store.manifests.canonical(parsed)))
            return describe(self.store, model, system=system, options=options, verbose=verbose, prefer_go=go)

        return await in_thread(work)

    # ---- changing

    async def create(self, request: CreateRequest, *, trusted: bool = False) -> AsyncGenerator[Progress, None]:
        """Make a model; status lines in Ollama's order. What can be refused is refused before the first one.

        A base model that is not here is pulled, with all lines of a pull; `trusted` as for that. The threads that make
        models are few, so none of them waits for it: the making ends, and begins anew when the model is there.
        """
        try:
            async for progress in self._create(request, self._here):
                yield progress
        except _NotHere as missing:
            async with aclosing(self.pull(PullRequest(missing.name.qualified), trusted=trusted)) as lines:
                async for progress in lines:
                    yield progress
            async for progress in self._create(request, self._embedded.ensure):
                yield progress

    def _create(self, request: CreateRequest, ensure: Ensure) -> AsyncIterator[Progress]:
        return stream(
            lambda report: create(
                self.store,
                request,
                report,
                ensure=ensure,
                prune=not self._settings.noprune,
                probe=self._probe,
            )
        )

    def _here(self, name: ModelName, report: Report) -> None:
        """Raises _NotHere for a model that is neither stored nor brought along."""
        self._embedded.ensure(name, report)
        if self.store.find(name) is None:
            raise _NotHere(name)

    def pull(self, request: PullRequest, *, trusted: bool) -> AsyncGenerator[Progress, None]:
        """Get a model from its registry: see `Remote.pull`."""
        return self._remote.pull(request, trusted=trusted)

    def push(self, request: PushRequest, *, trusted: bool) -> AsyncGenerator[Progress, None]:
        """Give a model to its registry: see `Remote.push`."""
        return self._remote.push(request, trusted=trusted)

    async def close(self) -> None:
        """End the transfers under way."""
        await self._remote.close()

    def import_default(self) -> AsyncIterator[Progress]:
        """Import the embedded default now, if it is there and not imported; progress as it goes."""
        return stream(lambda report: self._embedded.ensure(NAME, report))

    async def copy(self, source: str, destination: str) -> None:
        """Give a model a second name; what that name was before is replaced.

        Raises:
            InvalidName: naming the side that is no name.
            ModelNotFound: if there is no such source.
        """
        old = ModelName.parse(source, error=f"source {_quoted(source)} is invalid")
        new = ModelName.parse(destination, error=f"destination {_quoted(destination)} is invalid")
        await in_thread(lambda: self._copy(old, new, source))

    def _copy(self, source: ModelName, destination: ModelName, text: str) -> None:
        self._embedded.ensure(source, _ignore)
        with self.store.lock:
            found = self.store.find(source)
            if found is None:
                raise ModelNotFound(text, f"model {_quoted(text)} not found")
            target = self.store.manifests.canonical(destination)
            if target == found[0]:
                return
            replaced = self._manifest_or_none(target)
            self.store.manifests.put(target, found[1])
            if replaced and not self._settings.noprune:
                self.store.prune(replaced.digests)

    async def delete(self, name: str) -> None:
        """Remove a model, and the blobs that no other model uses.

        Raises:
            BadRequest: without a name, or for the embedded default while it only stands in for an empty store.
            InvalidName: if it is no name.
            ModelNotFound: with the name as sent.
            Forbidden: if the model lies in a shared folder.
        """
        if not name:
            raise BadRequest("model is required")
        parsed = ModelName.parse(name, error=f"name {_quoted(name)} is invalid")
        await in_thread(lambda: self._delete(parsed, name))

    def _delete(self, name: ModelName, text: str) -> None:
        with self.store.lock:
            stored = self.store.manifests.canonical(name)
            if stored not in self.store.manifests.names():
                raise self._undeletable(name) or ModelNotFound(text)
            if not self.store.manifests.is_own(stored):
                raise Forbidden(f"model '{stored}' is in a shared read-only store")
            manifest = self._manifest_or_none(stored)
            self.store.manifests.delete(stored)
            if manifest:
                self.store.prune(manifest.digests)

    def _undeletable(self, name: ModelName) -> BadRequest | None:
        if not self._embedded.matches(name) or not self._embedded.installed or self.store.manifests.names():
            return None
        return BadRequest(f"model '{name}' comes with the package {DISTRIBUTION}: uninstall that to be rid of it")

    def _manifest_or_none(self, name: ModelName) -> Manifest | None:
        try:
            return self.store.manifests.get(name)
        except CorruptManifest:
            return None

    # ---- blobs

    async def has_blob(self, digest: str) -> bool:
        """Whether the blob is stored.

        Raises:
            InvalidDigest: if the text is no digest.
        """
        parsed = Digest.parse(digest)
        return await in_thread(lambda: self._has_blob(parsed))

    def _has_blob(self, digest: Digest) -> bool:
        self.store.blobs.keep(digest)  # whoever asks is about to name it
        return self.store.blobs.has(digest)

    def blob_writer(self, digest: str) -> BlobUpload:
        """An upload of the blob of this digest: `async with`, `write` its pieces, `commit`.

        Raises:
            InvalidDigest: if the text is no digest.
        """
        return BlobUpload(self.store, Digest.parse(digest))


class _NotHere(Exception):
    """A base model must be pulled first. Nothing has been reported then."""

    def __init__(self, name: ModelName) -> None:
        super().__init__(str(name))
        self.name = name


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _ignore(progress: Progress) -> None:
    pass
