"""A read position in an untrusted file: nothing is allocated or skipped before it was checked against the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from ollama_jupyter.errors import InvalidGGUF

MAX_STRING = 16 << 20
MAX_TOKEN = 64 << 10
MAX_KEPT = 64 << 20
"""Bytes of strings that one header may make us hold."""

_WINDOW = 256 << 10
_U64 = struct.Struct("<Q")


def bad(reason: str) -> InvalidGGUF:
    return InvalidGGUF(f"invalid GGUF: {reason}")


class Cursor:
    """Reads little-endian values from `file`, whose length is `size` bytes, through a small window."""

    def __init__(self, file: BinaryIO, size: int, position: int = 0) -> None:
        self._file = file
        self.size = size
        self.position = position
        self._window = b""
        self._start = 0
        self._kept = 0

    @property
    def left(self) -> int:
        return self.size - self.position

    def take(self, count: int) -> bytes:
        """The next `count` bytes.

        Raises:
            InvalidGGUF: if the file does not have them.
        """
        if count > self.left:
            raise bad("the file ends inside its header")
        offset = self.position - self._start
        if offset < 0 or offset + count > len(self._window):
            self._fill(count)
            offset = 0
        self.position += count
        return self._window[offset : offset + count]

    def _fill(self, need: int) -> None:
        """Move the window to the position, with `need` bytes at least (which the caller checked against the size)."""
        self._file.seek(self.position)
        self._window = self._file.read(min(max(need, _WINDOW), self.left))
        self._start = self.position
        if len(self._window) < need:
            raise bad("the file shrank while it was read")

    def at(self, position: int, count: int) -> bytes:
        self.position = position
        return self.take(count)

    def skip(self, count: int) -> None:
        if count > self.left:
            raise bad("the file ends inside its header")
        self.position += count

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def string(self, limit: int = MAX_STRING) -> bytes:
        length = self.u64()
        if length > limit:
            raise bad(f"a string of {length} bytes, more than the {limit} allowed")
        self._kept += length
        if self._kept > MAX_KEPT:
            raise bad(f"its strings hold more than {MAX_KEPT} bytes")
        return self.take(length)

    def string_lengths(self, count: int, limit: int) -> Iterator[tuple[int, int]]:
        """Walk over `count` strings: the position and length of each. Leaves the cursor behind the last one.

        A tight loop, since a vocabulary has a quarter of a million of them.
        """
        unpack, window, offset, end = _U64.unpack_from, self._window, self.position - self._start, len(self._window)
        for _ in range(count):
            if offset < 0 or offset + 8 > end:
                self.position = self._start + offset
                if self.left < 8:
                    raise bad("the file ends inside its header")
                self._fill(8)
                window, offset, end = self._window, 0, len(self._window)
            (length,) = unpack(window, offset)
            offset += 8
            if length > limit:
                raise bad(f"a string of {length} bytes, more than the {limit} allowed")
            yield self._start + offset, length
            offset += length
        self.position = self._start + offset
        if self.position > self.size:
            raise bad("the file ends inside its header")

    def skip_strings(self, count: int, limit: int) -> None:
        for _ in self.string_lengths(count, limit):
            pass
