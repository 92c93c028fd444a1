"""The two kinds of lines that a progress display is made of: a bar for bytes, and a status that is worked on."""

from __future__ import annotations

import time
from collections import deque

from ollama_jupyter.client.text import printable
from ollama_jupyter.client.units import clock, size

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SAMPLES = 10  # the rate is that of the last ten seconds


class Status:
    """A step without a size: a text, and behind it a spinner while it goes on."""

    def __init__(self, text: str) -> None:
        self.text = printable(text)
        self.done = False
        self._frame = 0

    def line(self, width: int) -> str:
        self._frame = (self._frame + 1) % len(SPINNER)
        return f"{self.text} {'' if self.done else SPINNER[self._frame]}"[:width]

    def plain(self) -> str:
        return self.text


class Bar:
    """Bytes done of a total. `initial` were there before: they do not count for the rate."""

    def __init__(self, text: str, total: int, initial: int) -> None:
        self.text = printable(text)
        self.total = total
        self.value = min(initial, total)
        self._samples = deque([(time.monotonic(), self.value)], maxlen=_SAMPLES)

    @property
    def done(self) -> bool:
        return self.value >= self.total

    @property
    def percent(self) -> float:
        return 100 * self.value / self.total if self.total else 0.0

    def set(self, value: int) -> None:
        self.value = min(value, self.total)
        now = time.monotonic()
        if now - self._samples[-1][0] > 1:
            self._samples.append((now, self.value))

    @property
    def rate(self) -> float:
        """Bytes a second, lately; 0 for as long as nobody can tell."""
        (begin, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    def line(self, width: int) -> str:
        """`pulling b179c9523d0e:  54% ▕███   ▏  53 MB/ 98 MB  12 MB/s      3s`, as wide as the terminal."""
        before, after = f"{self.text} {self.percent:3.0f}%", self._figures()
        room = width - len(before) - len(after) - 5
        if room < 1:
            return f"{before} {after.strip()}"[:width]
        filled = int(room * self.percent / 100)
        return f"{before} ▕{'█' * filled}{' ' * (room - filled)}▏ {after}"

    def _figures(self) -> str:
        if self.done:
            return f"{size(self.total):>6}{'':25}"
        counts = f"{size(self.value):>6}/{size(self.total):>6}"
        rate = self.rate
        if rate <= 0:
            return f"{counts}{'':18}"
        return f"{counts}  {size(rate):>6}/s  {clock((self.total - self.value) / rate):>6}"

    def plain(self) -> str:
        """The line for a log."""
        done = size(self.total) if self.done else f"{size(self.value)}/{size(self.total)}"
        return f"{self.text} {self.percent:.0f}% {done}"
