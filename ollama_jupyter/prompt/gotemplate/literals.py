"""Go's spelling of strings, characters and numbers."""

from __future__ import annotations

import math
import re

from ollama_jupyter.prompt.gotemplate.lexer import quote

_ESCAPE = re.compile(
    r"\\(?:x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<o>[0-7]{3})|(?P<c>.))", re.DOTALL
)
_NAMED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_INT64 = range(-(2**63), 2**63)
_INTEGER = re.compile(
    r"([+-]?)(?:0[xX](?P<x>[0-9a-fA-F_]+)|0[bB](?P<b>[01_]+)|0[oO]?(?P<o>[0-7_]+)|(?P<d>[0-9][0-9_]*))"
)
_BASES = {"x": 16, "b": 2, "o": 8, "d": 10}


def unquote(source: str) -> str:
    """The value of a double-quoted or raw string literal.

    Raises:
        ValueError: an escape that Go does not know.
    """
    if source[0] == "`":
        return source[1:-1].replace("\r", "")
    return _unescape(source[1:-1], '"')


def unquote_char(source: str) -> int:
    """The code point of a character literal.

    Raises:
        ValueError: not exactly one character.
    """
    try:
        value = _unescape(source[1:-1], "'")
    except ValueError:
        value = ""
    if len(value) != 1:
        raise ValueError(f"malformed character constant: {source}")
    return ord(value)


def _unescape(text: str, quote: str) -> str:
    # Bytes written as \xHH or \OOO may together spell one character, so all is gathered as UTF-8.
    parts: list[bytes] = []
    done = 0
    for match in _ESCAPE.finditer(text):
        parts.append(text[done : match.start()].encode("utf-8", "replace"))
        parts.append(_escaped(match, quote))
        done = match.end()
    parts.append(text[done:].encode("utf-8", "replace"))
    return b"".join(parts).decode("utf-8", "replace")


def _escaped(match: re.Match[str], quote: str) -> bytes:
    kind = match.lastgroup or "c"
    digits = match[kind]
    if kind == "c":
        if digits != quote and digits not in _NAMED:
            raise ValueError("invalid syntax")
        return _NAMED.get(digits, digits).encode()
    code = int(digits, 8 if kind == "o" else 16)
    if kind in "xo":
        return bytes([code])
    return chr(code).encode("utf-8", "strict")


def number(source: str) -> int | float:
    """An int64 or float64 constant. A fraction, an exponent or a p makes it a float.

    Raises:
        ValueError: bad syntax, or an integer beyond 64 bits.
    """
    integer = _INTEGER.fullmatch(source)
    if integer and integer.lastgroup:
        digits = integer[integer.lastgroup].replace("_", "")
        if len(digits) > 64:
            raise ValueError(f"integer overflow: {quote(source[:40])}")
        value = int(integer[1] + digits, _BASES[integer.lastgroup])
        if value not in _INT64:
            raise ValueError(f"integer overflow: {quote(source[:40])}")
        return value
    return _float(source)


def _float(source: str) -> float:
    text = source.replace("_", "").lower()
    try:
        value = float.fromhex(text) if "x" in text else float(text)
    except (ValueError, OverflowError):
        raise ValueError(f"illegal number syntax: {quote(source[:40])}") from None
    if math.isinf(value):
        raise ValueError(f"number out of range: {quote(source[:40])}")
    return value
