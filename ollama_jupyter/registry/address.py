"""Which IP addresses may be connected to: the policy, and name resolution under it.

Link-local addresses (where clouds answer with credentials), multicast and the like are never contacted. Private and
loopback ones only where the caller says so. An address inside another (IPv4-mapped, NAT64, 6to4, Teredo) counts as
what it leads to. The addresses that were checked are those to connect to: a name is not resolved a second time.
"""

from __future__ import annotations

import enum
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from ollama_jupyter.errors import Forbidden, Trouble

IPAddress = IPv4Address | IPv6Address


class Kind(enum.IntEnum):
    """How far an address is to be trusted; the greater, the less."""

    PUBLIC = 0
    PRIVATE = 1
    NEVER = 2


_NEVER = tuple(
    map(
        IPv4Network,
        ("0.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", "224.0.0.0/3"),
    )
)
_PRIVATE = tuple(map(IPv4Network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
_NEVER6 = tuple(map(IPv6Network, ("::/128", "fe80::/10", "ff00::/8", "64:ff9b:1::/48")))
_METADATA6 = tuple(map(IPv6Network, ("fd00:ec2::/32", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128", "fd00:42::42/128")))
"""Where Amazon, Google, Oracle and Scaleway answer with credentials over IPv6; among the private ones, by number."""
_PRIVATE6 = tuple(map(IPv6Network, ("::1/128", "fc00::/7", "fec0::/10")))
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")


class Address(NamedTuple):
    """A resolved address, as `socket.socket(family)` and `connect(sockaddr)` take it."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int] | tuple[str, int, int, int]
    kind: Kind


def kind_of(address: IPAddress) -> Kind:
    """The kind of an address, or of the worst address inside it."""
    if isinstance(address, IPv4Address):
        return _kind(address, _NEVER, _PRIVATE)
    own = _kind(address, _NEVER6 + _METADATA6, _PRIVATE6)
    return own if own is not Kind.PUBLIC else max(map(kind_of, _embedded(address)), default=own)


def _kind(address: IPAddress, never: tuple[object, ...], private: tuple[object, ...]) -> Kind:
    if any(address in network for network in never):  # type: ignore[operator]
        return Kind.NEVER
    return Kind.PRIVATE if any(address in network for network in private) else Kind.PUBLIC  # type: ignore[operator]


def _embedded(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that traffic to this one may end at."""
    if any(address in network for network in (_NAT64, _COMPATIBLE, _TRANSLATED)):
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    return [inner for inner in found if inner is not None]


def literal(host: str) -> IPAddress | None:
    """The address that a host is when it is written as one."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def resolve(host: str, port: int) -> list[Address]:
    """Every address of a host, with its kind.

    Raises:
        Trouble: if the name cannot be resolved.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Trouble(f"{host}: no such host") from None
    return [Address(family, to, kind_of(ip_address(to[0]))) for family, _, _, _, to in found]  # type: ignore[arg-type]


def resolve_if_known(host: str, port: int) -> list[Address]:
    """As `resolve`, for a host that a proxy will resolve: no addresses, where this machine cannot."""
    try:
        return resolve(host, port)
    except Trouble:
        return []


def permit(host: str, addresses: list[Address], *, private: bool) -> None:
    """Refuse a host that has any address of a kind that is not permitted.

    Raises:
        Forbidden: naming the host and, where one would help, the setting; not the address.
    """
    worst = max((address.kind for address in addresses), default=Kind.PUBLIC)
    if worst is Kind.NEVER:
        raise Forbidden(f"{host} has an address that is never contacted: link-local, metadata or multicast")
    if worst is Kind.PRIVATE and not private:
        raise Forbidden(
            f"{host} has a private address, which is contacted only for hosts listed in OLLAMA_JUPYTER_REGISTRIES"
        )
