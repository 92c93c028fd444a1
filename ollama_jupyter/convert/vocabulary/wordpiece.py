"""BERT's word pieces. llama.cpp marks where a word begins, where BERT's files mark what goes on inside one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ollama_jupyter.convert.folder import refused
from ollama_jupyter.convert.vocabulary.tokens import (
    CONTROL,
    NORMAL,
    SPACE,
    UNUSED,
    TokenizerFiles,
    Vocabulary,
    model_vocabulary,
)
from ollama_jupyter.convert.writer import Metadata
from ollama_jupyter.errors import ConversionError

_CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def from_json(files: TokenizerFiles, size: int) -> Vocabulary:
    """The vocabulary of a WordPiece tokenizer.json. Raises ConversionError if it is malformed."""
    if files.model.get("continuing_subword_prefix", "##") != "##":
        raise refused("tokenizer.json", "its pieces inside a word do not begin with ##")
    normalizer = files.tokenizer.get("normalizer")
    return _vocabulary(model_vocabulary(files), files, size, _cases(normalizer if isinstance(normalizer, dict) else {}))


def from_lines(text: str, files: TokenizerFiles, size: int) -> Vocabulary:
    """The vocabulary of a vocab.txt, a token a line."""
    lower = files.config.get("do_lower_case", True) is not False
    tokens = {line.rstrip("\r"): number for number, line in enumerate(text.removesuffix("\n").split("\n"))}
    return _vocabulary(tokens, files, size, {"tokenizer.ggml.normalizer.lowercase": lower})


def _vocabulary(tokens: Mapping[str, int], files: TokenizerFiles, size: int, extra: Metadata) -> Vocabulary:
    vocabulary = Vocabulary.blank("bert", "default", size)
    for text, number in tokens.items():
        vocabulary.put(number, text, CONTROL if text in _CONTROL else NORMAL)
    vocabulary.put_added(files)
    if not {"[CLS]", "[SEP]"} <= vocabulary.ids.keys():
        raise ConversionError("the vocabulary lacks [CLS] or [SEP], which llama.cpp puts around each text")
    for number, kind in enumerate(vocabulary.types):
        if kind not in (CONTROL, UNUSED):
            vocabulary.texts[number] = _marked(vocabulary.texts[number])
    vocabulary.extra = extra
    return vocabulary


def _marked(text: str) -> str:
    return text[2:] if text.startswith("##") else SPACE + text


def _cases(normalizer: Mapping[str, Any]) -> Metadata:
    keys: Metadata = {}
    for key in ("lowercase", "strip_accents"):
        if isinstance(normalizer.get(key), bool):
            keys[f"tokenizer.ggml.normalizer.{key}"] = normalizer[key]
    return keys
