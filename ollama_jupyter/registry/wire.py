"""HTTP connections to addresses that were checked, kept for the next request, and shut when a transfer is cancelled.

The standard library's client, because a large body goes straight from the socket into one buffer there: no parser
sees its bytes. It follows no redirect, keeps no cookie and decompresses nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import platform
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import TracebackType

from ollama_jupyter.config import API_VERSION
from ollama_jupyter.errors import Canceled
from ollama_jupyter.registry import address
from ollama_jupyter.registry.access import Access
from ollama_jupyter.registry.address import Address, Kind
from ollama_jupyter.registry.proxy import Proxy
from ollama_jupyter.registry.response import Response, passing
from ollama_jupyter.registry.url import URL, Origin

CONNECT_SECONDS = 15.0
STALL_SECONDS = 30.0
"""Without a byte for so long, a connection is given up."""
ANSWER_SECONDS = 300.0
"""So long the answer to a PUT may take: registries hash, or copy, all that they were sent before it. And so long any
answer's beginning, or the beginning of TLS, when it keeps coming and never ends."""
CANCEL_SECONDS = 0.1
"""How often the cancel event is looked at while threads may be blocked in a socket."""

Content = bytes | Callable[[], Iterable[bytes]] | None
"""A request's body, or what makes it (again, for a second try)."""


class Wire:
    """The connections of one transfer. Threads may share it. A context manager: leaving it closes them all.

    Args:
        home: the registry. Other hosts are those that it led us to: they may be private only if all its addresses are.
    """

    def __init__(self, home: Origin, access: Access, cancel: threading.Event) -> None:
        self._home = home
        self._access = access
        self._cancel = cancel
        self._lock = threading.Lock()
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._home_at_first: set[Kind] = set()  # what kinds of addresses its name had when it was first looked up
        self._home_kinds: set[Kind] = set()  # and ever since
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="ollama-registry-cancel", daemon=True).start()

    def send(
        self, method: str, url: URL, headers: Mapping[str, str], content: Content = None, length: int | None = None
    ) -> Response:
        """Send a request; the answer's head. `length` is that of a content that is made piece by piece.

        Raises:
            Forbidden: if the host has an address that is not to be contacted.
            Trouble: if the connection fails; RegistryError: if its certificate is not trusted.
            Canceled: if the transfer was cancelled.
        """
        headers = {"Host": url.origin.netloc, "Accept-Encoding": "identity", **headers}
        if length is not None:
            headers["Content-Length"] = str(length)
        with passing(url, self._cancel):
            kept = self._take(url.origin) if content is None else None
            if kept is not None:
                try:
                    return self._exchange(kept, method, url, headers, None)
                except TimeoutError:
                    raise
                except (OSError, http.client.HTTPException):
                    pass  # the other side has closed it meanwhile; that is no failure of this request
            return self._exchange(self._connect(url.origin), method, url, headers, content)

    def _exchange(
        self, connection: Connection, method: str, url: URL, headers: Mapping[str, str], content: Content
    ) -> Response:
        try:
            answer = connection.ask(method, url, headers, content() if callable(content) else content)
        except BaseException:
            self._let_go(connection)
            raise
        return Response(url, answer, self._cancel, lambda reusable: self._give_back(connection, reusable))

    # ---- connecting

    def _connect(self, origin: Origin) -> Connection:
        proxy = Proxy.of(origin)
        addresses = self._permitted(origin, proxy)
        connection = Connection(origin, proxy)
        with self._lock:
            self._open.add(connection)
        try:
            if self._cancel.is_set():
                raise Canceled
            connection.open(self._look_up(address.resolve, proxy.host, proxy.port) if proxy else addresses)
        except BaseException:
            self._let_go(connection)
            raise
        return connection

    def _permitted(self, origin: Origin, proxy: Proxy | None) -> list[Address]:
        """The addresses of a host, if it may be contacted. What a proxy resolves is checked as far as we can, too."""
        look_up = address.resolve_if_known if proxy else address.resolve
        addresses = self._look_up(look_up, origin.host, origin.port)
        address.permit(origin.netloc, addresses, private=self._may_be_private(origin.host, addresses))
        return addresses

    def _may_be_private(self, host: str, addresses: list[Address]) -> bool:
        """The registry, if it was from the beginning on. Others, if nothing of it is public: whose names have addresses
        inside and outside, at once or in turn, may want to be taken in with what they lead us to."""
        kinds = {found.kind for found in addresses} or {Kind.PUBLIC}
        with self._lock:
            if host == self._home.host:
                self._home_at_first = self._home_at_first or kinds
                self._home_kinds |= kinds
                is_inside = Kind.PRIVATE in self._home_at_first
            else:
                is_inside = self._home_kinds == {Kind.PRIVATE}
        return is_inside and self._access.allows_private(self._home.host, self._home.port)

    def _look_up(self, look_up: Callable[[str, int], list[Address]], host: str, port: int) -> list[Address]:
        """A name service cannot be interrupted; whoever waits for it can."""
        answer: queue.SimpleQueue[list[Address] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answer.put(look_up(host, port))
            except Exception as error:
                answer.put(error)

        threading.Thread(target=ask, name="ollama-registry-names", daemon=True).start()
        while not self._cancel.is_set():
            with contextlib.suppress(queue.Empty):
                found = answer.get(timeout=CANCEL_SECONDS)
                if isinstance(found, Exception):
                    raise found
                return found
        raise Canceled

    # ---- keeping

    def _take(self, origin: Origin) -> Connection | None:
        with self._lock:
            idle = self._idle.get(origin)
            return idle.pop() if idle else None

    def _give_back(self, connection: Connection, reusable: bool) -> None:
        if not reusable or self._closed.is_set():
            self._let_go(connection)
            return
        with self._lock:
            self._idle.setdefault(connection.origin, []).append(connection)

    def _let_go(self, connection: Connection) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.close()

    # ---- ending

    def _watch(self) -> None:
        """Wake the threads that wait for the network: all, once the transfer is cancelled, else those in vain."""
        while not self._closed.wait(CANCEL_SECONDS):
            self.shut(since=math.inf if self._cancel.is_set() else time.monotonic())

    def shut(self, since: float = math.inf) -> None:
        """End every connection that is due, by default all, under the threads that use it; they get an error."""
        with self._lock:
            connections = [connection for connection in self._open if connection.due <= since]
        for connection in connections:
            connection.shut()

    def close(self) -> None:
        self._closed.set()
        self.shut()
        for connection in list(self._open):
            self._let_go(connection)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Connection:
    """One connection to an origin, or to the proxy for it."""

    def __init__(self, origin: Origin, proxy: Proxy | None) -> None:
        self.origin = origin
        self.due = math.inf  # when, by `time.monotonic`, it has kept us waiting for too long
        self._proxy = proxy
        self._handle: socket.socket | None = None
        place = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
        self._http: http.client.HTTPConnection
        if origin.scheme == "https":
            self._http = http.client.HTTPSConnection(*place, context=tls_context())
            if proxy is not None:
                self._http.set_tunnel(origin.host, origin.port, proxy.headers)
        else:
            self._http = http.client.HTTPConnection(*place)

    def open(self, addresses: list[Address]) -> None:
        """Connect to the first of the addresses that answers."""
        # Where the standard library dials; it puts the proxy's tunnel and TLS, with the host's name, on top.
        setattr(self._http, "_create_connection", lambda *_: self._dial(addresses))  # noqa: B010
        with self._soon():
            self._http.connect()
        self._http.auto_open = 0

    def _dial(self, addresses: list[Address]) -> socket.socket:
        error = OSError("no address")
        for family, sockaddr, _ in addresses:
            dialled = socket.socket(family, socket.SOCK_STREAM)
            # A second handle, because TLS takes the first away, and `shut` must work at any moment.
            self._handle = dialled.dup()
            try:
                dialled.settimeout(CONNECT_SECONDS)
                dialled.connect(sockaddr)
            except OSError as failure:
                error = failure
                dialled.close()
                self._handle.close()
                continue
            dialled.settimeout(STALL_SECONDS)  # TLS and the proxy are next
            return dialled
        raise error

    def ask(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> http.client.HTTPResponse:
        target, headers = url.target, dict(headers)
        if self._proxy is not None and url.origin.scheme == "http":
            target = str(url)
            headers |= self._proxy.headers
        self._http.sock.settimeout(STALL_SECONDS)
        try:
            self._http.request(method, target, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            if body is None:
                raise
            # It did not want the whole body: it may have said why before it closed.
        if method == "PUT":
            self._http.sock.settimeout(ANSWER_SECONDS)
        with self._soon():
            return self._http.getresponse()

    @contextlib.contextmanager
    def _soon(self) -> Iterator[None]:
        self.due = time.monotonic() + ANSWER_SECONDS
        try:
            yield
            if time.monotonic() >= self.due:  # what was cut off looks like a whole head to the standard library
                raise TimeoutError
        finally:
            self.due = math.inf

    def shut(self) -> None:
        """End the connection under a thread that may be using it."""
        if self._handle is not None:
            with contextlib.suppress(OSError):  # not connected, or closed already
                self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._http.close()
        if self._handle is not None:
            self._handle.close()


def user_agent() -> str:
    """Ollama's registry refuses models to versions that are too old for them: it is told which one we keep up with."""
    return f"ollama/{API_VERSION} ({platform.machine()} {platform.system().lower()}) ollama-jupyter"


@cache
def tls_context() -> ssl.SSLContext:
    """The system's certificate authorities and those of `certifi`; or only those that SSL_CERT_FILE names."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & set(os.environ):
        import certifi

        context.load_verify_locations(certifi.where())
    return context
