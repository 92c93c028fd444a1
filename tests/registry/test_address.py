"""Which addresses may be contacted: by tables, and through a pull."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_address
from typing import Any

import pytest
from registry.misbehaving import Registry
from registry.pulling import assert_whole, fetch

from ollama_jupyter.errors import BadRequest, Forbidden, RegistryError, Trouble
from ollama_jupyter.names import ModelName
from ollama_jupyter.registry import Access, RegistryClient, pull
from ollama_jupyter.registry.address import Kind, kind_of
from ollama_jupyter.registry.url import URL
from ollama_jupyter.store.models import Store

PUBLIC = ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808",
          "::ffff:8.8.8.8", "2002:808:808::1"]  # fmt: skip
PRIVATE = ["127.0.0.1", "127.255.0.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "::1",
           "fd00::1", "fc00::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::7f00:1", "64:ff9b::a00:1",
           "2002:7f00:1::", "::ffff:0:10.0.0.1", "2001:0:a00:1:0:0:f7f7:f7f7"]  # fmt: skip
NEVER = ["169.254.169.254", "169.254.0.1", "100.100.100.200", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1",
         "255.255.255.255", "240.0.0.1", "168.63.129.16", "192.0.0.192", "::", "fe80::1", "febf::1", "ff02::1",
         "fd00:ec2::254", "::ffff:169.254.169.254", "::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::",
         "64:ff9b:1::a9fe:a9fe", "::ffff:0.0.0.0", "fe80::1%eth0",
         "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "::ffff:0:169.254.169.254"]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        *((address, Kind.PUBLIC) for address in PUBLIC),
        *((address, Kind.PRIVATE) for address in PRIVATE),
        *((address, Kind.NEVER) for address in NEVER),
    ],
)
def test_kinds(address: str, kind: Kind) -> None:
    assert kind_of(ip_address(address)) is kind


class Names:
    """A name service of our own, which remembers what it was asked and where it let us go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self.dialled: list[str] = []
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)
        connect = socket.socket.connect

        def dial(sock: socket.socket, address: Any) -> None:
            self.dialled.append(address[0])
            if not address[0].startswith("127."):
                raise ConnectionRefusedError
            connect(sock, address)

        monkeypatch.setattr(socket.socket, "connect", dial)

    def look_up(self, host: str, port: int, **hints: Any) -> Any:
        self.asked.append(host)
        answers = self.table.get(host)
        if answers is None:
            return self._real(host, port, **hints)
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for address in addresses for entry in self._real(address, port, **hints)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def reach(host: str, *, trusted: bool = False, registries: tuple[str, ...] = ()) -> None:
    """Ask a registry for anything. Nobody answers at public addresses here."""
    access = Access(insecure=True, trusted=trusted, registries=registries)
    with RegistryClient(ModelName.parse(f"{host}/a/b"), access) as client:
        client.request("GET", "manifests/latest").close()


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize("with_public", [False, True])
def test_some_addresses_are_never_contacted(names: Names, address: str, with_public: bool) -> None:
    names.table["evil.test"] = [["8.8.8.8"] * with_public + [address]]
    with pytest.raises(Forbidden, match=r"^evil\.test has an address that is never contacted"):
        reach("evil.test", trusted=True, registries=("evil.test",))
    assert names.dialled == []


@pytest.mark.parametrize("address", PRIVATE)
def test_private_ones_need_trust(names: Names, address: str) -> None:
    names.table["inner.test"] = [[address]]
    with pytest.raises(Forbidden, match=r"^inner\.test has a private address.*OLLAMA_JUPYTER_REGISTRIES$"):
        reach("inner.test", registries=("other.test", "inner.test:99"))
    assert names.dialled == []


@pytest.mark.parametrize(
    ("host", "listed"),
    [("inner.test", "inner.test"), ("inner.test:81", "inner.test"), ("inner.test:81", "inner.test:81"),
     ("INNER.test", "inner.TEST"), ("10.0.0.1", "10.0.0.1")],
)  # fmt: skip
def test_private_ones_may_be_listed(names: Names, host: str, listed: str) -> None:
    names.table["inner.test"] = [["10.0.0.1"]]
    with pytest.raises(Trouble, match=r"connection refused$"):  # there is nobody, but we went there
        reach(host, registries=(listed,))
    assert names.dialled == ["10.0.0.1"]


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "127.0.0.1:80"])
def test_spellings_of_loopback_are_loopback(host: str) -> None:
    with pytest.raises(Forbidden, match="has a private address"):
        reach(host)


@pytest.mark.parametrize("host", ["fe80::1", "a:b:c", "host:0", "host:99999", "host:"])
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises((BadRequest, Trouble)):
        reach(host)


def test_a_name_is_resolved_once_and_that_address_used(store: Store, registry: Registry, names: Names) -> None:
    """A name that changes its mind between the check and the connection gains nothing by it."""
    names.table["rebinding.test"] = [["127.0.0.1"], ["169.254.169.254"]]
    access = Access(insecure=True, trusted=True)
    name = ModelName.parse(f"rebinding.test:{registry.server_port}/some/model")
    with RegistryClient(name, access) as client, client.request("GET", "manifests/latest") as response:
        assert response.status == 200
    assert names.asked == ["rebinding.test"]
    assert names.dialled == ["127.0.0.1"]
    assert registry.requests[0].headers["Host"] == f"rebinding.test:{registry.server_port}"


@pytest.mark.parametrize("target", ["127.0.0.1", "10.0.0.1", "inner.test", "[::1]", "169.254.169.254"])
def test_a_public_registry_does_not_send_us_inside(
    names: Names, monkeypatch: pytest.MonkeyPatch, store: Store, registry: Registry, target: str
) -> None:
    """The registry is at 8.8.8.8 as far as the policy can see; trust in the user changes nothing."""
    names.table |= {"public.test": [["8.8.8.8"]], "inner.test": [["192.168.0.1"]]}
    monkeypatch.setattr(socket.socket, "connect", to_loopback(names))
    registry.on_blob = lambda request: request.redirect(307, f"http://{target}:{registry.cdn.server_port}/x")
    name = ModelName.parse(f"public.test:{registry.server_port}/some/model")
    access = Access(insecure=True, trusted=True, registries=("public.test", "inner.test", "127.0.0.1"))
    with pytest.raises(Forbidden):
        pull(store, name, access=access, report=lambda line: None, cancel=threading.Event(), prune=True)
    assert set(names.dialled) <= {"127.0.0.1"}
    assert registry.cdn.requests == []


def to_loopback(names: Names) -> Any:
    """A `connect` that finds 8.8.8.8 on this machine."""
    dial: Any = socket.socket.connect
    return lambda sock, address: dial(sock, ("127.0.0.1", address[1]) if address[0] == "8.8.8.8" else address)


def test_a_private_registry_may_send_us_to_its_neighbour(store: Store, registry: Registry) -> None:
    registry.redirecting(host="localhost")
    access = Access(insecure=True, registries=(registry.address,))
    pull(store, registry.name, access=access, report=lambda line: None, cancel=threading.Event(), prune=True)
    assert_whole(store, registry)


def test_but_not_to_metadata(store: Store, registry: Registry) -> None:
    registry.on_blob = lambda request: request.redirect(307, "http://169.254.169.254/latest/meta-data")
    with pytest.raises(Forbidden, match=r"^169\.254\.169\.254 has an address that is never contacted"):
        fetch(store, registry)


@pytest.mark.parametrize(
    "text",
    ["ftp://a/b", "https://", "https://u@a/", "https://u:p@a/", "https://a b/", "https://a\\@b/", "https://a\\b/", "https://a:0/",
     "https://a:x/", "//a/b", "javascript:x", "https://a/\n", "https://ä/"],
)  # fmt: skip
def test_urls_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        URL.parse(text)


def test_from_https_to_http_leads_nowhere() -> None:
    with pytest.raises(RegistryError, match=r"redirects from https to http, which is refused$"):
        URL.parse("https://a/b").join("http://a/b")
    assert str(URL.parse("https://a/b").join("../c?d=e")) == "https://a/c?d=e"
    assert str(URL.parse("http://a:80/b").join("https://A:443/c")) == "https://a/c"


@pytest.mark.parametrize(
    ("location", "there"),
    [
        ("//evil.test/x", "https://evil.test/x"),
        ("https:evil.test/x", "https://reg.test/v2/evil.test/x"),
        ("https://evil.test#@reg.test/", "https://evil.test/"),
        ("https://reg.test./x", "https://reg.test./x"),
        ("https://reg.test:444/x", "https://reg.test:444/x"),
        ("https://evil.test\r\n\t:444/x", "https://evil.test:444/x"),  # a header may be folded
        *((text, None) for text in ("\\\\evil.test/x", "/\\evil.test", "https:\\\\evil.test", "http:/x", "https://ⓔ.test/",
                                    "https://reg.test:４43/x", "https://[::1", "https://a:b:c/", "/a b", "/\0")),
    ],
)  # fmt: skip
def test_where_a_redirect_leads(location: str, there: str | None) -> None:
    here = URL.parse("https://reg.test/v2/a?x=1")
    if there is None:
        with pytest.raises(RegistryError, match=r"^reg\.test redirects to something that is no URL$"):
            here.join(location)
    else:
        assert str(here.join(location)) == there
        assert (here.join(location).origin == here.origin) == there.startswith("https://reg.test/")
