"""How far a pull, a push or a create has come: bytes, rate and time left, from the status lines of a server."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ollama_jupyter.client import units

WINDOW_SECONDS = 5.0
"""The rate is that of so many last seconds: old enough to be calm, young enough to show a stall."""
_SETTLE_SECONDS = 0.5  # before that, a rate would be a guess


class Transfer:
    """The sum over all layers that the server has spoken of. Sizes in bytes, times in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.status = ""
        self._layers: dict[str, tuple[int, int]] = {}  # digest ("": no layer's) -> completed, total
        self._clock = clock
        self._began = clock()
        self._moved = 0
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, line: Any) -> None:
        """Take in a status line: anything with `status`, `digest`, `completed` and `total`, any of them None."""
        self.status = line.status or self.status
        if not line.total:
            return
        digest, completed = line.digest or "", min(line.completed or 0, line.total)
        before = self._layers.get(digest)
        # What is there in a layer's first line was there before: it says nothing about the speed of the line.
        self._moved += max(0, completed - before[0]) if before else 0
        self._layers[digest] = completed, line.total
        self._sample()

    def _sample(self) -> None:
        now = self._clock()
        self._samples.append((now, self._moved))
        while now - self._samples[0][0] > WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def completed(self) -> int:
        return sum(completed for completed, _ in self._layers.values())

    @property
    def total(self) -> int:
        return sum(total for _, total in self._layers.values())

    @property
    def fraction(self) -> float:
        """0 to 1; 0 while no size is known."""
        return self.completed / self.total if self.total else 0.0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock() - self._began

    @property
    def rate(self) -> float | None:
        """Bytes per second lately, None while too little is known."""
        if not self._samples:
            return None
        then, moved = self._samples[0]
        elapsed = self._clock() - then
        return (self._moved - moved) / elapsed if elapsed >= _SETTLE_SECONDS else None

    @property
    def is_moving(self) -> bool:
        return 0 < self.completed < self.total

    def __str__(self) -> str:
        """One line for people: `pulling b179c9523d0e · 53 MB of 98 MB · 12 MB/s · 4s left`."""
        parts = [self.place or "waiting for the server"]
        if self.is_moving and (rate := self.rate) is not None:
            parts.append(f"{units.size(rate)}/s")
            parts += [f"{units.clock((self.total - self.completed) / rate)} left"] if rate >= 1 else []
        return " · ".join(parts)

    @property
    def place(self) -> str:
        """Where it is, without the speed: `pulling b179c9523d0e · 53 MB of 98 MB`."""
        return " · ".join(filter(None, [self.status, self.amount if self.is_moving else ""]))

    @property
    def amount(self) -> str:
        """`53 MB of 98 MB`."""
        return f"{units.size(self.completed)} of {units.size(self.total)}"

    @property
    def summary(self) -> str:
        """What is worth keeping of a finished one: `98 MB in 8s`; empty if no bytes were spoken of."""
        if not self.total:
            return ""
        took = f" in {units.clock(max(1, self.seconds))}" if self._moved else ", already here"
        return units.size(self.total) + took


def follow(lines: Iterable[Any], transfer: Transfer, show: Callable[[Transfer], None]) -> None:
    """Note and show every line of a stream."""
    for line in lines:
        transfer.note(line)
        show(transfer)
