"""Text from a server made fit for a terminal, and columns of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

GAP = "    "
_NO_TEXT = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


# Of the control characters only line breaks and tabs reach a terminal as such.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
_CONTROLS[ord("\r")] = ""


def printable(text: object) -> str:
    """The text on one line, with every character that is not seen, or that steers the terminal, as an escape."""
    return "".join(_escaped(letter) if unicodedata.category(letter) in _NO_TEXT else letter for letter in str(text))


def harmless(text: str) -> str:
    """The text with its lines and tabs, and with every other control character as an escape: a model's words, which
    are a stranger's. Carriage returns go."""
    return text.translate(_CONTROLS)


def sendable(text: str) -> str:
    """What was typed, or given as an argument: bytes that are no UTF-8 come as surrogates, which nothing can be sent
    with."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def _escaped(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines whose cells stand under each other, each padded and followed by four spaces, as in Ollama's
    tables. Rows may be of different lengths."""
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows), default=0))]
    return ["".join(cell.ljust(width) + GAP for cell, width in zip(row, widths, strict=False)) for row in rows]
