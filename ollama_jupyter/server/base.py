"""What every handler shares, on every door: a bounded body, streams, errors in Ollama's shape, cancellation.

A request runs through `prepare` (the door's checks), `data_received` (the body, piece by piece), one verb inside
`perform`, and ends in exactly one terminal message. Doors subclass `Resource` beside their Tornado base class.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Any, TypeVar

from tornado import web
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError

from ollama_jupyter.api import ollama_answers
from ollama_jupyter.api.wire import encode
from ollama_jupyter.errors import BadRequest, Canceled, OllamaJupyterError, Stopping
from ollama_jupyter.server.app import Ollama
from ollama_jupyter.server.body import MAX_BODY, JsonBody, too_large
from ollama_jupyter.server.wording import message_of, reason_of

log = logging.getLogger("ollama_jupyter.server")

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
PLAIN = "text/plain"
IGNORED = "x-ignored-fields"

LINGER_S = 2.0
"""Seconds for which a body is thrown away after an early answer. Closing at once would reset the connection, and a
client that is still sending would see the reset instead of the answer."""

T = TypeVar("T")
Verb = Callable[..., Awaitable[None]]


class Resource(web.RequestHandler):
    """One resource of the API. Subclasses define verbs; `bind` in routes.py wraps each in `perform`."""

    allowed: tuple[str, ...] = ()
    auth_resource = "ollama_jupyter:models"
    STALL_S = 60.0  # seconds that one line of a stream may take to leave for the client
    auth_action: str | None = None  # None: read or write, by the verb
    ended = False  # the stream's last line is out; nothing may follow it
    _arriving = False
    _answered = False  # before the body was complete; the verb must not run
    _refused = False  # before the body was asked for
    _gone = False
    _logged = False
    _work: asyncio.Future[None] | None = None
    _interrupted: Canceled | None = None

    @property
    def trusts_private(self) -> bool:
        """Whether those who come by this door may have us connect to private addresses."""
        return False

    @property
    def ollama(self) -> Ollama:
        app: Ollama = self.settings["ollama"]
        return app

    # ---- before the verb: the door, then the body -------------------------------------------------------------

    async def admit(self) -> None:
        """The door's checks. Raises HTTPError or one of ours to refuse."""

    async def prepare(self) -> None:
        self.body = JsonBody(self.request.headers.get("Content-Encoding", ""))
        # Tornado answers its own limit with a bare 400 and cannot tell routes apart: the limits are ours.
        self.request.connection.set_max_body_size(2**63 - 1)  # type: ignore[union-attr]
        try:
            await self.admit()
            if not self._finished:
                await self.expect_body(self._announced())
        except (web.HTTPError, OllamaJupyterError) as refusal:
            if not self._has_body():
                self._refused = True
                raise
            self.answer_early(refusal)

    async def expect_body(self, size: int) -> None:
        """Called with the announced size in bytes, 0 if unknown, before any of the body is read."""
        if size > MAX_BODY:
            raise too_large()

    def _announced(self) -> int:
        text = self.request.headers.get("Content-Length", "0")
        return int(text) if text.isdecimal() and len(text) < 20 else 0  # Tornado refuses a bad one when it reads on

    def _has_body(self) -> bool:
        headers = self.request.headers
        return "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"

    async def data_received(self, chunk: bytes) -> None:
        self._arriving = True
        if self._answered:
            return
        try:
            await self.take(chunk)
        except OllamaJupyterError as refusal:
            self.answer_early(refusal)

    async def take(self, chunk: bytes) -> None:
        """Keep a piece of the body. Raises one of ours to refuse the rest."""
        self.body.feed(chunk)

    async def read(self, convert: Callable[[dict[str, Any]], T], *, empty: str = "missing request body") -> T:
        """What the body asks for, by `convert`. A large body is read in a thread, so that the loop goes on.

        Fields that `convert` does not ask for are ignored, as the originals do, and told in a header.

        Raises:
            BadRequest: if the body is no object, and whatever `convert` raises.
        """

        def work() -> tuple[T, tuple[str, ...]]:
            try:
                body = self.body.decode(empty=empty)
                return convert(body), body.ignored()
            except RecursionError:
                raise BadRequest("the request body is nested too deeply") from None

        value, ignored = await asyncio.to_thread(work) if self.body.is_large else work()
        if ignored:
            self.set_header(IGNORED, ", ".join(ignored))
        return value

    def answer_early(self, refusal: Exception | None) -> None:
        """Answer now (with the refusal, or with what was set), throw the rest of the body away for a moment, close."""
        self._answered = True
        if refusal is not None:
            self.clear()
            self.write_error(getattr(refusal, "status", getattr(refusal, "status_code", 500)), error=refusal)
        self.set_header("Connection", "close")
        self.set_header("Content-Length", sum(len(part) for part in self._write_buffer))
        self.flush()
        if self.request.headers.get("Expect") == "100-continue" and not self._arriving:
            self._end()  # the client holds its body back: nothing can be lost
        else:
            IOLoop.current().call_later(LINGER_S, self._end)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        if self._answered:
            self._end()
        else:
            super().send_error(status_code, **kwargs)

    def _end(self) -> None:
        """Finish an early answer and close, as its header says: Tornado keeps a connection whose body came whole."""
        if not self._finished:
            connection = self.request.connection
            self.finish().add_done_callback(lambda _: connection.close())  # type: ignore[union-attr]

    # ---- the verb ---------------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """Method and path, as the access log shows them."""
        return f"{self.request.method} {self.request.path}"

    async def perform(self, verb: Verb, args: tuple[Any, ...]) -> None:
        """Run `verb` as a task of its own, so that a disconnect or the server's end can cancel it in any state."""
        if self._answered or self._gone:
            self._end()
            return
        if self.ollama.closing:
            raise Stopping
        self._work = asyncio.ensure_future(verb(self, *args))
        self.ollama.begin(self)
        try:
            await self._work
        except asyncio.CancelledError:
            if self._gone:
                return
            if self._interrupted is None:
                raise
            await self._fail(self._interrupted)
        except StreamClosedError:
            self._gone = True
        except Exception as error:
            await self._fail(error)
        finally:
            self.ollama.end(self)

    async def _fail(self, error: Exception) -> None:
        """An error before the first byte has a status of its own; after it, it is the stream's last line."""
        if not self._headers_written:
            raise error
        if not isinstance(error, OllamaJupyterError):
            log.error("%s failed in the middle of its stream", self.label, exc_info=error)
        if self.ended:
            return
        try:
            await self._send(self.error_line(getattr(error, "status", 500), message_of(error)))
        except StreamClosedError:
            self._gone = True

    def interrupt(self, reason: Canceled) -> None:
        """Cancel the work from outside; the client is told the reason."""
        self._interrupted = reason
        if self._work is not None:
            self._work.cancel()

    def on_connection_close(self) -> None:
        """The client went away: cancel, in whatever state the work is."""
        super().on_connection_close()
        self._gone = True
        if not self._headers_written:
            self.set_status(499, "Client Closed Request")
        if self._work is not None:
            self._work.cancel()
        elif not self._finished:
            self._log()

    # ---- answers ----------------------------------------------------------------------------------------------

    def answer(self, value: Any, content_type: str = JSON, status: int = 200) -> None:
        """One JSON value, and the end of the request."""
        self.answer_text(encode(value), content_type, status)

    def answer_text(self, text: bytes, content_type: str = JSON, status: int = 200) -> None:
        """One value that is JSON already, and the end of the request."""
        self.set_status(status)
        self.set_header("Content-Type", content_type)
        self.finish(text)

    def answer_empty(self, status: int = 200) -> None:
        self.set_status(status)
        self.clear_header("Content-Type")
        self.finish()

    async def stream(self, lines: AsyncGenerator[bytes, None], content_type: str = NDJSON) -> None:
        """Send lines as they come, each flushed, no faster than the client reads them.

        What the generator raises before its first line becomes the status of the answer.
        """
        async with aclosing(lines):
            first = await anext(lines)
            self.set_header("Content-Type", content_type)
            self.set_header("Cache-Control", "no-cache")
            self.set_header("X-Accel-Buffering", "no")  # proxies of the nginx family would hold lines back
            await self._send(first)
            async for line in lines:
                self.touch()
                await self._send(line)

    async def _send(self, line: bytes) -> None:
        """Returns once the line is out. A client that stops reading holds a model, so it is let go after a while.

        Raises:
            StreamClosedError: if the client is gone, or was let go.
        """
        self.write(line)
        sent = self.flush()
        await asyncio.wait([sent], timeout=self.STALL_S)
        if not sent.done():
            log.info("%s: closed, the client has not read for %g s", self.label, self.STALL_S)
            self.request.connection.close()  # type: ignore[union-attr]
            raise StreamClosedError
        await sent

    def touch(self) -> None:
        """Called while a stream is alive, for whoever watches activity."""
        self.ollama.touch()

    def error_line(self, status: int, message: str) -> bytes:
        """The last line of a stream that failed."""
        return encode(ollama_answers.error(message)) + b"\n"

    def error_body(self, status: int, message: str) -> tuple[bytes, str]:
        """Body and content type of an error before the first byte."""
        return encode(ollama_answers.error(message)), JSON

    async def not_allowed(self, *args: str) -> None:
        """The verb of every method that the resource does not have."""
        raise web.HTTPError(405)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("error") or (kwargs["exc_info"][1] if kwargs.get("exc_info") else None)
        if isinstance(error, OllamaJupyterError):
            status_code = error.status
        self.set_status(status_code, reason_of(status_code))
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.allowed))
            body, kind = b"405 method not allowed", PLAIN
        else:
            body, kind = self.error_body(status_code, message_of(error, status_code))
        self.set_header("Content-Type", kind)
        if self._refused:  # Tornado closes behind an answer that comes before the body, even one of no bytes
            self.set_header("Connection", "close")
        self.write(body)
        if not self._answered:
            self.finish()

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Errors that we raise on purpose are answers; the rest gets its traceback."""
        if not isinstance(value, (OllamaJupyterError, web.HTTPError)):
            super().log_exception(typ, value, tb)

    def compute_etag(self) -> str | None:
        return None

    def _log(self) -> None:
        if not self._logged:
            self._logged = True
            super()._log()
