"""A TCP proxy that lets so many bytes through towards the client and then waits to be opened, or cuts connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class GatedProxy:
    """Forwards connections to `target` (`host:port`). `passed` counts the bytes that clients have got.

    `cuts`: each ends one connection, once its client has sent more than so many bytes.
    """

    def __init__(self, target: str, limit: int) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._limit = limit
        self._open = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.passed = 0
        self.cuts: list[int] = []
        self.active = 0  # connections that neither side has closed

    def open(self) -> None:
        """Let everything through from now on."""
        self._open.set()

    def accept(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                client, _ = self._server.accept()
                upstream = socket.create_connection(self._target)
                with self._lock:
                    self._sockets |= {client, upstream}
                    self.active += 1
                for forward in (self._up, self._down):
                    self._threads.append(threading.Thread(target=forward, args=(client, upstream)))
                    self._threads[-1].start()

    def _up(self, client: socket.socket, upstream: socket.socket) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                upstream.sendall(data)
                sent += len(data)
                if self.cuts and sent > self.cuts[0]:
                    self.cuts.pop(0)
                    break
        for end in (client, upstream):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self.active -= 1

    def _down(self, client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := upstream.recv(1 << 14):
                while self.passed >= self._limit and not self._open.wait(0.01) and not self._ended.is_set():
                    pass
                client.sendall(data)
                with self._lock:
                    self.passed += len(data)
            client.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._server.close()
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()


@contextlib.contextmanager
def gated(target: str, limit: int) -> Iterator[GatedProxy]:
    proxy = GatedProxy(target, limit)
    accepting = threading.Thread(target=proxy.accept)
    accepting.start()
    try:
        yield proxy
    finally:
        proxy.close()
        accepting.join()
