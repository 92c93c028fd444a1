"""Vocabulary: the tokens of a model by id, with what llama.cpp must know of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ollama_jupyter.convert.folder import refused
from ollama_jupyter.convert.writer import Metadata
from ollama_jupyter.errors import ConversionError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""The types of tokens, numbered as in SentencePiece and GGUF alike."""

SPACE = "\u2581"
"""How SentencePiece writes a space inside a token."""

_SPECIAL = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")


@dataclass(frozen=True)
class TokenizerFiles:
    """What the JSON files beside a model say about its tokenizer; each empty where there is no such file."""

    tokenizer: Mapping[str, Any]
    config: Mapping[str, Any]
    added: Mapping[str, Any]
    special: Mapping[str, Any]
    template: str = ""

    @property
    def model(self) -> Mapping[str, Any]:
        model = self.tokenizer.get("model")
        return model if isinstance(model, dict) else {}

    def added_tokens(self) -> Iterator[tuple[int, str, bool]]:
        """Id, text and whether it is special, of each token that was added to the vocabulary.

        Raises:
            ConversionError: if one has no text or no proper id.
        """
        for text, number in self.added.items():
            yield _id("added_tokens.json", number), text, False
        decoder = self.config.get("added_tokens_decoder")
        for key, entry in decoder.items() if isinstance(decoder, dict) else ():
            number = int(key) if key.isascii() and key.isdecimal() and len(key) < 12 else key
            yield _added("tokenizer_config.json", number, entry)
        listed = self.tokenizer.get("added_tokens")
        for entry in listed if isinstance(listed, list) else ():
            yield _added("tokenizer.json", entry.get("id") if isinstance(entry, dict) else None, entry)


def _added(file: str, number: Any, entry: Any) -> tuple[int, str, bool]:
    text = entry.get("content") if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise refused(file, "an added token has no content")
    return _id(file, number), text, entry.get("special") is True


def _id(file: str, number: Any) -> int:
    if type(number) is not int or not 0 <= number < 1 << 31:
        raise refused(file, "an added token has no proper id")
    return number


@dataclass
class Vocabulary:
    """Tokens by id. `model` and `pre` are llama.cpp's names for the tokenizer and for how it splits text first."""

    model: str
    pre: str
    texts: list[str]
    types: list[int]
    scores: list[float] | None = None
    merges: list[str] | None = None
    extra: Metadata = field(default_factory=dict)

    @classmethod
    def blank(cls, model: str, pre: str, size: int, *, scored: bool = False) -> Vocabulary:
        """As many tokens as the weights have rows for, none of them used yet."""
        texts = [f"[PAD{number}]" for number in range(size)]
        return cls(model, pre, texts, [UNUSED] * size, [-10000.0] * size if scored else None)

    def put(self, number: int, text: str, kind: int, score: float = 0.0) -> None:
        """Set a token. One that the weights have no row for is left out: no prompt could use it."""
        if number >= len(self.texts):
            return
        self.texts[number], self.types[number] = text, kind
        if self.scores is not None:
            self.scores[number] = score

    def put_added(self, files: TokenizerFiles) -> None:
        for number, text, special in files.added_tokens():
            if special or looks_special(text):
                self.put(number, text, CONTROL, -1000.0)
            else:
                self.put(number, text.replace(SPACE, " "), USER_DEFINED, -1000.0)

    @cached_property
    def ids(self) -> dict[str, int]:
        return {text: number for number, text in enumerate(self.texts)}

    def metadata(self) -> Metadata:
        """The header's keys.

        Raises:
            ConversionError: if a text stands for two tokens, which ends llama.cpp's process.
        """
        if len(self.ids) != len(self.texts):
            twice = next(text for number, text in enumerate(self.texts) if self.ids[text] != number)
            raise ConversionError(f"the vocabulary has the token {twice[:40]!r} twice")
        keys: Metadata = {
            "tokenizer.ggml.model": self.model,
            "tokenizer.ggml.pre": self.pre,
            "tokenizer.ggml.tokens": self.texts,
            "tokenizer.ggml.token_type": self.types,
        }
        if self.scores is not None:
            keys["tokenizer.ggml.scores"] = self.scores
        if self.merges is not None:
            keys["tokenizer.ggml.merges"] = self.merges
        return keys | self.extra


def looks_special(text: str) -> bool:
    """Whether an added token is one of those that models use as control tokens without marking them so."""
    return text in _SPECIAL or any(
        text.startswith(left) and text.endswith(right)
        for left, right in (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))
    )


def model_vocabulary(files: TokenizerFiles) -> dict[str, int]:
    """The tokens of tokenizer.json's model with their ids.

    Raises:
        ConversionError: if they are not that.
    """
    vocabulary = files.model.get("vocab")
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise refused("tokenizer.json", "its model has no vocab")
    if not all(type(number) is int and 0 <= number < 1 << 31 for number in vocabulary.values()):
        raise refused("tokenizer.json", "a token has no proper id")
    return vocabulary


def model_merges(files: TokenizerFiles) -> list[tuple[str, str]]:
    """The pairs of tokens that merge, first those that merge first; written as "a b" or as ["a", "b"].

    Raises:
        ConversionError: if they are not that.
    """
    merges = files.model.get("merges")
    if not isinstance(merges, list):
        raise refused("tokenizer.json", "its model has no merges")
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else merge for merge in merges]
    if not all(
        isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        for pair in pairs
    ):
        raise refused("tokenizer.json", "a merge is not a pair of tokens")
    return [(pair[0], pair[1]) for pair in pairs]
