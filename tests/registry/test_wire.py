"""TLS and proxies: names are verified, http is spoken only where asked for, a proxy gets no more than it must."""

from __future__ import annotations

import base64
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from registry.misbehaving import Registry

from ollama_jupyter.errors import Forbidden, RegistryError
from ollama_jupyter.names import ModelName
from ollama_jupyter.registry import Access, pull, wire
from ollama_jupyter.registry.proxy import Proxy
from ollama_jupyter.registry.url import Origin
from ollama_jupyter.store.models import Store


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `localhost` that is its own authority, with its key, in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    builder = builder.add_extension(x509.BasicConstraints(True, None), True)
    signed = builder.sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + signed.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    wire.tls_context.cache_clear()
    yield
    wire.tls_context.cache_clear()


@pytest.fixture
def secure(registry: Registry, certificate: Path) -> Registry:
    """The registry, speaking https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    registry.socket = context.wrap_socket(registry.socket, server_side=True, do_handshake_on_connect=False)
    return registry


class ProxyHandler(BaseHTTPRequestHandler):
    """Tunnels, and passes on plain requests; remembers what it was asked."""

    server: ProxyServer

    def do_CONNECT(self) -> None:
        self.server.seen.append((f"CONNECT {self.path}", dict(self.headers)))
        with socket.create_connection(("127.0.0.1", self.server.target)) as there:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_copy, args=(there, self.connection))
            back.start()
            _copy(self.connection, there)
            back.join()

    def do_GET(self) -> None:
        self.server.seen.append((f"GET {self.path}", dict(self.headers)))
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class ProxyServer(ThreadingHTTPServer):
    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.target = target
        self.seen: list[tuple[str, dict[str, str]]] = []


@pytest.fixture
def proxy(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxyServer]:
    with ProxyServer(registry.server_port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://me:s%20ecret@127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


def fetch(store: Store, name: str, *, insecure: bool = False) -> None:
    access = Access(insecure=insecure, trusted=True, key=store.models.parent / "key")
    pull(store, ModelName.parse(name), access=access, report=lambda line: None, cancel=threading.Event(), prune=True)


def test_https_with_a_certificate_that_is_trusted(store: Store, secure: Registry, trusting: None) -> None:
    secure.guarded = True
    secure.realm = f"https://localhost:{secure.server_port}/token"
    fetch(store, f"localhost:{secure.server_port}/some/model")
    assert store.manifests.names()


def test_a_certificate_for_another_name(store: Store, secure: Registry, trusting: None) -> None:
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:\d+: the certificate is not trusted: "):
        fetch(store, f"127.0.0.1:{secure.server_port}/some/model")
    assert secure.requests == []


def test_a_certificate_that_nobody_vouches_for(store: Store, secure: Registry) -> None:
    with pytest.raises(RegistryError, match="the certificate is not trusted: self-signed certificate"):
        fetch(store, f"localhost:{secure.server_port}/some/model")


def test_http_is_not_spoken_unasked(store: Store, registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"no TLS .*; a registry that speaks only http needs `insecure`$"):
        fetch(store, f"localhost:{registry.server_port}/some/model")
    assert registry.requests == []


def test_a_redirect_from_https_to_http_is_refused(store: Store, secure: Registry, trusting: None) -> None:
    secure.redirecting()
    with pytest.raises(RegistryError, match="redirects from https to http, which is refused"):
        fetch(store, f"localhost:{secure.server_port}/some/model")
    assert secure.cdn.requests == []


# ---- proxies


def test_https_through_a_proxy(
    store: Store, secure: Registry, trusting: None, proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry's name is one that only the proxy knows; the certificate is checked against it all the same."""
    with pytest.raises(RegistryError, match="the certificate is not trusted: Hostname mismatch"):
        fetch(store, "registry.invalid/some/model")
    assert proxy.seen[0][0] == "CONNECT registry.invalid:443"
    assert proxy.seen[0][1]["Proxy-Authorization"] == "Basic " + base64.b64encode(b"me:s ecret").decode()


def test_a_pull_through_a_tunnel(
    store: Store, secure: Registry, trusting: None, proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ollama_jupyter.registry.proxy._is_local", lambda host: False)
    fetch(store, f"localhost:{secure.server_port}/some/model")
    assert_whole_under(store, secure)
    assert {line for line, _ in proxy.seen} == {f"CONNECT localhost:{secure.server_port}"}
    assert all("Proxy-Authorization" not in headers for _, headers in secure.requests)


def assert_whole_under(store: Store, registry: Registry) -> None:
    [name] = store.manifests.names()
    manifest = store.manifests.get(name)
    assert manifest is not None
    assert all(store.blobs.read(digest) == registry.blobs[str(digest)] for digest in manifest.digests)


def test_plain_requests_through_a_proxy(store: Store, proxy: ProxyServer) -> None:
    with pytest.raises(RegistryError, match="file does not exist"):
        fetch(store, "registry.invalid/some/model", insecure=True)
    [(line, headers)] = proxy.seen
    assert line == "GET http://registry.invalid/v2/some/model/manifests/latest"
    assert headers["Host"] == "registry.invalid"


def test_a_proxy_is_no_way_around_the_policy(store: Store, proxy: ProxyServer) -> None:
    for host in ("169.254.169.254", "metadata.test"):
        with pytest.MonkeyPatch.context() as patch:
            real = socket.getaddrinfo
            patch.setattr(
                socket,
                "getaddrinfo",
                lambda name, *a, real=real, **k: real("169.254.169.254" if name == "metadata.test" else name, *a, **k),
            )
            with pytest.raises(Forbidden, match="never contacted"):
                fetch(store, f"{host}/a/b", insecure=True)
    assert proxy.seen == []


@pytest.mark.parametrize(
    ("env", "origin", "found"),
    [
        ({}, "https://a.test", None),
        ({"https_proxy": "http://p:3128"}, "https://a.test", ("p", 3128)),
        ({"HTTPS_PROXY": "p:3128"}, "https://a.test", ("p", 3128)),
        ({"https_proxy": "http://p"}, "http://a.test", None),
        ({"https_proxy": "http://p", "no_proxy": "a.test,b.test"}, "https://x.a.test", None),
        ({"https_proxy": "http://p", "NO_PROXY": "*"}, "https://a.test", None),
        ({"https_proxy": "http://p", "no_proxy": "b.test"}, "https://a.test", ("p", 80)),
        ({"http_proxy": "http://p"}, "http://localhost:5000", None),
        ({"http_proxy": "http://p"}, "http://127.0.0.1:5000", None),
    ],
)
def test_which_proxy(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], origin: str, found: tuple[str, int] | None
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    scheme, _, host = origin.partition("://")
    proxy = Proxy.of(Origin.of_registry(host, insecure=scheme == "http"))
    assert (proxy and (proxy.host, proxy.port)) == found


@pytest.mark.parametrize("address", ["socks5://p:1080", "https://p:443", "http://p:port", "http://"])
def test_proxies_of_other_kinds(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("https_proxy", address)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(RegistryError, match="the proxy for https is not an http:// address"):
        Proxy.of(Origin("https", "a.test", 443))
