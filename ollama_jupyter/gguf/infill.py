"""The tokens for filling in the middle: named by the header, or known by their texts as llama.cpp knows them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from ollama_jupyter.gguf.values import Array, Value

_KEYS = tuple(f"tokenizer.ggml.fim_{part}_token_id" for part in ("pre", "suf", "mid"))

# Code models of Qwen, StarCoder and Granite, DeepSeek, Code Llama, GLM, Falcon H1.
_KNOWN = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
    ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
    ("<|prefix|>", "<|suffix|>", "<|middle|>"),
)
_MOST = 64 << 20
"""Bytes of a vocabulary that are looked through."""


def infill_tokens(metadata: Mapping[str, Value], data_offset: int, path: Path) -> tuple[str, str, str] | None:
    """The texts of the prefix, suffix and middle tokens, or None where the vocabulary has no such three."""
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, Array):
        return None
    ids = [metadata.get(key) for key in _KEYS]
    if all(isinstance(i, int) for i in ids):
        texts = tokens.strings_at(path, [i for i in ids if isinstance(i, int)])
        if all(i in texts for i in ids):
            prefix, suffix, middle = (texts[i].decode("utf-8", "replace") for i in ids if isinstance(i, int))
            return prefix, suffix, middle
    with path.open("rb") as file:
        file.seek(tokens.offset)
        vocabulary = file.read(min(max(data_offset - tokens.offset, 0), _MOST))
    return next((known for known in _KNOWN if all(_written(text) in vocabulary for text in known)), None)


def _written(text: str) -> bytes:
    """A string as a GGUF has it: its length first, so that it is not found inside a longer one."""
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
