"""The HTTP proxy that the environment names for a host, by the rules of the standard library and of Go."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from ollama_jupyter.errors import RegistryError
from ollama_jupyter.registry.address import literal
from ollama_jupyter.registry.url import Origin


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where to connect instead. `headers` go to the proxy alone."""

    host: str
    port: int
    headers: dict[str, str]

    @classmethod
    def of(cls, origin: Origin) -> Proxy | None:
        """The proxy for an origin, or None. The local machine is never reached through one.

        Raises:
            RegistryError: if the environment names a proxy of a kind that is not supported.
        """
        text = getproxies().get(origin.scheme)
        if not text or _is_local(origin.host) or proxy_bypass(origin.netloc):
            return None
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            host = ""
        if not host or parts.scheme != "http":
            raise RegistryError(f"the proxy for {origin.scheme} is not an http:// address, which is what is supported")
        return cls(host, port, _credentials(parts.username, parts.password))


def _is_local(host: str) -> bool:
    found = literal(host)
    return host == "localhost" or (found is not None and found.is_loopback)


def _credentials(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}
