"""What a pull or push may reach, and by what means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_KEY = Path("~/.ollama/id_ed25519")
DEFAULT_STREAMS = 4
"""Connections of one blob, where nothing else is asked for; as many as Ollama's setting has by default."""


@dataclass(frozen=True, slots=True)
class Access:
    """The terms of one transfer.

    Args:
        insecure: speak http to the registry, where otherwise only https is spoken.
        trusted: the request came from this machine's own user (a loopback `serve`, the CLI), who may reach private
            and loopback addresses.
        registries: hosts, or `host:port`s, that may be private or loopback for everybody.
        key: the ed25519 key that token requests are signed with, in OpenSSH's format; made on first need.
        streams: how many connections share the download of one blob.
    """

    insecure: bool = False
    trusted: bool = False
    registries: tuple[str, ...] = ()
    key: Path = DEFAULT_KEY
    streams: int = DEFAULT_STREAMS

    def allows_private(self, host: str, port: int) -> bool:
        """Whether this registry may be at a private or loopback address."""
        listed = {entry.lower().strip("[]") for entry in self.registries}
        return self.trusted or host.lower() in listed or f"{host}:{port}".lower() in listed
