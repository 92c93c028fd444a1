"""What to look for in any text of a model: characters that nobody sees, addresses, packed data, words to a victim."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ollama_jupyter.reports import Finding

MAX_TEXT = 1 << 20
"""Characters of a text that are looked through. While an expression is looked for, nothing else in the process runs."""
MAX_LISTED = 5
"""Addresses, keys or tokens that one finding lists; the rest is counted."""

_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_SMUGGLING = re.compile("[\U000e0000-\U000e007f]|[\U000e0100-\U000e01ef]{2,}|[\ufe00-\ufe0f]{4,}")
# Between letters of other scripts these are ordinary writing; beside plain ASCII they are not.
_ZERO_WIDTH = re.compile("[\u200b\u2060\u2061-\u2064\u180e\ufeff]|(?<=[\\x21-\\x7e])[\u200c-\u200f\u00ad]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_URL = re.compile(r"\b(?:https?|ftp|wss?|file|data|javascript)://?[^\s\"'<>()\[\]{}|\\`]{3,}", re.IGNORECASE)
_IMAGE = re.compile(r"!\[[^\[\]]{0,200}\]\(\s*https?://|<img\b[^<>]{0,200}\bsrc\s*=", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{80,}={0,2}")
_AGAINST_USERS = re.compile(
    r"\b(?:ignore|disregard|forget)\s+(?:all\s+|any\s+)?(?:the\s+|your\s+)?(?:previous|prior|above|earlier)\b"
    r"|\bwithout\s+(?:telling|informing|alerting)\b"
    r"|\bsecretly\b",
    re.IGNORECASE,
)
# Templates of honest models say this too, of their tools.
_BEHIND_BACKS = re.compile(
    r"\b(?:do\s+not|don't|never)\s+(?:tell|inform|alert|warn)\s+(?:the\s+)?users?\b", re.IGNORECASE
)
_MARK = re.compile(r"<[^<>]*>|\[[A-Z_/]+\]")


def invisible(where: str, text: str) -> Iterator[Finding]:
    """Characters that make a text mean something else than what is seen."""
    text = text[:MAX_TEXT]
    if _BIDI.search(text):
        why = "the text is shown in another order than the one in which it is read by the model"
        yield Finding("danger", where, f"has {_codes(_BIDI, text)}, which turn the direction of writing", why)
    if _SMUGGLING.search(text):
        why = "whole sentences can be written with them that nobody sees"
        yield Finding("danger", where, f"has invisible characters that carry data: {_codes(_SMUGGLING, text)}", why)
    if _ZERO_WIDTH.search(text):
        why = "words that look alike are not, and what is written between them is not seen"
        yield Finding("warning", where, f"has characters without width: {_codes(_ZERO_WIDTH, text)}", why)
    if _CONTROL.search(text):
        why = "a terminal that prints them may be steered by them"
        yield Finding("warning", where, f"has control characters: {_codes(_CONTROL, text)}", why)


def _codes(pattern: re.Pattern[str], text: str) -> str:
    codes = sorted({f"U+{ord(letter):04X}" for match in pattern.finditer(text) for letter in match[0]})
    return listed(codes)


def listed(items: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    found = list(items)
    more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
    return ", ".join(found[:MAX_LISTED]) + more


def addresses(text: str) -> list[str]:
    """The addresses in a text, each once, cut to a readable length."""
    return list(dict.fromkeys(shortened(match[0].rstrip(".,;:!?"), 100) for match in _URL.finditer(text[:MAX_TEXT])))


def instructions(where: str, text: str) -> Iterator[Finding]:
    """What has no place in a text that becomes part of every prompt."""
    text = text[:MAX_TEXT]
    found = addresses(text)
    if _IMAGE.search(text):
        why = "a page that shows such an answer asks that address for the image, and can tell it the conversation"
        yield Finding("danger", where, "brings images from an address on the network into answers", why)
    elif found:
        why = "the model may send people there, or pass things on to it"
        yield Finding("warning", where, f"names addresses: {listed(found)}", why)
    if _is_packed(text):
        why = "what it says cannot be read by people, but perhaps by the model"
        yield Finding("warning", where, "holds a long run of packed data (base64)", why)
    why = "this is how a model is told to act against whoever uses it"
    if words := _AGAINST_USERS.search(text):
        yield Finding("danger", where, f"says {quoted(_around(text, words))}", why)
    elif words := _BEHIND_BACKS.search(text):
        yield Finding("warning", where, f"says {quoted(_around(text, words))}", why)


def _is_packed(text: str) -> bool:
    """Base64 has capitals, small letters and digits; words in a row, paths and hexadecimal digits have not."""
    kinds = ("[A-Z]", "[a-z]", "[0-9]")
    return any(all(len(re.findall(kind, run)) > len(run) / 16 for kind in kinds) for run in _BASE64.findall(text))


def _around(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - 20) : match.end() + 40]


def quoted(text: str, length: int = 80) -> str:
    """A text to be shown inside another, on one line."""
    return f"“{shortened(' '.join(text.split()), length)}”"


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def is_prose(text: str, words: int) -> bool:
    """Whether a text has so many plain words, those inside marks like `<|user|>` not counted."""
    return len(re.findall(r"[A-Za-z]{2,}", _MARK.sub(" ", text))) >= words
