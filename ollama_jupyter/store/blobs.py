"""Blobs: files that are named by the sha256 of their content, written once and never changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from ollama_jupyter.errors import BadRequest
from ollama_jupyter.names import Digest
from ollama_jupyter.store.files import discard, make_folder, open_temporary, publish, sweep, sync_folder

CHUNK = 4 << 20
Report = Callable[[int, int], None]
"""Told how many of how many bytes are done."""


class BlobWriter:
    """Takes a blob's bytes and publishes them once they are whole and have the expected digest.

    A context manager: leaving it without `commit` removes what was written.
    """

    def __init__(self, models: Path, expected: Digest | None = None) -> None:
        self._models = models
        self._expected = expected
        self._hash = hashlib.sha256()
        self._file, self._temporary = open_temporary(models / "partial")
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def commit(self) -> Digest:
        """Publish the blob under its digest.

        Raises:
            BadRequest: if the bytes do not have the expected digest; nothing is kept then.
        """
        digest = Digest(self._hash.hexdigest())
        if self._expected is not None and digest != self._expected:
            self.abort()
            raise BadRequest(f'digest mismatch, expected "{self._expected}", got "{digest}"')
        target = digest.blob_path(self._models)
        if target.exists():
            # Whoever has the old file mapped keeps a file that nobody replaced.
            self.abort()
        else:
            publish(self._file, self._temporary, target)
        return digest

    def abort(self) -> None:
        discard(self._file, self._temporary)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.abort()


class Blobs:
    """The folder `blobs/` below the models folder, made on the first write, and those of the shared folders.

    Reading looks in all of them, one's own first. Nothing is ever written to a shared one, or deleted from it.
    """

    def __init__(self, models: Path, shared: Sequence[Path] = ()) -> None:
        self._models = models
        self._shared = tuple(shared)

    def path(self, digest: Digest) -> Path:
        """Where the blob lies; where it would be written if it is nowhere."""
        own = self.own_path(digest)
        if not self._shared or is_file(own):
            return own
        others = (digest.blob_path(folder) for folder in self._shared)
        return next((path for path in others if is_file(path)), own)

    def own_path(self, digest: Digest) -> Path:
        """Its place in the folder that is written."""
        return digest.blob_path(self._models)

    def copies(self, digest: Digest) -> list[Path]:
        """Every place where the blob lies, in the order in which they are looked at."""
        places = (digest.blob_path(folder) for folder in (self._models, *self._shared))
        return [path for path in places if is_file(path)]

    def has(self, digest: Digest) -> bool:
        return is_file(self.path(digest))

    def keep(self, digest: Digest) -> None:
        """Let a blob count as new: pruning leaves new ones for a while to whoever is about to name them.

        What the file system tells of the file itself (content, times of reading and writing) stays as it was.
        """
        path = self.own_path(digest)
        with contextlib.suppress(OSError):
            times = path.stat()
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def size(self, digest: Digest) -> int:
        return self.path(digest).stat().st_size

    def read(self, digest: Digest) -> bytes:
        """A whole blob; for the small ones. Raises FileNotFoundError where there is none."""
        return self.path(digest).read_bytes()

    def writer(self, expected: Digest | None = None) -> BlobWriter:
        return BlobWriter(self._models, expected)

    def put_bytes(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        if not self.has(digest):
            with self.writer(digest) as writer:
                writer.write(data)
                writer.commit()
        return digest

    def sweep(self) -> int:
        """Delete what killed processes left half-written; the number of files."""
        return sweep(self._models / "partial")

    def put_file(self, source: Path, progress: Report | None = None, digest: Digest | None = None) -> Digest:
        """Store the content of `source`, by a hard link where the file system allows one, else by a copy.

        The source is not changed, nor its times, mode or owner. It is hashed first unless its `digest` is known.
        `progress` counts the bytes hashed, then those copied.
        """
        digest = digest or hash_file(source, progress)
        if not self.has(digest) and not self._link(source, digest):
            self._copy(source, digest, progress)
        return digest

    def _link(self, source: Path, digest: Digest) -> bool:
        target = self.own_path(digest)
        make_folder(target.parent)
        try:
            os.link(source, target)
        except FileExistsError:
            return True
        except OSError:  # another file system, or one without hard links, or a file that is not ours to link
            return False
        sync_folder(target.parent)
        return True

    def _copy(self, source: Path, digest: Digest, progress: Report | None) -> None:
        total = source.stat().st_size
        with self.writer(digest) as writer, source.open("rb") as file:
            while chunk := file.read(CHUNK):
                writer.write(chunk)
                if progress:
                    progress(writer.size, total)
            writer.commit()

    def delete(self, digest: Digest) -> None:
        """Remove one's own copy."""
        self.own_path(digest).unlink(missing_ok=True)

    def own(self) -> list[Digest]:
        """The blobs in the folder that is written."""
        return sorted(digests_in(self._models), key=str)

    def list(self) -> list[Digest]:
        """Every blob there is, wherever it lies; strangers' files are left out."""
        found = {digest for folder in self._shared for digest in digests_in(folder)}
        return sorted(found.union(self.own()), key=str)


def digests_in(models: Path) -> set[Digest]:
    """The blobs of one models folder; none if it is not there, or cannot be looked into."""
    try:
        found = [Digest.from_blob_path(path) for path in (models / "blobs").iterdir()]
    except OSError:
        return set()
    return {digest for digest in found if digest}


def is_file(path: Path) -> bool:
    """Whether there is a file. A folder that cannot be looked into holds none."""
    try:
        return path.is_file()
    except OSError:
        return False


def hash_file(path: Path, progress: Report | None = None) -> Digest:
    """The digest of a file's content."""
    total, done, sha = path.stat().st_size, 0, hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            sha.update(chunk)
            done += len(chunk)
            if progress:
                progress(done, total)
    return Digest(sha.hexdigest())
