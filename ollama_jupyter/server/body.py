"""Request bodies, bounded while they arrive: a JSON body in memory, or nothing kept at all."""

from __future__ import annotations

import re

from ollama_jupyter.api.fields import Body, decode_object, image_size
from ollama_jupyter.errors import BadRequest, BodyTooLarge

MAX_BODY = 64 * 2**20
"""Bytes of a JSON body, images and all."""

MAX_TEXT = 4 * 2**20
"""Bytes of a JSON body that are not base64 of images: parsing many small values holds the interpreter's lock."""

MAX_UNPACKED, MAX_WINDOW = 20 * 2**20, 8 * 2**20
"""Bytes that a body in zstd may hold, and that it may look back: Ollama's numbers."""

LARGE = 2**18
"""Bytes from which on reading a body takes longer than the event loop may stand still."""

_MIN_RUN = 256
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\"
_RUN = re.compile(rb"[A-Za-z0-9+/=\\]{%d,}" % _MIN_RUN)


def too_large() -> BodyTooLarge:
    return BodyTooLarge(f"the request body is larger than {MAX_BODY >> 20} MB")


def too_much_text() -> BodyTooLarge:
    return BodyTooLarge(f"the request holds more than {MAX_TEXT >> 20} MB of text; only images may be larger")


class TextMeter:
    """Counts the bytes of a stream outside of long base64 runs, whatever the pieces it arrives in.

    A run counts as an image from 256 bytes on (with the backslash, since some encoders write `\\/`). That is a first,
    cheap bound: a text of one long word passes here and is caught by `JsonBody.decode`.
    """

    def __init__(self) -> None:
        self.text = 0
        self._run = 0  # length of the run that the bytes so far end with

    def feed(self, chunk: bytes) -> None:
        head = len(chunk) - len(chunk.lstrip(_BASE64))
        self._run += head
        if head == len(chunk):
            return
        self._end_run()
        tail = len(chunk) - len(chunk.rstrip(_BASE64))
        middle = chunk[head : len(chunk) - tail]
        self.text += len(middle) - sum(match.end() - match.start() for match in _RUN.finditer(middle))
        self._run = tail

    def _end_run(self) -> None:
        if self._run < _MIN_RUN:
            self.text += self._run
        self._run = 0


class JsonBody:
    """Collects a body and refuses it as soon as it is too large. `encoding` is its Content-Encoding.

    Raises:
        BodyTooLarge: from `feed` while the body arrives, or from `decode` for a text that looked like base64.
    """

    def __init__(self, encoding: str = "") -> None:
        self._data = bytearray()
        self._meter = TextMeter()
        self._is_packed = encoding.strip().lower() == "zstd"

    @property
    def is_large(self) -> bool:
        """Whether reading it is for a thread. Nobody knows how much a packed one holds."""
        return self._is_packed or len(self._data) > LARGE

    def feed(self, chunk: bytes) -> None:
        self._data += chunk
        if len(self._data) > MAX_BODY:
            raise too_large()
        if self._is_packed:  # what it holds is measured when it is unpacked
            return
        self._meter.feed(chunk)
        if self._meter.text > MAX_TEXT:
            raise too_much_text()

    def decode(self, *, empty: str = "missing request body") -> Body:
        """The object in the body. Raises BadRequest where it is none."""
        data = _unpacked(bytes(self._data)) if self._is_packed else bytes(self._data)
        size = len(data)
        self._data.clear()
        body = decode_object(data, empty=empty)
        if size > MAX_TEXT and size - image_size(body) > MAX_TEXT:
            raise too_much_text()
        return Body(body)


def _unpacked(data: bytes) -> bytes:
    """What a zstd frame holds, never more than MAX_UNPACKED bytes of it."""
    import zstandard

    reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(data)
    try:
        found: bytes = reader.read(MAX_UNPACKED + 1)
    except zstandard.ZstdError:
        raise BadRequest("failed to decompress request body") from None
    if len(found) > MAX_UNPACKED:
        raise BodyTooLarge(f"the request body is larger than {MAX_UNPACKED >> 20} MB when it is unpacked")
    return found
