"""Ending a request from another thread, at any moment: while it connects, waits for an answer, or reads one."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_CONNECTED = ("connect_tcp.complete", "start_tls.complete")


class Hangup:
    """A line that can be cut. Closing a response does not wake the thread that reads it; shutting its socket does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._cut = False

    def __bool__(self) -> bool:
        """Whether it was cut."""
        return self._cut

    def cut(self) -> None:
        """Break the connections that there are, and every later one as soon as it stands."""
        with self._lock:
            self._cut = True
            for line in self._sockets:
                _shut(line)

    def watch(self, request: httpx.Request) -> None:
        """Hold the sockets of a request that is about to be sent: a request hook for httpx."""
        request.extensions = {**request.extensions, "trace": self._note}

    def _note(self, event: str, details: Mapping[str, Any]) -> None:
        if not event.endswith(_CONNECTED):
            return
        line = details["return_value"].get_extra_info("socket")
        with self._lock:
            self._sockets.append(line)
            if self._cut:
                _shut(line)


def _shut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it ended by itself
        line.shutdown(socket.SHUT_RDWR)
