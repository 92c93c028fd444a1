"""Byte pairs over GPT-2's alphabet of bytes: Llama 3, Qwen, SmolLM, Phi-4, Mistral's newer models."""

from __future__ import annotations

from ollama_jupyter.convert.vocabulary.presplit import presplit_name
from ollama_jupyter.convert.vocabulary.tokens import (
    NORMAL,
    TokenizerFiles,
    Vocabulary,
    model_merges,
    model_vocabulary,
)


def read_vocabulary(files: TokenizerFiles, size: int) -> Vocabulary:
    """The vocabulary of a byte-level tokenizer.json.

    Raises:
        ConversionError: if it is malformed, or llama.cpp does not know how it splits text.
    """
    vocabulary = Vocabulary.blank("gpt2", presplit_name(files), size)
    for text, number in model_vocabulary(files).items():
        vocabulary.put(number, text, NORMAL)
    vocabulary.put_added(files)
    vocabulary.merges = [f"{_visible(left)} {_visible(right)}" for left, right in model_merges(files)]
    return vocabulary


def _visible(text: str) -> str:
    """A space would part the pair; GPT-2's alphabet writes it so."""
    return text.replace(" ", "\u0120")
