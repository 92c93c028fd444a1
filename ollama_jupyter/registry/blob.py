"""One blob of a pull, from its first byte to its place in the store."""

from __future__ import annotations

import time
from collections.abc import Callable

from ollama_jupyter.errors import Canceled, DigestMismatch
from ollama_jupyter.messages import Progress
from ollama_jupyter.registry.client import RegistryClient
from ollama_jupyter.registry.download import Download
from ollama_jupyter.registry.source import Source
from ollama_jupyter.store.manifests import Layer
from ollama_jupyter.store.models import Store
from ollama_jupyter.store.partial import Partial, adopt, allocated, claimed, is_verified

Report = Callable[[Progress], None]

REPORT_SECONDS = 0.06
WAIT_SECONDS = 0.2


class Blob:
    """A layer that is to be in the store."""

    def __init__(self, store: Store, layer: Layer, report: Report) -> None:
        self._store = store
        self._digest = layer.digest
        self._size = layer.size
        self._meter = Meter(layer, report)

    # ---- where it is

    @property
    def is_stored(self) -> bool:
        """Whether the store has it. It is not hashed again, but a file of another size is not it."""
        try:
            return self._store.blobs.size(self._digest) == self._size
        except OSError:
            return False

    @property
    def is_ready(self) -> bool:
        """Whether it is stored, or could be at once."""
        return self.is_stored or is_verified(self._store.models, self._digest, self._size)

    @property
    def space_needed(self) -> int:
        """Bytes of the disk that it will still take."""
        return max(self._size - allocated(self._store.models, self._digest), 0)

    def adopt(self) -> bool:
        """Move it to its place, if it is not there. The caller holds the store's lock."""
        return self.is_stored or adopt(self._store.models, self._digest, self._size)

    # ---- getting it

    def fetch(self, client: RegistryClient, streams: int) -> None:
        """See to it that it is stored, or waits in `partial/`, verified. If somebody else fetches it, wait for them.

        Raises:
            DigestMismatch: if twice other bytes came; nothing of them is kept.
            RegistryError, Trouble, InsufficientStorage, Canceled: as `Download.run`.
        """
        if self.is_stored:
            self._store.blobs.keep(self._digest)
        elif not self.is_ready:
            with Partial(self._store.models, self._digest, self._size, lambda: self._wait(client)) as partial:
                if self.is_stored:
                    partial.discard()
                elif not partial.verified:
                    self._download(client, partial, streams)
        self._meter.finish()

    def _wait(self, client: RegistryClient) -> None:
        if client.cancel.wait(WAIT_SECONDS):
            raise Canceled
        self._meter.show(claimed(self._store.models, self._digest))

    def _download(self, client: RegistryClient, partial: Partial, streams: int) -> None:
        got = ""
        for attempt in (streams, 1):  # in one plain stream, less can go wrong
            self._meter.show(partial.safe)
            source = Source(client, self._digest, self._size)
            got = Download(client, source, partial, attempt, self._meter.show).run()
            if got == self._digest.hex:
                partial.verify()
                return
            partial.reset()
        partial.discard()
        raise DigestMismatch(f"digest mismatch, file must be downloaded again: want {self._digest}, got sha256:{got}")


class Meter:
    """The progress lines of one blob: not too many, and never a smaller number than before."""

    def __init__(self, layer: Layer, report: Report, verb: str = "pulling") -> None:
        self._line = (f"{verb} {layer.digest.short}", str(layer.digest), layer.size)
        self._report = report
        self._shown = -1
        self._shown_at = 0.0

    def show(self, completed: int) -> None:
        now = time.monotonic()
        if completed > self._shown and now - self._shown_at >= REPORT_SECONDS:
            self._shown, self._shown_at = completed, now
            self._report(Progress(*self._line, completed))

    def finish(self) -> None:
        """The last line, told once, with all bytes."""
        total = self._line[2]
        if self._shown < total:
            self._shown = total
            self._report(Progress(*self._line, total))
