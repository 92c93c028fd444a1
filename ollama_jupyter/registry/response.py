"""One HTTP answer: its head read, its body not yet. Bodies come as they were sent, never decompressed."""

from __future__ import annotations

import html
import http.client
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from types import TracebackType

from ollama_jupyter.errors import Canceled, RegistryError, Trouble
from ollama_jupyter.registry.url import URL

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")
_NOT_TLS = (*_PLAIN, "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE")  # the latter are also what a bad line makes of TLS
TRICKLE_BYTES, TRICKLE_SECONDS = 4096, 30.0
"""Fewer bytes than that in so long are a stall, whatever it looks like."""
EXCERPT = 500
"""Bytes of a stranger's error page that are worth showing."""


class Response:
    """An answer from `url`. A context manager; closing it early closes the connection, reading it whole keeps it.

    Args:
        done: called once, with whether the connection can take another request.
    """

    def __init__(
        self, url: URL, answer: http.client.HTTPResponse, cancel: threading.Event, done: Callable[[bool], None]
    ) -> None:
        self.url = url
        self.status = answer.status
        self.headers: Message = answer.headers
        self._answer = answer
        self._cancel = cancel
        self._done: Callable[[bool], None] | None = done
        self._lately = 0  # bytes that came since `_marked_at`
        self._marked_at = time.monotonic()
        if answer.length == 0:
            # After an interim answer the real one would be taken for that of the next request.
            self._finish(not answer.will_close and answer.status >= 200)

    @property
    def length(self) -> int | None:
        """Bytes that the body will have, or None where the other side does not say."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    @property
    def retry_after(self) -> float:
        """Seconds that the other side asks us to wait before the next try; 0 where it does not say."""
        text = self.headers.get("Retry-After", "").strip()
        return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0

    @property
    def location(self) -> URL:
        """Where a redirect leads. Raises RegistryError if it leads nowhere, or from https to http."""
        location = self.headers.get("Location")
        if not location:
            raise RegistryError("http: no Location header in response")
        return self.url.join(location)

    def some(self, limit: int) -> bytes:
        """The next bytes of the body, as many as have come, at most `limit`; none at its end.

        Raises:
            Trouble: if the connection fails, or nothing comes for a while, or next to nothing.
            Canceled: if the transfer was cancelled.
        """
        with passing(self.url, self._cancel):
            data = self._answer.read1(limit)
        if not data and self._cancel.is_set():  # it may have been cut for that
            raise Canceled
        self._refuse_trickle(len(data))
        if not data or self._answer.length == 0:
            self._finish(not self._answer.will_close and self._answer.length in (0, None))
        return data

    def _refuse_trickle(self, size: int) -> None:
        self._lately += size
        now = time.monotonic()
        if self._lately >= TRICKLE_BYTES:
            self._lately, self._marked_at = 0, now
        elif size and now - self._marked_at > TRICKLE_SECONDS:
            raise Trouble(f"{self.url.origin.netloc}: next to nothing came for too long")

    def read(self, limit: int, what: str) -> bytes:
        """The whole body, which is `what`.

        Raises:
            RegistryError: if it has more than `limit` bytes, or is compressed, which nobody asked for.
            Trouble, Canceled: as `some`; also if the body ends before its time.
        """
        self.refuse_compressed(what)
        body = bytearray()
        while piece := self.some(min(1 << 16, limit + 1 - len(body))):
            body += piece
            if len(body) > limit:
                raise RegistryError(f"{what} of {self.url.origin.netloc} is larger than {limit} bytes")
        if self.length is not None and len(body) < self.length:
            raise Trouble(f"{self.url.origin.netloc}: the connection was cut")
        return bytes(body)

    def refuse_compressed(self, what: str) -> None:
        coding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise RegistryError(f"{what} of {self.url.origin.netloc} is compressed, which was not asked for")

    def excerpt(self) -> str:
        """The beginning of an error's body as one readable line; "" where there is none. The response is closed."""
        with self:
            try:
                text = self._beginning().decode("utf-8", "replace")
            except Trouble:
                return ""
        return readable(text)

    def _beginning(self) -> bytes:
        body = b""
        if self.headers.get("Content-Encoding", "identity").strip().lower() == "identity":
            while len(body) < 4 * EXCERPT and (piece := self.some(4 * EXCERPT - len(body))):
                body += piece
        return body

    def close(self) -> None:
        self._finish(False)

    def _finish(self, reusable: bool) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._answer.close()
            done(reusable)

    def __enter__(self) -> Response:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def readable(text: str) -> str:
    """A stranger's text as one line of printable characters, without HTML's tags, cut to a length that can be shown."""
    without_tags = re.sub(r"(?is)<(script|style|head)\b.*?(</\1>|\Z)|<[^>]*>?", " ", text)
    plain = html.unescape(without_tags)
    line = " ".join("".join(char if char.isprintable() else " " for char in plain).split())
    return line if len(line) <= EXCERPT else line[:EXCERPT] + "…"


@contextmanager
def passing(url: URL, cancel: threading.Event) -> Iterator[None]:
    """Failures of the network become errors of ours; any of them, once the transfer was cancelled, is that."""
    host = url.origin.netloc
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise RegistryError(f"{host}: the certificate is not trusted: {error.verify_message}") from None
    except ssl.SSLError as error:
        hint = "; a registry that speaks only http needs `insecure`" if error.reason in _NOT_TLS else ""
        kind = RegistryError if error.reason in _PLAIN else Trouble
        raise _or_canceled(cancel, kind(f"{host}: no TLS connection ({error.reason}){hint}")) from None
    except TimeoutError:
        raise _or_canceled(cancel, Trouble(f"{host}: nothing came for too long")) from None
    except ConnectionRefusedError:
        raise _or_canceled(cancel, Trouble(f"{host}: connection refused")) from None
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        # ValueError and AttributeError: the file object of a connection that was closed under a reader
        raise _or_canceled(cancel, Trouble(f"{host}: the connection failed ({_reason(error)})")) from None


def _or_canceled(cancel: threading.Event, error: Exception) -> Exception:
    return Canceled() if cancel.is_set() else error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
