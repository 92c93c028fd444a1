"""The tokenizer of a GGUF under suspicion: what cuts texts into tokens can also slip something into them."""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ollama_jupyter.gguf import Array, GGUFHeader
from ollama_jupyter.library.scan.texts import listed, shortened
from ollama_jupyter.reports import Finding

WHERE = "tokenizer"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
LONG_TOKEN = 512
"""Bytes. Longer ones are ordinary only as runs of blanks."""
FEW_LETTERS = 8

_STEERING = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Characters that turn the direction of writing, and the invisible ones that carry text, in UTF-8.
_UNSEEN = re.compile(rb"\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]|\xf3\xa0[\x80\x81][\x80-\xbf]")
_CHAT_MARK = re.compile(rb"<\|[^<>|\s]{1,60}\|>\Z|<(?:start|end)_of_turn>\Z|\[/?INST\]\Z|<</?SYS>>\Z")
_WORDS = re.compile(rb"[A-Za-z ]*[A-Za-z]{2}[A-Za-z ]*\Z")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a file as bytes, and the number of each one's type (empty where the file gives none)."""

    header: GGUFHeader
    path: Path

    @cached_property
    def tokens(self) -> list[bytes]:
        tokens = self.header.metadata.get("tokenizer.ggml.tokens")
        if not isinstance(tokens, Array):
            return []
        texts = tokens.strings_at(self.path, range(len(tokens)))
        return [texts[i] for i in range(len(tokens))]

    @cached_property
    def types(self) -> array[int]:
        return self._numbers("tokenizer.ggml.token_type", "i")

    @cached_property
    def scores(self) -> array[float]:
        return self._numbers("tokenizer.ggml.scores", "f")

    def _numbers(self, key: str, code: str) -> array:  # type: ignore[type-arg]
        values = self.header.metadata.get(key)
        numbers = array(code)
        if isinstance(values, Array):
            numbers.frombytes(values.raw(self.path))
            if sys.byteorder == "big":
                numbers.byteswap()
        return numbers

    def of_type(self, *types: int) -> list[bytes]:
        return [token for token, kind in zip(self.tokens, self.types, strict=False) if kind in types]


def scan_tokenizer(header: GGUFHeader, path: Path) -> Iterator[Finding]:
    """What is odd about the vocabulary of a model. Reads it all: a second for a quarter of a million tokens.

    Raises:
        OSError: if the file cannot be read.
        InvalidGGUF: if it changed since its header was read.
    """
    words = Vocabulary(header, path)
    yield from _twice(words)
    yield from _unseen(words)
    yield from _unmarked(words)
    yield from _wrongly_marked(words)
    yield from _lengths(words)
    yield from _numbers(words)
    yield from _ends(words)


def _twice(words: Vocabulary) -> Iterator[Finding]:
    counts = Counter(words.tokens)
    twice = [token for token, count in counts.items() if count > 1]
    special = set(words.of_type(CONTROL, USER_DEFINED))
    if marks := [token for token in twice if token in special]:
        why = "which of them is meant is not certain: what looks like one mark may be another to the model"
        yield Finding("danger", WHERE, f"special tokens appear twice: {_shown(marks)}", why)
    elif twice:
        yield Finding("warning", WHERE, f"tokens appear twice: {_shown(twice)}", "a sound vocabulary has each once")


def _unseen(words: Vocabulary) -> Iterator[Finding]:
    special = words.of_type(CONTROL, USER_DEFINED)
    why = "a mark that nobody sees can be hidden in any text, and steer the model"
    if found := [token for token in special if _UNSEEN.search(token)]:
        yield Finding("danger", WHERE, f"special tokens hold invisible characters: {_shown(found)}", why)
    if found := [token for token in special if _STEERING.search(token)]:
        yield Finding("warning", WHERE, f"special tokens hold control characters: {_shown(found)}", why)


def _unmarked(words: Vocabulary) -> Iterator[Finding]:
    """llama.cpp takes such tokens for control tokens all the same; other programs do not."""
    found = [token for token in words.of_type(NORMAL) if _CHAT_MARK.match(token)]
    if found:
        why = "answers may show them, or run on past their end"
        yield Finding("info", WHERE, f"marks of conversations are not control tokens: {_shown(found)}", why)


def _wrongly_marked(words: Vocabulary) -> Iterator[Finding]:
    if found := [token for token in words.of_type(CONTROL) if _WORDS.match(token)]:
        why = "whoever writes such a word sends the model a mark instead, and in answers it is not shown"
        yield Finding("warning", WHERE, f"plain words are control tokens: {_shown(found)}", why)
    if strange := sorted({kind for kind in words.types if not NORMAL <= kind <= BYTE}):
        what = f"tokens are of unknown types: {listed(map(str, strange))}"
        yield Finding("warning", WHERE, what, "programs may take them for anything")


def _lengths(words: Vocabulary) -> Iterator[Finding]:
    if found := [token for token in words.tokens if len(token) > LONG_TOKEN and len(set(token)) > FEW_LETTERS]:
        what = f"tokens of up to {max(map(len, found))} bytes: {_shown(found)}"
        yield Finding("warning", WHERE, what, "whole texts can be put into prompts as one token")


def _numbers(words: Vocabulary) -> Iterator[Finding]:
    if not all(map(math.isfinite, words.scores)):
        yield Finding("warning", WHERE, "scores that are no numbers", "texts may be cut in senseless ways")
    missing = 256 - len(set(words.of_type(BYTE)))
    if words.header.text("tokenizer.ggml.model") == "llama" and 0 < missing < 256:
        yield Finding("warning", WHERE, f"{missing} byte tokens are missing or double", "some texts cannot be written")


def _ends(words: Vocabulary) -> Iterator[Finding]:
    for name in ("bos", "eos"):
        number = words.header.get(f"tokenizer.ggml.{name}_token_id")
        if not isinstance(number, int) or number >= len(words.types) or words.types[number] not in (NORMAL, BYTE):
            continue
        token = words.tokens[number]
        if not _CHAT_MARK.match(token):
            why = "ordinary text may end an answer" if name == "eos" else "ordinary text may begin a prompt anew"
            yield Finding("warning", WHERE, f"the {name} token {_shown([token])} is an ordinary one", why)


def _shown(tokens: list[bytes]) -> str:
    return listed(repr(shortened(token.decode("utf-8", "replace"), 40)) for token in tokens)
