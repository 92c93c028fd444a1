"""The journal of a partial blob: which of its bytes are on the disk, and whether they were found to be the right ones.

Lines of text, each with a checksum. `done` is appended only after the bytes that it claims were synced, so whatever
survives a power cut is true; a torn end is ignored. `wrote` claims bytes that the system has and the disk may not have
yet: it counts until the machine starts anew, so that a process that was killed has lost nothing.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ollama_jupyter.store.files import write_atomically
from ollama_jupyter.store.ranges import Range, Ranges

sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


@dataclass(slots=True)
class Claims:
    """What a journal says of a blob of `size` bytes. Not all of `done` is on the disk unless it is `synced`."""

    size: int = 0
    done: Ranges = field(default_factory=Ranges)
    synced: bool = True
    verified: bool = False

    @classmethod
    def read(cls, path: Path) -> Claims:
        """The claims of a journal; none if it is not there or says nothing that can be relied on."""
        try:
            lines = path.read_bytes().split(b"\n")
        except OSError:
            return cls()
        claims = cls()
        for line in lines[:-1]:
            if not claims._take(line):
                break
        return claims

    def _take(self, line: bytes) -> bool:
        """Add a line's claim. False if the line is torn, or claims what cannot be."""
        text, _, check = line.rpartition(b" ")
        try:
            return check == _checksum(text) and self._believe(text.decode())
        except ValueError:  # a right checksum of nonsense: another program's, or forged
            return False

    def _believe(self, text: str) -> bool:
        kind, _, rest = text.partition(" ")
        if kind == "size":
            self.size = int(rest)
        elif kind == "verified":
            self.verified = True
        elif kind == "done":
            self._add(rest)
        elif kind != "wrote":
            return False
        elif rest.partition(" ")[0] == boot():
            self._add(rest.partition(" ")[2])
            self.synced = False
        return True

    def _add(self, text: str) -> None:
        for pair in text.split(","):
            start, _, end = pair.partition("-")
            self.done.add(int(start), int(end))


class Journal:
    """The journal of the one who holds the partial blob. It is begun anew with what the old one claimed."""

    def __init__(self, path: Path, size: int, done: Iterable[Range] = ()) -> None:
        data = _line(f"size {size}") + b"".join(_line(f"done {_text([pair])}") for pair in done)
        write_atomically(data, path, folder=path.parent)
        self._number = os.open(path, os.O_WRONLY | os.O_APPEND)

    def note(self, wrote: Iterable[Range]) -> None:
        """Claim ranges that were written, for as long as the machine runs."""
        if boot():
            os.write(self._number, _line(f"wrote {boot()} {_text(wrote)}"))

    def add(self, done: Iterable[Range]) -> None:
        """Claim ranges for good. The caller has synced them."""
        self._append(f"done {_text(done)}")

    def verify(self) -> None:
        """Claim that the whole blob, synced, has the right digest."""
        self._append("verified")

    def _append(self, text: str) -> None:
        os.write(self._number, _line(text))
        sync(self._number)

    def close(self) -> None:
        os.close(self._number)


@cache
def boot() -> str:
    """What tells this run of the machine from those before, or "" where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _text(ranges: Iterable[Range]) -> str:
    return ",".join(f"{start}-{end}" for start, end in ranges)


def _line(text: str) -> bytes:
    return text.encode() + b" " + _checksum(text.encode()) + b"\n"


def _checksum(text: bytes) -> bytes:
    return f"{zlib.crc32(text):08x}".encode()
