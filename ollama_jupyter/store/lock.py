"""One lock for a models folder, held across threads and across the processes that use this package."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from ollama_jupyter.store.files import make_folder

try:
    import fcntl
except ImportError:  # Windows has no flock; there the lock holds within this process
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class StoreLock:
    """Held while references and blobs must not drift apart: writing a manifest, and pruning. Not reentrant.

    Reading takes no lock: a reader tolerates what vanishes. On a file system without locks (some network file systems
    of clusters) it holds within this process only.
    """

    def __init__(self, models: Path) -> None:
        self._path = models / "partial" / "lock"
        self._thread = threading.Lock()
        self._file: BinaryIO | None = None

    def __enter__(self) -> StoreLock:
        self._thread.acquire()
        try:
            make_folder(self._path.parent)
            self._file = self._path.open("ab")
            self._lock_file(self._file.fileno())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _lock_file(self, number: int) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._thread.release()
