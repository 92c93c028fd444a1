"""A loaded model's vocabulary: text to tokens and back. Of few files that call C.

It never changes while the model lives, so any thread may use it, under a lease: prompts are tokenised off the engine's
thread.
"""

from __future__ import annotations

import ctypes
import functools
import math
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from llama_cpp import llama_cpp as C

from ollama_jupyter.errors import BadRequest, EngineError

MAX_TEXT_BYTES = 4 * 2**20
"""Longest text that is tokenised: longer ones take llama.cpp many seconds, in a call that nothing can stop."""

PIECE = 32 * 2**10
"""Characters of a text that llama.cpp is given at once, where it has special tokens to cut it at."""


class Vocab:
    """A model's tokenizer. Safe on any thread while the model is loaded: take a lease on it first."""

    def __init__(self, model: Any) -> None:
        self._vocab = C.llama_model_get_vocab(model)
        self.size: int = C.llama_vocab_n_tokens(self._vocab)
        self.adds_bos: bool = C.llama_vocab_get_add_bos(self._vocab)
        self._pieces: dict[tuple[int, bool], bytes] = {}

    def tokenize(
        self, text: str, *, add_special: bool, parse_special: bool = True, deadline: float = math.inf
    ) -> list[int]:
        """Token ids of `text`. `add_special` adds BOS (and EOS) where the model wants them.

        llama.cpp searches the whole rest of the text again behind every special token, so long texts go to it in
        pieces that begin with one: there it would cut them too. `deadline` is a time.monotonic().

        Raises:
            BadRequest: the text is longer than MAX_TEXT_BYTES, or the deadline passes between two pieces.
        """
        size = len(text.encode("utf-8", "replace"))
        if size > MAX_TEXT_BYTES:
            raise BadRequest(f"the prompt is {size} bytes long, at most {MAX_TEXT_BYTES} are taken")
        tokens: list[int] = []
        for number, piece in enumerate(self._pieces_of(text) if parse_special else [text]):
            if time.monotonic() > deadline:
                raise BadRequest("the prompt took too long to tokenize")
            tokens += self._tokenize(piece, add_special and number == 0, parse_special)
        return tokens

    def _pieces_of(self, text: str) -> Iterator[str]:
        """`text` in pieces of PIECE characters and more, each but the first beginning with a special token."""
        start = 0
        if len(text) > PIECE and (present := [special for special in self._special_texts if special in text]):
            for match in re.finditer("|".join(map(re.escape, present)), text):
                if match.start() - start >= PIECE:
                    yield text[start : match.start()]
                    start = match.start()
        yield text[start:]

    @functools.cached_property
    def _special_texts(self) -> list[str]:
        """The texts that llama.cpp looks for before anything else, the longest first."""
        wanted = C.LLAMA_TOKEN_ATTR_CONTROL | C.LLAMA_TOKEN_ATTR_USER_DEFINED | C.LLAMA_TOKEN_ATTR_UNKNOWN
        ids = [token for token in range(self.size) if C.llama_vocab_get_attr(self._vocab, token) & wanted]
        texts = {C.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace") for token in ids}
        return sorted(texts - {""}, key=len, reverse=True)

    def _tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (C.llama_token * room)()
        count = C.llama_tokenize(self._vocab, data, len(data), buffer, room, add_special, parse_special)
        if count < 0:
            raise EngineError("the prompt could not be tokenized")
        return buffer[:count]

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes that a token stands for. Control tokens have none unless `special` asks for their text."""
        key = (token, special)
        if key not in self._pieces:
            self._pieces[key] = self._read_piece(token, special)
        return self._pieces[key]

    def _read_piece(self, token: int, special: bool) -> bytes:
        if not 0 <= token < self.size:
            raise BadRequest(f"token {token} is not in the model's vocabulary of {self.size}")
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = C.llama_token_to_piece(self._vocab, token, buffer, size, 0, special)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """The tokens that go before and behind a text of its own: BOS or CLS, EOS or SEP, as the model wants them."""
        around = self._tokenize("", True, False)
        first = int(bool(around) and around[0] in (C.llama_vocab_bos(self._vocab), C.llama_vocab_cls(self._vocab)))
        return around[:first], around[first:]

    def pair(self, query: Sequence[int], document: Sequence[int]) -> list[int]:
        """Query and document as a reranker reads them, in llama.cpp's order (`format_prompt_rerank` of its server)."""
        vocab = self._vocab
        bos, sep, eos = (C.llama_vocab_bos(vocab), C.llama_vocab_sep(vocab), C.llama_vocab_eos(vocab))
        start = [bos] * C.llama_vocab_get_add_bos(vocab)
        end = [sep if eos < 0 else eos] * C.llama_vocab_get_add_eos(vocab)
        between = [sep] * C.llama_vocab_get_add_sep(vocab)
        return [token for part in (start, query, end, between, document, end) for token in part if token >= 0]

    def text(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, control tokens spelled out: what a `context` of Ollama's stands for."""
        return b"".join(self.piece(token, special=True) for token in tokens).decode("utf-8", "replace")

    @property
    def pointer(self) -> Any:
        """llama.cpp's own, for who calls its tokenizer: valid as long as the model is."""
        return self._vocab

    def is_special(self, token: int, piece: bytes) -> bool:
        """Whether no plain text becomes this token: a control token, or one that is written like one."""
        attr = C.llama_vocab_get_attr(self._vocab, token)
        tagged = piece.startswith(b"<") and piece.endswith(b">")
        return bool(attr & C.LLAMA_TOKEN_ATTR_CONTROL or (attr & C.LLAMA_TOKEN_ATTR_USER_DEFINED and tagged))

    def is_end(self, token: int) -> bool:
        return bool(C.llama_vocab_is_eog(self._vocab, token))
