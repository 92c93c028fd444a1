"""Values as models write them: JSON, Python's literals, notations of some families. Bounded, never evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

MAX_DEPTH = 64
_WORD = re.compile(r"[^\s,:=()\[\]{}\"']+")
_BLANKS = re.compile(r"\s*")
_NUMBER = re.compile(r"[-+]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][-+]?\d{1,3})?\Z")
_CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}


class Malformed(ValueError):
    """What is wrong with a value. `in_string`: it ends inside a string, which more text could end."""

    def __init__(self, reason: str, *, in_string: bool = False) -> None:
        super().__init__(reason)
        self.in_string = in_string


def loads(text: str) -> Any:
    """The value of a text that is JSON, or nearly.

    Raises:
        Malformed: it is neither.
    """
    try:
        return clean(json.loads(text, strict=False, parse_constant=_refuse))
    except (ValueError, RecursionError):
        reader = Reader(text)
        value = reader.value()
        reader.end()
        return clean(value)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def clean(value: Any, depth: int = 0) -> Any:
    """The value with nothing in it that JSON or UTF-8 cannot hold."""
    if depth > MAX_DEPTH:
        raise Malformed(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {clean(key): clean(item, depth + 1) for key, item in value.items()}
    return [clean(item, depth + 1) for item in value] if isinstance(value, list) else value


class Reader:
    """Reads values from a text. `quotes` are marks that stand around a string beside `"` and `'`, without escapes."""

    def __init__(self, text: str, quotes: Sequence[str] = (), at: int = 0) -> None:
        self.text = text
        self.at = at
        self._quotes = quotes

    def fail(self, expected: str) -> Malformed:
        rest = self.text[self.at : self.at + 20]
        return Malformed(f"expected {expected}, found {rest!r}")

    def blanks(self) -> None:
        match = _BLANKS.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, mark: str) -> bool:
        """Whether the mark comes next, behind blanks; then it is read."""
        self.blanks()
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def at_end(self) -> bool:
        self.blanks()
        return self.at >= len(self.text)

    def follows(self, *marks: str) -> bool:
        """Whether one of the marks comes next, behind blanks."""
        self.blanks()
        return self.text.startswith(marks, self.at)

    def end(self) -> None:
        if not self.at_end():
            raise self.fail("the end")

    def value(self, depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            raise Malformed(f"it is nested more than {MAX_DEPTH} deep")
        self.blanks()
        for quote in self._quotes:
            if self.text.startswith(quote, self.at):
                return self._quoted(quote)
        mark = self.text[self.at : self.at + 1]
        if mark in ('"', "'") and mark:
            return self._string(mark)
        if mark == "{":
            return self.pairs("{", "}", ":", depth)
        if mark in ("[", "(") and mark:
            return self._items(mark, "]" if mark == "[" else ")", depth)
        return self._bare()

    def pairs(self, opening: str, closing: str, between: str, depth: int = 0) -> dict[str, Any]:
        """`{key: value, ...}` or, with other marks, the like."""
        if not self.take(opening):
            raise self.fail(opening)
        found: dict[str, Any] = {}
        while not self.take(closing):
            if found and not self.take(","):
                raise self.fail(f", or {closing}")
            if found and self.take(closing):
                break
            key = self._key()
            if not self.take(between):
                raise self.fail(between)
            found[key] = self.value(depth + 1)
        return found

    def _items(self, opening: str, closing: str, depth: int) -> list[Any]:
        self.take(opening)
        found: list[Any] = []
        while not self.take(closing):
            if found and not self.take(","):
                raise self.fail(f", or {closing}")
            if found and self.take(closing):
                break
            found.append(self.value(depth + 1))
        return found

    def _key(self) -> str:
        self.blanks()
        for quote in self._quotes:
            if self.text.startswith(quote, self.at):
                return self._quoted(quote)
        mark = self.text[self.at : self.at + 1]
        return self._string(mark) if mark in ('"', "'") and mark else self.word()

    def word(self) -> str:
        """A name without quotes."""
        self.blanks()
        match = _WORD.match(self.text, self.at)
        if match is None:
            raise self.fail("a name")
        self.at = match.end()
        return match.group()

    def _bare(self) -> Any:
        start = self.at
        word = self.word()
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        if _NUMBER.match(word):
            return float(word) if set(word) & set(".eE") else int(word)
        self.at = start
        raise self.fail("a value")

    def _quoted(self, quote: str) -> str:
        start = self.at + len(quote)
        end = self.text.find(quote, start)
        if end < 0:
            raise Malformed("a string does not end", in_string=True)
        self.at = end + len(quote)
        return self.text[start:end]

    def _string(self, mark: str) -> str:
        parts: list[str] = []
        at = self.at + 1
        while at < len(self.text):
            letter = self.text[at]
            if letter == mark:
                self.at = at + 1
                return "".join(parts)
            if letter == "\\":
                part, at = self._escape(at + 1)
                parts.append(part)
            else:
                parts.append(letter)
                at += 1
        raise Malformed("a string does not end", in_string=True)

    def _escape(self, at: int) -> tuple[str, int]:
        letter = self.text[at : at + 1]
        digits = self.text[at + 1 : at + 5]
        if letter == "u" and len(digits) == 4 and all(digit in "0123456789abcdefABCDEF" for digit in digits):
            return chr(int(digits, 16)), at + 5
        return _ESCAPES.get(letter, letter), at + 1
