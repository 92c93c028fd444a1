"""Text to tokens, with Go's trim markers, comments and error texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

SPACES = " \t\r\n"

KEYWORDS = frozenset(
    ["block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with", "."]
)

_SIMPLE = {"=": "assign", "|": "pipe", "(": "(", ")": ")"}
_RIGHT = re.compile(r"([ \t\r\n]-)?\}\}")
_SPACE = re.compile(r"[ \t\r\n]+")
_WORD = re.compile(r"\w+")
_NAME = re.compile(r"\w*")
_QUOTED = {
    '"': (re.compile(r'"(?:\\[^\n]|[^"\\\n])*"'), "string", "unterminated quoted string"),
    "`": (re.compile(r"`[^`]*`"), "string", "unterminated raw quoted string"),
    "'": (re.compile(r"'(?:\\[^\n]|[^'\\\n])*'"), "char", "unterminated character constant"),
}
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*|0[bB][01_]*|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)


class Token(NamedTuple):
    """`kind` is text, {{, }}, space, assign, declare, pipe, ( ) , keyword, identifier, field, variable, bool, string,
    char, number, punctuation, error or EOF."""

    kind: str
    pos: int
    value: str
    line: int

    def __str__(self) -> str:
        if self.kind in ("EOF", "error"):
            return self.value
        if self.kind == "keyword":
            return f"<{self.value}>"
        return f"{quote(self.value[:10])}..." if len(self.value) > 10 else quote(self.value)


class _Stop(Exception):
    """The rest of the text cannot be read; the message becomes the last token."""


def tokens(source: str) -> Iterator[Token]:
    """The tokens of a template. The last one is EOF, or an error whose value is the message."""
    return _Lexer(source).run()


class _Lexer:
    def __init__(self, source: str) -> None:
        self.source = source
        self.pos = 0
        self.line = 1
        self.parens = 0

    def run(self) -> Iterator[Token]:
        try:
            while self.pos < len(self.source):
                yield from self._text()
                if self.pos < len(self.source):
                    yield from self._tag()
        except _Stop as stop:
            yield Token("error", self.pos, str(stop), self.line)
        else:
            yield Token("EOF", self.pos, "EOF", self.line)

    def _take(self, kind: str, end: int) -> Token:
        token = Token(kind, self.pos, self.source[self.pos : end], self.line)
        self._skip(end)
        return token

    def _skip(self, end: int) -> None:
        self.line += self.source.count("\n", self.pos, end)
        self.pos = end

    def _text(self) -> Iterator[Token]:
        left = self.source.find("{{", self.pos)
        if left < 0:
            yield self._take("text", len(self.source))
            return
        text = self.source[self.pos : left]
        if self._trims_left(left + 2):
            text = text.rstrip(SPACES)
        if text:
            yield self._take("text", self.pos + len(text))
        self._skip(left)

    def _trims_left(self, after: int) -> bool:
        return self.source.startswith("-", after) and self.source[after + 1 : after + 2] in tuple(SPACES)

    def _tag(self) -> Iterator[Token]:
        inside = self.pos + 2
        marker = 2 if self._trims_left(inside) else 0
        if self.source.startswith("/*", inside + marker):
            self._skip(inside + marker)
            self._comment()
            return
        yield self._take("{{", inside)
        # The space after a trim marker belongs to the marker.
        self._skip(inside + marker)
        self.parens = 0
        yield from self._action()

    def _comment(self) -> None:
        end = self.source.find("*/", self.pos + 2)
        if end < 0:
            raise _Stop("unclosed comment")
        right = _RIGHT.match(self.source, end + 2)
        if not right:
            raise _Stop("comment ends before closing delimiter")
        self._close(right)

    def _close(self, right: re.Match[str]) -> None:
        self._skip(right.end())
        if right[1]:
            spaces = _SPACE.match(self.source, self.pos)
            self._skip(spaces.end() if spaces else self.pos)

    def _action(self) -> Iterator[Token]:
        while True:
            right = _RIGHT.match(self.source, self.pos)
            if right:
                if self.parens:
                    raise _Stop("unclosed left paren")
                yield Token("}}", self.pos, "}}", self.line)
                self._close(right)
                return
            if self.pos >= len(self.source):
                raise _Stop("unclosed action")
            yield self._item(self.source[self.pos])

    def _item(self, char: str) -> Token:
        if char in SPACES:
            return self._space()
        if char in _SIMPLE:
            return self._simple(char)
        if char == ":":
            return self._declare()
        if char in _QUOTED:
            return self._quoted(*_QUOTED[char])
        if char == "$" or (char == "." and not self.source[self.pos + 1 : self.pos + 2].isdigit()):
            return self._name("variable" if char == "$" else "field")
        if char in "+-.0123456789":
            return self._number()
        if char == "_" or char.isalnum():
            return self._word()
        if char.isascii() and char.isprintable():
            return self._take("punctuation", self.pos + 1)
        raise _Stop(f"unrecognized character in action: {_describe(char)}")

    def _space(self) -> Token:
        end = _match_end(_SPACE, self.source, self.pos)
        # In "  -}}" the last space belongs to the trim marker.
        return self._take("space", end - 1 if self.source.startswith("-}}", end) else end)

    def _simple(self, char: str) -> Token:
        self.parens += (char == "(") - (char == ")")
        if self.parens < 0:
            raise _Stop("unexpected right paren")
        return self._take(_SIMPLE[char], self.pos + 1)

    def _declare(self) -> Token:
        if not self.source.startswith(":=", self.pos):
            raise _Stop("expected :=")
        return self._take("declare", self.pos + 2)

    def _quoted(self, pattern: re.Pattern[str], kind: str, message: str) -> Token:
        match = pattern.match(self.source, self.pos)
        if not match:
            raise _Stop(message)
        return self._take(kind, match.end())

    def _name(self, kind: str) -> Token:
        end = _match_end(_NAME, self.source, self.pos + 1)
        self._check_end(end)
        if kind == "field" and end == self.pos + 1:
            kind = "keyword"
        return self._take(kind, end)

    def _word(self) -> Token:
        end = _match_end(_WORD, self.source, self.pos)
        self._check_end(end)
        word = self.source[self.pos : end]
        kind = "keyword" if word in KEYWORDS else "bool" if word in ("true", "false") else "identifier"
        return self._take(kind, end)

    def _check_end(self, end: int) -> None:
        after = self.source[end : end + 1]
        if after and after not in " \t\r\n.,|:)(" and not self.source.startswith("}}", end):
            raise _Stop(f"bad character {_describe(after)}")

    def _number(self) -> Token:
        end = _match_end(_NUMBER, self.source, self.pos)
        after = self.source[end : end + 1]
        if after == "_" or after.isalnum():
            raise _Stop(f"bad number syntax: {quote(self.source[self.pos : end + 1])}")
        if self.source[end - 1 : end] == "i" or (after and after in "+-"):
            raise _Stop(f"bad number syntax: {quote(self.source[self.pos : end + 1])}")
        return self._take("number", end)


def _match_end(pattern: re.Pattern[str], text: str, pos: int) -> int:
    match = pattern.match(text, pos)
    return match.end() if match else pos


def _describe(char: str) -> str:
    return f"U+{ord(char):04X} '{char}'" if char.isprintable() else f"U+{ord(char):04X}"


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b", "\f": "\\f"}
_ESCAPES["\v"] = "\\v"


def quote(text: str) -> str:
    """The text as a Go string literal, `%q`."""
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _hex_escape(c)) for c in text) + '"'


def _hex_escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
