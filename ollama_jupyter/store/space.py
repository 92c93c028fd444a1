"""Room on the disk: asked for before much is written, and its lack told with numbers."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ollama_jupyter.errors import InsufficientStorage, OllamaJupyterError
from ollama_jupyter.store.files import make_folder

_FULL = (errno.ENOSPC, errno.EDQUOT)


def require(folder: Path, size: int) -> None:
    """Refuse what cannot fit. The folder is made if it is not there.

    Raises:
        InsufficientStorage: if the folder's disk has less than `size` bytes free.
    """
    make_folder(folder)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InsufficientStorage(f"not enough disk space: {human(size)} more are needed, {human(free)} are free")


@contextmanager
def guarded(kept: str) -> Iterator[None]:
    """Failures of the disk become errors of ours, without a path. `kept` says what is not lost.

    Raises:
        InsufficientStorage: if the disk, or what the user may use of it, is full.
        OllamaJupyterError: for other failures.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise InsufficientStorage(f"the disk is full; {kept}") from None
        raise OllamaJupyterError(f"the model store failed: {os.strerror(error.errno or errno.EIO)}; {kept}") from None


def human(size: float) -> str:
    """A size in decimal units, as tables show it: `532 B`, `1.3 GB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if size < 100 else f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
