"""Where the bytes of one blob come from: the registry itself, or the host that it sends us to, while that works."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from ollama_jupyter.errors import RegistryError, Trouble
from ollama_jupyter.names import Digest
from ollama_jupyter.registry.client import RegistryClient
from ollama_jupyter.registry.response import Response
from ollama_jupyter.registry.url import URL

_EXPIRED = frozenset({401, 403, 404, 410})
_PASSING = frozenset({408, 416, 425, 429})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\Z")


@dataclass(frozen=True, slots=True)
class Part:
    """An answer whose body is the blob's bytes from `start` to `end`. `whole`: the other side did not cut it."""

    response: Response
    start: int
    end: int
    whole: bool


class Source:
    """A blob at its registry. Threads may share it."""

    def __init__(self, client: RegistryClient, digest: Digest, size: int) -> None:
        self._client = client
        self._digest = digest
        self._size = size
        self._lock = threading.Lock()
        self._direct: URL | None = None  # signed for a while; asked for again once it is refused

    def open(self, start: int, end: int) -> Part:
        """The bytes from `start` to `end`, or fewer; or from 0 on, if the other side does not know ranges.

        Raises:
            Trouble: if a second try may help: the connection fails, or other bytes come than were asked for.
            RegistryError: if the registry does not have the blob, or denies it.
        """
        ranged = (start, end) != (0, self._size)
        response = self._get({"Range": f"bytes={start}-{end - 1}"} if ranged else {})
        try:
            self._refuse_failure(response)
            response.refuse_compressed("a blob")
            return self._placed(response, start)
        except BaseException:
            response.close()
            raise

    def _get(self, headers: dict[str, str]) -> Response:
        with self._lock:
            direct = self._direct
        if direct is not None:
            response = self._client.request("GET", direct, headers=headers)
            if response.status not in _EXPIRED:
                return response
            response.close()
            with self._lock:
                if self._direct == direct:  # else another stream has asked anew already
                    self._direct = None
        response = self._client.request("GET", f"blobs/{self._digest}", headers=headers)
        if response.url.origin != self._client.origin and response.status in (200, 206):
            with self._lock:
                self._direct = response.url
        return response

    def _refuse_failure(self, response: Response) -> None:
        status, host = response.status, response.url.origin.netloc
        if status in (200, 206):
            return
        at_home = response.url.origin == self._client.origin
        if status >= 500 or status in _PASSING or (not at_home and status in _EXPIRED):
            text = response.excerpt()
            raise Trouble(f"{host} answers {status}" + (f": {text}" if text else ""), response.retry_after)
        if status == 404:
            raise RegistryError(f"{self._digest}: file does not exist")
        raise RegistryError(f"unexpected status code {status}")

    def _placed(self, response: Response, start: int) -> Part:
        host = response.url.origin.netloc
        if response.status == 200:
            if response.length not in (None, self._size):
                raise Trouble(f"{host} sends {response.length} bytes for a blob of {self._size}")
            return Part(response, 0, self._size, whole=True)
        match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        first, last, total = match.groups() if match else ("", "", "")
        if not match or int(first) != start or not start <= int(last) < self._size:
            raise Trouble(f"{host} sends another part than was asked for")
        if total not in ("*", str(self._size)):
            raise Trouble(f"{host} has {total} bytes for a blob of {self._size}")
        return Part(response, start, int(last) + 1, whole=False)
