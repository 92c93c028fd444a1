"""A spinner for the time between a question and the first word of the answer."""

from __future__ import annotations

import sys
import threading

from ollama_jupyter.cli.bar import SPINNER
from ollama_jupyter.cli.progress import FRAME_SECONDS

_HIDE_CURSOR, _SHOW_CURSOR, _CLEAR_LINE = "\x1b[?25l", "\x1b[?25h", "\r\x1b[K"


class Waiting:
    """Turns on stderr until `clear`, or the end of the `with` block; where stderr is no terminal there is none."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._over.set()  # not begun
        self._thread = threading.Thread(target=self._turn, name="waiting", daemon=True)

    def __enter__(self) -> Waiting:
        if sys.stderr.isatty():
            self._over.clear()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take it off the terminal. Other calls than the first do nothing."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join()
            self._write(_CLEAR_LINE + _SHOW_CURSOR)

    def _turn(self) -> None:
        frame = 0
        while not self._over.wait(FRAME_SECONDS):
            self._write(f"{_HIDE_CURSOR}\r{SPINNER[frame % len(SPINNER)]} ")
            frame += 1

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
