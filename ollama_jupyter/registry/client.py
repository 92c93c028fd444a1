"""Requests to one registry: credentials for it alone, and redirects that never carry them elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType

from ollama_jupyter.errors import RegistryError
from ollama_jupyter.names import ModelName
from ollama_jupyter.registry.access import Access
from ollama_jupyter.registry.auth import DENIED, Tokens
from ollama_jupyter.registry.response import REDIRECTS, Response
from ollama_jupyter.registry.url import URL, Origin
from ollama_jupyter.registry.wire import Content, Wire, user_agent

MAX_REDIRECTS = 10


class RegistryClient:
    """The registry that a model's name says, for the length of one transfer. Threads may share it.

    A context manager: leaving it closes the connections. Once `cancel` is set every call raises Canceled soon.
    """

    def __init__(self, name: ModelName, access: Access, cancel: threading.Event | None = None) -> None:
        self.origin = Origin.of_registry(name.host, insecure=access.insecure)
        self.cancel = cancel or threading.Event()
        self._base = f"/v2/{name.namespace}/{name.model}/"
        self._wire = Wire(self.origin, access, self.cancel)
        self._tokens = Tokens(self.origin, access.key, self._wire)

    def url(self, target: str) -> URL:
        """The URL of a path below this model's: `manifests/latest`, `blobs/sha256:…`, `blobs/uploads/`."""
        return URL(self.origin, self._base + target)

    def request(
        self,
        method: str,
        target: str | URL,
        *,
        headers: Mapping[str, str] | None = None,
        content: Content = None,
        length: int | None = None,
        follow: bool = True,
    ) -> Response:
        """Send a request; the answer, whatever its status. Close it, or read it to its end.

        Args:
            target: a path below this model's, or a URL that the registry gave. Only one of the registry's own origin
                gets credentials.
            content: the body, or what makes its pieces: it is asked again if the request has to be.
            length: bytes of a body that is made in pieces.
            follow: go after the redirects of a GET or HEAD, at most ten. From the first that leaves the registry's
                origin on, nothing is told to whom we are.

        Raises:
            RegistryError: if access is denied, or a redirect leads nowhere.
            Forbidden: if a host has an address that is not to be contacted.
            Trouble: if a connection fails. Canceled: if the transfer was cancelled.
        """
        url = self.url(target) if isinstance(target, str) else target
        sent = {"User-Agent": user_agent(), **(headers or {})}
        at_home = True
        for _ in range(MAX_REDIRECTS + 1):
            at_home = at_home and url.origin == self.origin
            send = self._send_at_home if at_home else self._wire.send
            response = send(method, url, sent, content, length)
            if not follow or method not in ("GET", "HEAD") or response.status not in REDIRECTS:
                return response
            with response:
                url = response.location
        raise RegistryError(f"{self.origin.netloc} redirects more than {MAX_REDIRECTS} times")

    def _send_at_home(
        self, method: str, url: URL, headers: Mapping[str, str], content: Content, length: int | None
    ) -> Response:
        token = self._tokens.latest
        response = self._wire.send(method, url, _authorized(headers, token), content, length)
        if response.status != 401:
            return response
        with response:
            token = self._tokens.renew(response.headers.get("WWW-Authenticate"), token)
        response = self._wire.send(method, url, _authorized(headers, token), content, length)
        if response.status == 401:
            response.close()
            raise RegistryError(DENIED)
        return response

    def shut(self) -> None:
        """End every connection under the threads that use it: their calls raise."""
        self._wire.shut()

    def close(self) -> None:
        self._wire.close()

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _authorized(headers: Mapping[str, str], token: str | None) -> dict[str, str]:
    return {**headers, "Authorization": f"Bearer {token}"} if token else dict(headers)
