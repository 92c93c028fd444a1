"""SentencePiece's own file, `tokenizer.model`: a protobuf message, of which a few fields matter.

Fields by sentencepiece_model.proto: pieces are 1 (text 1, score 2, type 3), the trainer's settings 2 (kind of model
3), the normaliser's 3 (whether a space is put before the text 3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ollama_jupyter.convert.folder import refused
from ollama_jupyter.convert.vocabulary.tokens import (
    BYTE,
    NORMAL,
    SPACE,
    USER_DEFINED,
    TokenizerFiles,
    Vocabulary,
)
from ollama_jupyter.errors import ConversionError

FILE = "tokenizer.model"
MAX_PIECES = 4 << 20
_UNIGRAM, _BPE = 1, 2
_MODELS = {_UNIGRAM: "Unigram", 3: "word", 4: "character"}

Field = tuple[int, int | bytes]


def read_vocabulary(data: bytes, files: TokenizerFiles, size: int) -> Vocabulary:
    """The vocabulary of a `tokenizer.model`, with the added tokens of the JSON files over it.

    Raises:
        ConversionError: if it is malformed, or is not a model of byte pairs.
    """
    vocabulary = Vocabulary.blank("llama", "default", size, scored=True)
    kind, prefix, number = _UNIGRAM, True, 0
    for key, value in fields(data):
        if key == 1 and isinstance(value, bytes) and number < MAX_PIECES:
            _put_piece(vocabulary, number, value)
            number += 1
        elif key == 2 and isinstance(value, bytes):
            kind = _number(value, 3, _UNIGRAM)
        elif key == 3 and isinstance(value, bytes):
            prefix = bool(_number(value, 3, 1))
    if kind != _BPE:
        raise refused(FILE, f"a {_MODELS.get(kind, 'different')} model; only SentencePiece's BPE can be converted")
    vocabulary.put_added(files)
    asked = files.config.get("add_prefix_space")
    vocabulary.extra["tokenizer.ggml.add_space_prefix"] = asked if isinstance(asked, bool) else prefix
    return vocabulary


def _put_piece(vocabulary: Vocabulary, number: int, piece: bytes) -> None:
    text, score, kind = "", 0.0, NORMAL
    for key, value in fields(piece):
        if key == 1 and isinstance(value, bytes):
            text = _text(value)
        elif key == 2 and isinstance(value, int):
            (score,) = struct.unpack("<f", value.to_bytes(4, "little"))
        elif key == 3 and isinstance(value, int):
            kind = value
    if not text or not NORMAL <= kind <= BYTE:
        raise refused(FILE, f"piece {number} has no text or is of an unknown type")
    vocabulary.put(number, text.replace(SPACE, " ") if kind == USER_DEFINED else text, kind, score)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise refused(FILE, "a piece is not UTF-8 text") from None


def _number(message: bytes, wanted: int, default: int) -> int:
    for key, value in fields(message):
        if key == wanted and isinstance(value, int):
            default = value
    return default


# ---- protobuf -----------------------------------------------------------------------------------------------------


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a protobuf message, in the order of the file: bytes, or a whole number (a float's bits).

    Raises:
        ConversionError: if the message is cut or is none.
    """
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if kind == 2:
            length, position = _varint(data, position)
        else:
            length = {1: 8, 5: 4}.get(kind, -1)
        end = position + length
        if length < 0 or end > len(data):
            raise _cut()
        yield key >> 3, data[position:end] if kind == 2 else int.from_bytes(data[position:end], "little")
        position = end


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _cut()


def _cut() -> ConversionError:
    return refused(FILE, "not a SentencePiece model, or cut")
