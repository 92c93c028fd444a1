"""Files of this machine brought to the server: hashed, asked for, and sent only if it lacks them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.messages import Progress

if TYPE_CHECKING:
    import ollama

PIECE = 2**20
"""Bytes of a file that are in memory at once."""

Report = Callable[[Progress], None]


def digest_of(file: Path) -> str:
    """The sha256 of a file, as `sha256:<hex>`. Raises OllamaError if it cannot be read."""
    hashed = hashlib.sha256()
    with _opened(file) as stream:
        for piece in _pieces(stream):
            hashed.update(piece)
    return f"sha256:{hashed.hexdigest()}"


def upload(client: ollama.Client, file: Path, digest: str, on_progress: Report) -> None:
    """See to it that the server has this blob. Reports `copying file sha256:…` with bytes done of all.

    Raises:
        OllamaError: if the file cannot be read.
        ollama.ResponseError: for what the server refuses, and what the client raises if it cannot be reached.
    """
    status = f"copying file {digest}"
    with _opened(file) as stream:
        total = os.fstat(stream.fileno()).st_size
        if not has_blob(client, digest):

            def body() -> Iterator[bytes]:
                done = 0
                for piece in _pieces(stream):
                    yield piece
                    done += len(piece)
                    on_progress(Progress(status, digest, total, done))

            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(total)}
            sdk: Any = client  # its methods of this kind have no types
            sdk._request_raw("POST", f"/api/blobs/{digest}", content=body(), headers=headers)
    on_progress(Progress(status, digest, total, total))


def has_blob(client: ollama.Client, digest: str) -> bool:
    """Whether the server has a blob already."""
    reply = client._client.head(f"/api/blobs/{digest}")
    if reply.status_code != 404:
        reply.raise_for_status()
    return bool(reply.is_success)


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    while piece := stream.read(PIECE):
        yield piece


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # a pipe would wait for its writer, a device never end
            raise OllamaError(f"open {file}: not a regular file")
        stream = file.open("rb")
    except OSError as error:
        raise OllamaError(f"open {file}: {(error.strerror or type(error).__name__).lower()}") from None
    with stream:
        yield stream


def names_of(files: Mapping[Path, str]) -> dict[str, str]:
    """The digests by the names that the server is told: relative to the folder that all files share."""
    if len(files) < 2:
        return {file.name: digest for file, digest in files.items()}
    root = Path(os.path.commonpath([file.parent for file in files]))
    return {file.relative_to(root).as_posix(): digest for file, digest in files.items()}
