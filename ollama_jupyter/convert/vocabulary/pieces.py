"""SentencePiece's pieces as tokenizer.json writes them: byte pairs over text, with tokens for single bytes.

Llama 2, Mistral and Gemma have such a file. llama.cpp merges by the score of what results, so the score of a token
is how early its merge comes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ollama_jupyter.convert.folder import refused
from ollama_jupyter.convert.vocabulary.tokens import (
    BYTE,
    NORMAL,
    UNKNOWN,
    TokenizerFiles,
    Vocabulary,
    model_merges,
    model_vocabulary,
)

BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>\Z")


def read_vocabulary(files: TokenizerFiles, size: int) -> Vocabulary:
    """The vocabulary of a tokenizer.json with `byte_fallback`.

    Raises:
        ConversionError: if it is malformed, or lacks a byte.
    """
    vocabulary = Vocabulary.blank("llama", "default", size, scored=True)
    tokens, unknown = model_vocabulary(files), files.model.get("unk_token")
    scores: dict[str, float] = {}
    for rank, (left, right) in enumerate(model_merges(files)):
        scores.setdefault(left + right, -float(rank))
    for text, number in tokens.items():
        kind = BYTE if BYTE_TOKEN.match(text) else UNKNOWN if text == unknown else NORMAL
        vocabulary.put(number, text, kind, scores.get(text, -1e9))
    if sum(kind == BYTE for kind in vocabulary.types) != 256:
        raise refused("tokenizer.json", "byte_fallback without a token for each byte")
    vocabulary.put_added(files)
    vocabulary.extra["tokenizer.ggml.add_space_prefix"] = adds_space(files)
    return vocabulary


def adds_space(files: TokenizerFiles) -> bool:
    """Whether a space is put before the text."""
    normalizer, splitter = files.tokenizer.get("normalizer"), files.tokenizer.get("pre_tokenizer")
    steps = [*_steps(normalizer, "normalizers"), *_steps(splitter, "pretokenizers")]
    return any(step.get("type") == "Prepend" or _metaspace_prepends(step) for step in steps)


def _metaspace_prepends(step: Mapping[str, Any]) -> bool:
    if step.get("type") != "Metaspace":
        return False
    return bool(step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never") != "never")


def _steps(step: Any, parts: str) -> list[Mapping[str, Any]]:
    if not isinstance(step, dict):
        return []
    inner = step.get(parts)
    return [part for part in inner if isinstance(part, dict)] if isinstance(inner, list) else [step]
