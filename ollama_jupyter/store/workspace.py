"""A folder of its own for work that makes a blob by files: quantizing and converting, which other processes do."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ollama_jupyter.names import Digest
from ollama_jupyter.store.blobs import Blobs, Report, hash_file
from ollama_jupyter.store.files import claim, make_folder, publish


class Workspace:
    """Files of one piece of work, below the models folder so that a result can be renamed into a blob."""

    def __init__(self, folder: Path, models: Path, blobs: Blobs) -> None:
        self._models = models
        self._blobs = blobs
        self.folder = folder

    def link(self, digest: Digest, name: str) -> Path:
        """Let the blob appear as `name`, a relative path. A hard link if possible: it stays if the blob is deleted."""
        path, blob = self.folder / name, self._blobs.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(blob, path)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without hard links, or a file that is not ours to link
            path.symlink_to(blob.absolute())
        return path

    def keep(self, path: Path, progress: Report | None = None) -> Digest:
        """Make a blob of the finished file at `path`. It is hashed, which `progress` counts, and synced."""
        digest = hash_file(path, progress)
        if not self._blobs.has(digest):
            with path.open("rb+") as file:
                publish(file, path, digest.blob_path(self._models))
        return digest


@contextlib.contextmanager
def workspace(models: Path, blobs: Blobs) -> Iterator[Workspace]:
    """A new folder below `partial/`, gone with all that is in it when the block ends.

    It is locked meanwhile: what a killed process leaves is swept at the next start.
    """
    make_folder(models / "partial")
    folder = Path(tempfile.mkdtemp(prefix="tmp-", dir=models / "partial"))
    number = os.open(folder, os.O_RDONLY) if os.name == "posix" else -1
    try:
        if number >= 0:
            claim(number)
        yield Workspace(folder, models, blobs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if number >= 0:
            os.close(number)
