"""The download of one blob: streams that fill its partial file; what has come is hashed and synced beside them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from ollama_jupyter.errors import Canceled, Trouble
from ollama_jupyter.registry.client import RegistryClient
from ollama_jupyter.registry.patience import Patience
from ollama_jupyter.registry.plan import Piece, Plan
from ollama_jupyter.registry.source import Source
from ollama_jupyter.store.partial import Partial

CHUNK = 1 << 20
TICK_SECONDS = 0.06
SYNC_LEAST, SYNC_MOST, SYNC_SECONDS = 1 << 20, 64 << 20, 1.0
"""What has come is made safe when it is a hundredth of the blob, within these bounds, or after so long."""
SYNC_SHARE = 4
"""But between two syncs lies so many times what the last one took: a slow disk is not kept busy with it."""


class Download:
    """Fetches what a partial blob lacks.

    Args:
        streams: connections at once. With one, the blob is asked for in one piece, as by the simplest client.
        tick: told again and again how many bytes are safe; raises to give up.
    """

    def __init__(
        self, client: RegistryClient, source: Source, partial: Partial, streams: int, tick: Callable[[int], None]
    ) -> None:
        self._client = client
        self._source = source
        self._partial = partial
        self._plan = Plan(partial.missing(0, partial.size), partial.size, streams)
        self._streams = min(streams, len(self._plan))
        self._tick = tick
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._error: Exception | None = None
        self._sync_bytes = min(max(partial.size // 100, SYNC_LEAST), SYNC_MOST)
        self._is_alone = True
        self._hash = hashlib.sha256()

    def run(self) -> str:
        """Fetch it all; the hex digest of what is then there.

        Raises:
            RegistryError: if the registry has it not, denies it, or fails again and again.
            InsufficientStorage: if the disk is full.
            Canceled: if the transfer was cancelled.
        """
        self._start(self._hash_along)
        self._start(self._sync_along)
        if self._streams:
            self._start(self._work)
        try:
            while self._is_busy():
                self._changed.wait(TICK_SECONDS)
                self._changed.clear()
                if self._client.cancel.is_set():
                    raise Canceled
                self._partial.note()
                self._tick(self._partial.safe)
        except Exception as error:
            self._fail(error)
        finally:
            self._end()
        if self._error is not None:
            raise self._error
        return self._hash.hexdigest()

    # ---- threads

    def _start(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:
                self._fail(error)
            finally:
                self._changed.set()

        thread = threading.Thread(target=guarded, name="ollama-pull", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _is_busy(self) -> bool:
        return self._error is None and any(thread.is_alive() for thread in self._threads)

    def _fail(self, error: Exception) -> None:
        """Note the first error; those that follow are of its making."""
        if self._error is None:
            self._error = error
        self._stop.set()
        self._changed.set()

    def _end(self) -> None:
        """Wait until no thread touches the file any more, and make safe what has come."""
        self._stop.set()
        for thread in self._threads:
            while thread.is_alive():
                self._client.shut()  # only after a failure is any of them still at work
                thread.join(0.1)
        try:
            self._partial.checkpoint()
        except Exception as error:
            self._fail(error)

    # ---- fetching

    def _work(self) -> None:
        while not self._stop.is_set() and (piece := self._plan.take()):
            self._fetch(piece)
            self._plan.finish(piece)

    def _fetch(self, piece: Piece) -> None:
        patience = Patience(self._stop)
        while piece.start < piece.end and not self._stop.is_set():
            patience.insist(lambda: self._stream(piece, patience))

    def _stream(self, piece: Piece, patience: Patience) -> None:
        part = self._source.open(piece.start, piece.end)
        with part.response as response:
            if part.whole:  # the other side knows no ranges, or was not asked for one
                if not self._plan.take_all(piece):
                    return
            elif self._is_alone:
                self._start_others()
            position = part.start
            while position < min(part.end, piece.end) and not self._stop.is_set():
                data = response.some(min(CHUNK, part.end - position))
                if not data:
                    raise Trouble(f"{response.url.origin.netloc}: the connection was cut")
                if self._put(position, data):
                    patience.progress()
                position += len(data)
                piece.start = max(piece.start, position)

    def _start_others(self) -> None:
        """The other side knows ranges: use more streams."""
        self._is_alone = False
        for _ in range(self._streams - 1):
            self._start(self._work)

    def _put(self, position: int, data: bytes) -> bool:
        """Write those of the bytes that were not there. False if all were."""
        gaps = self._partial.missing(position, position + len(data))
        for start, end in gaps:
            whole = end - start == len(data)
            self._partial.write(start, data if whole else data[start - position : end - position])
        return bool(gaps)

    # ---- hashing

    def _hash_along(self) -> None:
        position = 0
        while position < self._partial.size:
            ready = self._partial.prefix - position
            if ready < min(CHUNK, self._partial.size - position):
                if self._stop.wait(TICK_SECONDS / 4):
                    return
                continue
            data = self._partial.read(position, min(CHUNK, ready))
            self._hash.update(data)
            position += len(data)
            if self._stop.is_set():
                return

    # ---- syncing

    def _sync_along(self) -> None:
        """Make safe what has come, often enough, but do not keep a slow disk busy with it."""
        took = waited = 0.0
        while self._partial.safe < self._partial.size:
            if self._stop.wait(TICK_SECONDS / 4):
                return
            waited += TICK_SECONDS / 4
            due = self._partial.unsafe >= self._sync_bytes or waited > SYNC_SECONDS
            if self._partial.is_whole or (due and waited >= SYNC_SHARE * took):
                started = time.monotonic()
                self._partial.checkpoint()
                took, waited = time.monotonic() - started, 0.0
