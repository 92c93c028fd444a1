"""Pictures and sounds by their paths in a prompt, for models that take them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.text import printable

MAX_BYTES = 100 * 1024 * 1024
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:\./|/|\\)[\S ]+?\.(?:jpe?g|png|webp|wav)\b", re.IGNORECASE)
# What a shell, or a terminal that a file was dropped on, puts a backslash before; and its way to quote a quote.
_ESCAPED = re.compile(r"'\\''|\\([ ()\[\]{}$&;'\\*?~])")


def paths(text: str) -> Iterator[str]:
    """What in `text` looks like the path of a picture or a sound, as it stands there; it need not exist.

    A blank may be part of a path, so that `/tmp and ./cat.png` reads as one: readings that begin at a later word are
    given too, after it.
    """
    position, end = 0, 0
    while found := _PATH.search(text, position):
        start = found.start()
        if start >= end or text[start - 1] in " \"'(":
            yield found[0]
        position, end = start + 1, max(end, found.end())


def unescaped(path: str) -> str:
    """The path without the backslashes of a shell."""
    return _ESCAPED.sub(lambda found: found[1] or "'", path)


def extract(text: str) -> tuple[str, list[bytes]]:
    """The prompt without the paths of files that exist, and these files' contents. Tells on stderr what it took.

    Raises:
        OllamaError: for a file that is too large or no picture or sound.
    """
    taken: list[bytes] = []
    for written in paths(text):
        path = unescaped(written)
        if written not in text or not _is_file(path):
            continue  # an ordinary word, or the end of a path that was taken already
        taken.append(_read(Path(path)))
        kind = "audio" if path.lower().endswith(".wav") else "image"
        print(f"Added {kind} '{printable(path)}'", file=sys.stderr)
        for form in (f"'{path}'", f"'{written}'", f'"{written}"', written):
            text = text.replace(form, "")
    return text.strip(), taken


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long a name, or a null byte: no file
        return False


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise OllamaError(f"cannot read '{printable(path)}': {error.strerror}") from None
    if not _is_known(data):
        raise OllamaError(f"invalid file type: '{printable(path)}' is no JPEG, PNG, WebP or WAVE file")
    if len(data) > MAX_BYTES:
        raise OllamaError("file size exceeds maximum limit (100MB)")
    return data


def _is_known(data: bytes) -> bool:
    """By the first bytes: names promise much."""
    if data[:4] == b"RIFF":
        return data[8:14] == b"WEBPVP" or data[8:12] == b"WAVE"
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
