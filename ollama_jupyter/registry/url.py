"""URLs as far as registries need them, and the origin (scheme, host, port) by which trust is decided."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from ollama_jupyter.errors import BadRequest, RegistryError

PORTS = {"https": 443, "http": 80}
_PRINTABLE = re.compile(r"[!-\[\]-~]+\Z")
"""No blanks, control characters or backslashes: programs disagree on what those mean inside a URL."""


class Origin(NamedTuple):
    """Who is spoken to. Two URLs of one origin share credentials, others never do."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of_registry(cls, host: str, *, insecure: bool) -> Origin:
        """The origin of a model name's host part.

        Raises:
            BadRequest: if it is no host with an optional port.
        """
        scheme = "http" if insecure else "https"
        try:
            return URL.parse(f"{scheme}://{host}").origin
        except ValueError:
            raise BadRequest(f'"{host}" is not a host that can be reached') from None

    @property
    def netloc(self) -> str:
        """`host`, or `host:port` where the port is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


class URL(NamedTuple):
    """An http(s) URL. `target` is the path with the query, as it stands in a request line."""

    origin: Origin
    target: str

    @classmethod
    def parse(cls, text: str) -> URL:
        """Split a URL.

        Raises:
            ValueError: if it is not one of http or https, or carries a user, or characters that need escaping.
        """
        if not _PRINTABLE.match(text):
            raise ValueError("unprintable")
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        if parts.scheme not in PORTS or not host or len(host) > 255 or "@" in parts.netloc or port == 0:
            raise ValueError("not an http URL")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(Origin(parts.scheme, host, port or PORTS[parts.scheme]), target)

    def join(self, location: str) -> URL:
        """Where a Location header leads from here.

        Raises:
            RegistryError: if it is no URL, or leads from https to http.
        """
        try:
            there = URL.parse(urljoin(str(self), location.strip()))
        except ValueError:
            raise RegistryError(f"{self.origin.netloc} redirects to something that is no URL") from None
        if self.origin.scheme == "https" and there.origin.scheme == "http":
            raise RegistryError(f"{self.origin.netloc} redirects from https to http, which is refused")
        return there

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"
