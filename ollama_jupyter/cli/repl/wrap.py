"""Wraps a text at words while it streams, which takes back the beginning of a word that turns out too long."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

MARGIN = 5
"""Columns at the right that stay free, as in Ollama: nothing ever touches the edge, where terminals differ."""
NARROWEST = 10
"""Terminals of fewer columns wrap as they like."""
TAB = 8


def cells(character: str) -> int:
    """Columns that a terminal gives to a character: 2 for wide ones, 0 for those that sit on the one before."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


class WordWrap:
    """What to send to a terminal for a text that comes in pieces. `width` is asked anew for each piece."""

    def __init__(self, width: Callable[[], int]) -> None:
        self._width = width
        self._column = 0
        self._word = ""  # the part of a word that stands at the end of the line
        self._word_cells = 0

    def feed(self, text: str) -> str:
        """The piece as the terminal should get it: line breaks put in, and words moved to the next line."""
        width = self._width()
        if width < NARROWEST:
            return text
        return "".join(self._place(character, width - MARGIN) for character in text)

    def _place(self, character: str, limit: int) -> str:
        if character == "\n":
            self._begin_line()
            return character
        size = TAB - self._column % TAB if character == "\t" else cells(character)
        if self._column + size <= limit:
            self._advance(character, size)
            return character
        return self._break(character, size)

    def _break(self, character: str, size: int) -> str:
        """A line break before the word that does not fit, or inside it if it would not fit a line of its own."""
        if character in " \t":
            self._begin_line()
            return "\n"
        word, taken = self._word, self._word_cells
        moves = 0 < taken < self._column and size == 1
        self._begin_line()
        if moves:
            self._word, self._word_cells, self._column = word, taken, taken
        self._advance(character, size)
        return f"\x1b[{taken}D\x1b[K\n{word}{character}" if moves else f"\n{character}"

    def _advance(self, character: str, size: int) -> None:
        self._column += size
        if character in " \t" or size == 2:  # lines may break after a blank, and after any wide character
            self._word, self._word_cells = "", 0
        else:
            self._word += character
            self._word_cells += size

    def _begin_line(self) -> None:
        self._column, self._word, self._word_cells = 0, "", 0
