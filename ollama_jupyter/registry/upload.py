"""One blob on its way to a registry, in chunks, so that a broken connection costs one chunk at most."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO
from urllib.parse import urlencode

from ollama_jupyter.errors import RegistryError, Trouble
from ollama_jupyter.names import Digest
from ollama_jupyter.registry.client import RegistryClient
from ollama_jupyter.registry.patience import Patience, refusal
from ollama_jupyter.registry.response import Response
from ollama_jupyter.registry.url import URL

CHUNK = 32 << 20
"""Bytes of one request. Some registries forget the chunk that a connection broke in, others the whole upload."""
PIECE = 256 << 10
_BINARY = {"Content-Type": "application/octet-stream"}
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)\Z")


class Upload:
    """Sends a file. `advance` is called again after each trouble, and goes on where the registry says that it is.

    Args:
        source: a repository of the same registry that may have the blob already, or "".
        tell: is told how many bytes have been sent; fewer again where a part is sent again.
        patience: is told of each chunk that arrived.
    """

    def __init__(
        self,
        client: RegistryClient,
        file: BinaryIO,
        digest: Digest,
        source: str,
        tell: Callable[[int], None],
        patience: Patience,
    ) -> None:
        self._client = client
        self._file = file
        self._digest = digest
        self._source = source
        self._tell = tell
        self._patience = patience
        self._size = file.seek(0, 2)
        self._chunk = CHUNK
        self._next: URL | None = None  # where the next chunk goes; None before the upload is begun
        self._offset = 0
        self._furthest = 0
        self._interrupted = False
        self._redirected: list[bytes] = []  # the md5 of each chunk that went to a storage host

    def advance(self) -> None:
        """Send what is left.

        Raises:
            Trouble: if something went wrong that may go well the next time.
            RegistryError, Canceled: as the client's requests.
        """
        if self._interrupted:
            self._find_out()
        self._interrupted = True
        if self._next is None and self._is_mounted():
            return
        while self._offset < self._size:
            self._send_chunk()
        self._finish()

    # ---- the beginning, and the beginning again

    def _is_mounted(self) -> bool:
        """Begin an upload; True if the registry has found the blob in the other repository instead."""
        query = {"mount": str(self._digest), "from": self._source} if self._source else {}
        target = "blobs/uploads/" + (f"?{urlencode(query)}" if query else "")
        with self._client.request("POST", target, content=b"") as response:
            if response.status == 201 and self._source:
                return True
            self._check(response, "beginning an upload")
            self._next = _next(response)
            least = response.headers.get("OCI-Chunk-Min-Length", "")
        self._chunk = max(CHUNK, int(least)) if least.isdecimal() and len(least) < 12 else CHUNK
        self._offset, self._redirected = 0, []
        return False

    def _find_out(self) -> None:
        """Ask how far the upload has come. A registry that does not know any more gets the blob anew."""
        if self._next is None:
            return
        if self._redirected:  # those parts are elsewhere: the registry was told of the whole ones only
            return
        with self._client.request("GET", self._next) as response:
            if response.status >= 500:
                raise refusal(response, "asking how far an upload is")
            found = _RANGE.match(response.headers.get("Range", "")) if response.status < 300 else None
            # "0-0" is said of one byte, and of none.
            arrived = int(found[1]) + 1 if found and found[1] != "0" else 0
            self._next = _next(response, self._next) if 0 < arrived <= self._size else None
        if self._next is not None:
            self._arrived(arrived)

    # ---- the chunks

    def _send_chunk(self) -> None:
        assert self._next is not None
        start, length = self._offset, min(self._chunk, self._size - self._offset)
        headers = {**_BINARY, "Content-Range": f"{start}-{start + length - 1}", "X-Redirect-Uploads": "1"}
        with self._put("PATCH", self._next, headers, start, length) as response:
            if response.status == 307:
                self._send_there(response, start, length)
            elif response.status in (404, 416):  # the upload is not what we think it is, and will be asked about
                if self._redirected:  # of what is elsewhere it would know nothing: that begins anew
                    self._next = None
                raise Trouble(refusal(response, "uploading").message)
            else:
                self._check(response, "uploading")
                self._next = _next(response, self._next)
        self._arrived(start + length)

    def _send_there(self, response: Response, start: int, length: int) -> None:
        """The registry wants the chunk at a storage host, which is told nothing of who we are."""
        assert self._next is not None
        there, following = response.location, response.headers.get("Docker-Upload-Location")
        response.close()
        with self._put("PUT", there, _BINARY, start, length) as answer:
            if not 200 <= answer.status < 300:  # its signature has expired, say: the registry makes another
                raise Trouble(f"{there.origin.netloc} answers {answer.status}")
        self._redirected.append(self._md5(start, length))
        self._next = response.url.join(following) if following else self._next

    def _put(self, method: str, url: URL, headers: dict[str, str], start: int, length: int) -> Response:
        content = partial(self._pieces, start, length)
        return self._client.request(method, url, headers=headers, content=content, length=length)

    def _pieces(self, start: int, length: int) -> Iterator[bytes]:
        self._file.seek(start)
        end = start + length
        while start < end:
            piece = self._file.read(min(PIECE, end - start))
            if not piece:
                raise RegistryError(f"blob {self._digest} has changed while it was read")
            yield piece
            start += len(piece)
            self._tell(start)

    def _arrived(self, offset: int) -> None:
        self._offset = offset
        if offset > self._furthest:
            self._furthest = offset
            self._patience.progress()

    # ---- the end

    def _finish(self) -> None:
        assert self._next is not None
        query = {"digest": str(self._digest)}
        if self._redirected:  # the storage host's name for what it was sent in parts
            total = hashlib.md5(b"".join(self._redirected), usedforsecurity=False).hexdigest()
            query["etag"] = f"{total}-{len(self._redirected)}"
        separator = "&" if "?" in self._next.target else "?"
        target = self._next._replace(target=f"{self._next.target}{separator}{urlencode(query)}")
        with self._client.request("PUT", target, headers=_BINARY, content=b"") as response:
            self._check(response, "finishing an upload")

    def _md5(self, start: int, length: int) -> bytes:
        md5 = hashlib.md5(usedforsecurity=False)
        for piece in self._pieces(start, length):
            md5.update(piece)
        return md5.digest()

    def _check(self, response: Response, what: str) -> None:
        if not 200 <= response.status < 300:
            raise refusal(response, what)


def _next(response: Response, known: URL | None = None) -> URL:
    """Where an upload goes on.

    Raises:
        RegistryError: if the answer does not say, and it is not known.
    """
    location = response.headers.get("Docker-Upload-Location") or response.headers.get("Location")
    if location:
        return response.url.join(location)
    if known is None:
        raise RegistryError("http: no Location header in response")
    return known
