"""Answers that are not JSON: what a regular expression matches, or one of some texts."""

from __future__ import annotations

import json
import re
from typing import Any

from ollama_jupyter.errors import BadRequest

MAX_PATTERN = 8 * 1024
"""Characters of a regular expression."""

MAX_CHOICES, MAX_CHOSEN = 10_000, 256 * 1024
"""Texts in a list, and characters of them all."""


def pattern(value: Any) -> str:
    """A terminal of what a regular expression matches as a whole.

    Raises:
        BadRequest: it is too long, looks around, or is no text.
    """
    text = _checked(value, "a regular expression")
    if not 0 < len(text) <= MAX_PATTERN:
        raise BadRequest(f'field "format": a regular expression must have from 1 to {MAX_PATTERN} characters')
    return f"/{_escaped(text)}/"


def choices(values: Any) -> str:
    """A terminal that is one of some texts. Raises as `pattern`."""
    if not isinstance(values, (list, tuple)) or not 0 < len(values) <= MAX_CHOICES:
        raise BadRequest(f'field "format": a list must have from 1 to {MAX_CHOICES} texts')
    texts = [_checked(value, "a choice") for value in values]
    if sum(map(len, texts)) > MAX_CHOSEN or not all(texts):
        raise BadRequest(f'field "format": choices must not be empty, nor longer than {MAX_CHOSEN} characters together')
    return " | ".join(map(json.dumps, dict.fromkeys(texts)))


def _checked(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadRequest(f'field "format": {what} must be a string')
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequest(f'field "format": {what} holds half of a surrogate pair, which is no text') from None
    return value


def _escaped(text: str) -> str:
    """A pattern between two slashes: those in it are escaped where they are not."""
    return re.sub(r"(\\.)|/", lambda m: m.group(1) or r"\/", text, flags=re.DOTALL).replace("\n", r"\n")
