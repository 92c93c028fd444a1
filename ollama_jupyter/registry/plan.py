"""Who fetches what: the gaps of a blob cut into pieces, handed out in order, so that its beginning is whole first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from ollama_jupyter.store.ranges import Range

SMALLEST, LARGEST = 16 << 20, 64 << 20
"""Bytes of a piece: each costs a request, and an unfinished one at the end is waited for."""
WORTH_SPLITTING = 8 << 20


@dataclass(eq=False, slots=True)
class Piece:
    """What one stream fetches: from `start`, which moves on with it, to `end`, which another may bring nearer."""

    start: int
    end: int

    @property
    def left(self) -> int:
        return self.end - self.start


class Plan:
    """The pieces of one download. Threads may share it."""

    def __init__(self, gaps: Iterable[Range], size: int, streams: int) -> None:
        step = min(max(size // (4 * streams), SMALLEST), LARGEST) if streams > 1 else size
        pieces = (Piece(at, min(at + step, end)) for start, end in gaps for at in range(start, end, max(step, 1)))
        self._size = size
        self._lock = threading.Lock()
        self._waiting = deque(pieces)
        self._active: set[Piece] = set()
        self._everything: Piece | None = None
        self._may_split = streams > 1

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Piece | None:
        """The next piece; when all are taken, half of the one that has most left. None if there is nothing to do."""
        with self._lock:
            piece = self._waiting.popleft() if self._waiting else self._half()
            if piece is not None:
                self._active.add(piece)
            return piece

    def _half(self) -> Piece | None:
        longest = max(self._active, key=lambda piece: piece.left, default=None)
        if longest is None or self._everything is not None or not self._may_split or longest.left < 2 * WORTH_SPLITTING:
            return None
        middle = longest.end - longest.left // 2
        piece = Piece(middle, longest.end)
        longest.end = middle
        return piece

    def finish(self, piece: Piece) -> None:
        with self._lock:
            self._active.discard(piece)

    def take_all(self, piece: Piece) -> bool:
        """The stream that has `piece` brings everything, from the first byte: it goes on alone, the others finish.

        Returns:
            False if another stream does so already: then nothing of `piece` is left to do.
        """
        with self._lock:
            if self._everything not in (None, piece):
                piece.end = piece.start
                return False
            self._everything = piece
            self._waiting.clear()
            piece.start, piece.end = 0, self._size
            return True
