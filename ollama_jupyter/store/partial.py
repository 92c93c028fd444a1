"""A blob on its way in from a registry: a sparse file that several threads fill, and the journal of what is safe in it.

It survives whatever ends the process, and belongs to one writer at a time, across threads and processes: whoever has
the file's lock. A verified one stays beside `blobs/` until a manifest is about to name it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ollama_jupyter.names import Digest
from ollama_jupyter.store.files import FILE_MODE, make_folder, sync_folder
from ollama_jupyter.store.journal import Claims, Journal, sync
from ollama_jupyter.store.ranges import Range, Ranges
from ollama_jupyter.store.space import guarded, human

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


ADOPT_SECONDS = 2.0
NOTE_BYTES = 1 << 20
"""So many bytes, or a hundredth of the blob, a process that is killed may lose of what it has not synced."""
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""Nobody of us makes links here. Whose they are wants what they lead to to be overwritten."""


class Partial:
    """The partial blob of `digest`, held. A context manager: leaving it lets it go, and keeps what is there.

    Args:
        size: bytes of the whole blob.
        wait: called again and again while somebody else holds it; sleeps a moment, or raises to give up.
    """

    def __init__(self, models: Path, digest: Digest, size: int, wait: Callable[[], None]) -> None:
        self._path = digest.partial_path(models)
        self.size = size
        self._lock = threading.Lock()
        with guarded("nothing of the blob is lost"):
            self._number = _hold(self._path, wait)
            try:
                self._begin(self._trusted(Claims.read(journal_path(self._path))))
            except BaseException:
                os.close(self._number)
                raise

    def _trusted(self, claims: Claims) -> Claims:
        """The claims, unless they are about another size, or the file has lost its end."""
        ends = [end for _, end in claims.done]
        known = claims.size == self.size and max(ends, default=0) <= min(os.fstat(self._number).st_size, self.size)
        return claims if known else Claims()

    def _begin(self, claims: Claims) -> None:
        self.verified = claims.verified and claims.done.total == self.size
        self._written = claims.done  # what the file has
        self._fresh = Ranges()  # of that, what may not have reached the disk
        self._unnoted = Ranges()  # of that, what the journal does not know of at all
        if not claims.synced:
            sync(self._number)
        self._safe = claims.done.total
        if not self.verified:
            os.ftruncate(self._number, self.size)
            self._journal: Journal | None = Journal(journal_path(self._path), self.size, claims.done)
        else:
            self._journal = None

    # ---- what is there

    @property
    def safe(self) -> int:
        """Bytes that a power cut would not take."""
        return self._safe

    @property
    def unsafe(self) -> int:
        """Bytes written since the last checkpoint."""
        return self._fresh.total

    @property
    def is_whole(self) -> bool:
        """Whether all has been written."""
        return self._written.total == self.size

    @property
    def prefix(self) -> int:
        """Bytes that are there from the beginning on without a gap."""
        with self._lock:
            return self._written.prefix

    def missing(self, start: int, end: int) -> list[Range]:
        with self._lock:
            return self._written.missing(start, end)

    def read(self, offset: int, length: int) -> bytes:
        with guarded(self._kept()):
            return os.pread(self._number, length, offset)

    # ---- filling it

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes where they belong. Threads may do so at once.

        Raises:
            InsufficientStorage: if the disk is full; what was safe stays so.
        """
        with guarded(self._kept()):
            view, at = memoryview(data), offset
            while view:
                done = os.pwrite(self._number, view, at)
                view, at = view[done:], at + done
        with self._lock:
            for ranges in (self._written, self._fresh, self._unnoted):
                ranges.add(offset, offset + len(data))

    def note(self) -> None:
        """Remember what was written so far, should this process be killed. Quick, and no help against a power cut.

        It may be called as often as one likes: little is left for the next time, as each note makes the journal longer.
        """
        with self._lock:
            if self._unnoted.total < min(NOTE_BYTES, self.size // 100):
                return
            unnoted, self._unnoted = self._unnoted, Ranges()
        if unnoted.total and self._journal is not None:
            with guarded(self._kept()):
                self._journal.note(unnoted)

    def checkpoint(self) -> None:
        """Make safe what was written so far. One thread at a time."""
        with self._lock:
            fresh, self._fresh = self._fresh, Ranges()
        if fresh.total and self._journal is not None:
            with guarded(self._kept()):
                sync(self._number)
                self._journal.add(fresh)
            self._safe = min(self._safe + fresh.total, self.size)

    def verify(self) -> None:
        """Note that the blob is whole, and has the digest that it is named by."""
        self.checkpoint()
        if self._journal is not None:
            with guarded(self._kept()):
                self._journal.verify()
        self.verified = True

    def reset(self) -> None:
        """Begin anew: nothing of it is right."""
        self._close_journal()
        with guarded("the blob is fetched anew"):
            os.ftruncate(self._number, 0)
            self._begin(Claims())

    def discard(self) -> None:
        """Remove the file and its journal. Nothing but `close` may follow."""
        for path in (self._path, journal_path(self._path)):
            path.unlink(missing_ok=True)

    def _kept(self) -> str:
        return f"{human(self._safe)} of {human(self.size)} are kept, and pulling again goes on from there"

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def close(self) -> None:
        self._close_journal()
        os.close(self._number)

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def journal_path(part: Path) -> Path:
    return part.with_suffix(".journal")


def claimed(models: Path, digest: Digest) -> int:
    """Bytes that are safe in a partial blob that somebody may be filling."""
    return Claims.read(journal_path(digest.partial_path(models))).done.total


def allocated(models: Path, digest: Digest) -> int:
    """Bytes of the disk that a partial blob takes already."""
    try:
        return digest.partial_path(models).stat().st_blocks * 512
    except OSError:
        return 0


def is_verified(models: Path, digest: Digest, size: int) -> bool:
    """Whether a partial blob is there that waits for nothing but its adoption."""
    path = digest.partial_path(models)
    claims = Claims.read(journal_path(path))
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        return claims.verified and claims.size == size == found.st_size and stat.S_ISREG(found.st_mode)
    return False


def adopt(models: Path, digest: Digest, size: int) -> bool:
    """Publish a verified partial blob under its digest. The caller holds the store's lock.

    Returns:
        False if there is none, or somebody else has it and does not let go soon.
    """
    path = digest.partial_path(models)
    try:
        number = os.open(path, os.O_RDWR | _NO_LINK)
    except FileNotFoundError:
        return False
    try:
        deadline = time.monotonic() + ADOPT_SECONDS
        while not _claim(number):  # somebody looks whether it is verified, or has just found that it is
            if time.monotonic() >= deadline or not is_verified(models, digest, size):
                return False
            time.sleep(0.005)
        if not (_is_at(path, number) and is_verified(models, digest, size)):
            return False
        target = digest.blob_path(models)
        make_folder(target.parent)
        os.fchmod(number, FILE_MODE)
        os.fsync(number)
        path.replace(target)
        sync_folder(target.parent)
        journal_path(path).unlink(missing_ok=True)
    finally:
        os.close(number)
    return True


# ---- holding it


def _hold(path: Path, wait: Callable[[], None]) -> int:
    """The file at `path`, opened (made if there is none) and locked, once nobody else has it."""
    make_folder(path.parent)
    while True:
        if path.is_symlink():
            path.unlink(missing_ok=True)
        number = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, FILE_MODE)
        try:
            while not _claim(number):
                wait()
            if _is_at(path, number):
                return number
        except BaseException:
            os.close(number)
            raise
        os.close(number)  # it was adopted or discarded meanwhile: what is at the path now is another file


def _claim(number: int) -> bool:
    """Lock an open file. False if somebody else has it; a file system without locks has none to wait for."""
    if fcntl is not None:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


def _is_at(path: Path, number: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(number))
    return False
