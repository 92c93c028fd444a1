"""Which `Origin` and `Host` a door without users lets in. Ollama's rules: contract of 0.33, CORS and Host protection.

A web page that the owner of the machine happens to open can reach loopback ports. Its Origin gives it away; and where
it hides behind a host name that it made resolve to 127.0.0.1 (DNS rebinding), the Host header does.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS",
    "Access-Control-Allow-Headers": "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,"
    + ",".join(
        f"X-Stainless-{name}"
        for name in (
            "Arch",
            "Async",
            "Custom-Poll-Interval",
            "Helper-Method",
            "Lang",
            "Os",
            "Package-Version",
            "Poll-Helper",
            "Retry-Count",
            "Runtime",
            "Runtime-Version",
            "Timeout",
        )
    ),
    "Access-Control-Max-Age": "43200",
}

_LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:[0-9]+)?")
_APPS = ("app://", "file://", "tauri://", "vscode-webview://", "vscode-file://")
_LOCAL_ENDINGS = (".localhost", ".local", ".internal")


class Origins:
    """The allowed origins: those configured (`*` matches anything, once in an entry), and the machine's own."""

    def __init__(self, configured: Iterable[str]) -> None:
        self._configured = [entry.rstrip("/").split("*", 1) for entry in configured]
        self.all = ["", ""] in self._configured

    def allows(self, origin: str) -> bool:
        return (
            bool(_LOCAL.fullmatch(origin))
            or origin.startswith(_APPS)
            or any(_matches(entry, origin) for entry in self._configured)
        )


def _matches(entry: list[str], origin: str) -> bool:
    if len(entry) == 1:
        return origin == entry[0]
    before, after = entry
    return origin.startswith(before) and origin.endswith(after) and len(origin) >= len(before) + len(after)


def is_cross(origin: str | None, host: str) -> bool:
    """Whether a request comes from a page of another origin. Without an Origin it comes from no page."""
    return bool(origin) and origin not in (f"http://{host}", f"https://{host}")


def host_name(host: str) -> str:
    """The name in a Host header: without the port, an IPv6 address without brackets, in lower case."""
    match = re.fullmatch(r"\[(.*)\](?::[0-9]*)?|([^:]*)(?::[0-9]*)?", host)
    name = host if match is None else match.group(1) or match.group(2) or ""
    return name.lower()


def is_local_name(name: str) -> bool:
    """Names that cannot be a stranger's: none, localhost, the machine's, and the endings that no registry gives out."""
    return name in ("", "localhost", socket.gethostname().lower()) or name.endswith(_LOCAL_ENDINGS)


def is_local_address(name: str) -> bool:
    """Loopback, private and unspecified addresses, and those of the machine's own interfaces."""
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or _is_private(address):
        return True
    return str(address) in _own_addresses()


_PRIVATE = [ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]


def _is_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Go's IsPrivate: Python's `is_private` covers far more, such as the documentation ranges."""
    return any(address in net for net in _PRIVATE if net.version == address.version)


def _own_addresses() -> set[str]:
    import psutil

    return {entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries}


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine by a loopback name or address."""
    name = host_name(host)
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def is_loopback_origin(origin: str) -> bool:
    """Whether an Origin is a page of this machine, on any port."""
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and bool(host) and is_loopback_host(host)
