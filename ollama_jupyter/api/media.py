"""Images and sound in request bodies: padded base64 in its standard alphabet, of a kind known by its first bytes.

Nothing is decoded here but the base64: what the bytes hold is looked at by whoever gives them to a model.
"""

from __future__ import annotations

import base64
import binascii
import re

from ollama_jupyter.api.fields import Fields
from ollama_jupyter.errors import BadRequest

MAX_FILE = 32 * 2**20
"""Bytes of one image or recording."""
MAX_FILES = 256
"""Images and recordings of one field."""

_HEAD = re.compile(r"[A-Za-z0-9+/\r\n]*")
_BREAKS = re.compile(r"[\r\n]")
_IMAGES = (
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"\xff\xd8\xff"),  # JPEG
    (0, b"GIF8"),
    (0, b"BM"),
    (8, b"WEBP"),
)
_EXPECTED = "must be base64 of a PNG, JPEG, WebP, GIF or BMP image, or of a WAV or MP3 recording"


def files(fields: Fields, name: str) -> tuple[bytes, ...]:
    """The files in an array of base64 strings, empty where absent. Raises as `decode`."""
    texts = fields.texts(name)
    if len(texts) > MAX_FILES:
        raise BadRequest(f'field "{fields.label(name)}" holds {len(texts)} files; at most {MAX_FILES} are taken')
    return tuple(decode(text, f"{fields.label(name)}[{index}]") for index, text in enumerate(texts))


def decode(text: str, label: str) -> bytes:
    """The file that the string in the field `label` holds.

    Raises:
        BadRequest: it is no base64, too large, or of no kind that models look at.
    """
    try:
        data = base64.b64decode(_BREAKS.sub("", text), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"illegal base64 data at input byte {_fault(text)}") from None
    if len(data) > MAX_FILE:
        raise BadRequest(f'field "{label}" holds {len(data)} bytes; at most {MAX_FILE >> 20} MB are taken')
    if not _is_known(data):
        raise BadRequest(f'field "{label}" {_EXPECTED}')
    return data


def check_sound(data: bytes, label: str) -> None:
    """Raises BadRequest where a file is no recording of a kind that models listen to."""
    if not _is_sound(data):
        raise BadRequest(f'field "{label}" must be a WAV or MP3 recording')


def _is_known(data: bytes) -> bool:
    return _is_sound(data) or any(data.startswith(magic, offset) for offset, magic in _IMAGES)


def _is_sound(data: bytes) -> bool:
    is_mp3_frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0
    return is_mp3_frame or data.startswith(b"ID3") or data.startswith(b"WAVE", 8)


def _fault(text: str) -> int:
    """Where a strict decoder gives up: the first foreign character, or the group of four that is not whole."""
    head = _HEAD.match(text)
    end = head.end() if head else 0
    spare = len(_BREAKS.sub("", text[:end])) % 4
    if end == len(text):
        return end - spare
    if text[end] != "=" or spare < 2:
        return end
    after = end + (4 - spare)
    return after if text[end:after] == "=" * (4 - spare) else min(end + 1, len(text))
