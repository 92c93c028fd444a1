"""Where a JSON value in a growing text ends."""

from __future__ import annotations

import re

_FIRST_KEY = re.compile(r"""[\[{\s]*["']([^"']{0,256})["']""")


class Value:
    """Follows a text until the first `{` or `[` in it is closed again. Each letter is looked at once."""

    def __init__(self) -> None:
        self.start: int | None = None
        self._at = 0
        self._depth = 0
        self._quote = ""
        self._escaped = False
        self._before = ""  # the last letter that is no blank

    @property
    def in_string(self) -> bool:
        return bool(self._quote)

    def feed(self, text: str) -> int | None:
        """Where the value ends in `text`, which begins with what was fed before; None while it has not ended."""
        while self._at < len(text):
            letter = text[self._at]
            if self.start is None and letter == "[" and self._at + 1 == len(text):
                return None  # what follows tells whether it is a list
            self._at += 1
            if self.start is None:
                self._look(letter, text)
            elif self._quote:
                self._in_string(letter)
            elif self._closes(letter):
                return self._at
        return None

    def _look(self, letter: str, text: str) -> None:
        # `[ARGS]` and the like are tags, and no lists.
        if letter == "{" or (letter == "[" and text[self._at] in " \n{]"):
            self.start, self._depth, self._before = self._at - 1, 1, letter

    def _in_string(self, letter: str) -> None:
        if self._escaped:
            self._escaped = False
        elif letter == "\\":
            self._escaped = True
        elif letter == self._quote:
            self._quote, self._before = "", letter

    def _closes(self, letter: str) -> bool:
        # An apostrophe opens a string only where a value or a key may begin.
        if letter == '"' or (letter == "'" and self._before in "{[,:("):
            self._quote = letter
        elif letter in "{[":
            self._depth += 1
        elif letter in "}]":
            self._depth -= 1
        if not letter.isspace():
            self._before = letter
        return self._depth == 0

    def first_key(self, text: str) -> str | None:
        """The first key of the value, None while it has not come."""
        match = _FIRST_KEY.match(text, self.start or 0)
        return match.group(1) if match else None
