"""An answer on its way to stdout: the marks around its thinking, words wrapped, nothing that steers the terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from ollama_jupyter.cli.repl.waiting import Waiting
from ollama_jupyter.cli.repl.wrap import WordWrap
from ollama_jupyter.client.text import harmless, printable

GREY, BOLD, PLAIN = "\x1b[38;5;245m", "\x1b[1m", "\x1b[0m"


def width() -> int:
    """Columns of the terminal that stdout is, 80 where it does not say."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def show(text: str) -> None:
    """Write a text from a server, at once. Into a pipe or file it goes as it is."""
    sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


class View:
    """One answer. `waiting` is cleared before the first thing is shown."""

    def __init__(self, waiting: Waiting, *, wrap: bool, hide_thinking: bool = False) -> None:
        self._waiting = waiting
        self._hide_thinking = hide_thinking
        self._terminal = sys.stdout.isatty()
        self._wraps = wrap and self._terminal  # what goes into a file is not for us to break
        self._wrap = WordWrap(width)
        self._is_thinking = False
        self._thought = ""
        self.shown = False

    def thinking(self, text: str) -> None:
        if not text or self._hide_thinking:
            return
        if not self._is_thinking:
            self._is_thinking = True
            self._mark("Thinking...\n", stays_grey=True)
        self._thought = text
        self._write(text)

    def content(self, text: str) -> None:
        if text:
            self._end_thinking()
            self._write(text)

    def tool_calls(self, calls: Sequence[Any]) -> None:
        """Nobody offered the model a tool; tell what it wanted to call."""
        if not calls:
            return
        self._end_thinking()
        lines = [_tool_call(call, self._terminal) for call in calls]
        self._raw("\n".join(lines) + (PLAIN if self._terminal else ""))

    def finish(self) -> None:
        """The answer is over, or was cut: a terminal that was left grey gets its colour back."""
        self._waiting.clear()
        if self._is_thinking and self._terminal:
            self._raw(PLAIN)
        self._is_thinking = False

    def _end_thinking(self) -> None:
        if self._is_thinking:
            self._is_thinking = False
            self._raw("" if self._thought.endswith("\n") else "\n")
            self._mark("...done thinking.\n\n", stays_grey=False)

    def _mark(self, text: str, *, stays_grey: bool) -> None:
        self._wrap = WordWrap(width)
        after = PLAIN + GREY if stays_grey else PLAIN
        self._raw(f"{GREY}{BOLD}{text}{after}" if self._terminal else text)

    def _write(self, text: str) -> None:
        if self._terminal:
            text = harmless(text)
        self._raw(self._wrap.feed(text) if self._wraps else text)

    def _raw(self, text: str) -> None:
        self._waiting.clear()
        self.shown = True
        sys.stdout.write(text)
        sys.stdout.flush()


def _tool_call(call: Any, is_terminal: bool) -> str:
    marked, plain = (GREY + BOLD, PLAIN) if is_terminal else ("", "")
    name = printable(call.function.name)
    arguments = printable(json.dumps(call.function.arguments, ensure_ascii=False, separators=(",", ":")))
    return (
        f"{marked}  Model called a non-existent function '{plain}{name}{marked}()' "
        f"with arguments: {plain}{arguments}{marked}"
    )
