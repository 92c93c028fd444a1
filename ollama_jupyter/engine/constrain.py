"""Constrained decoding by llguidance: which tokens may come next.

A grammar is compiled once for a vocabulary and kept; every answer goes through a copy of its start. Compiling is for a
thread of a pool, a matcher for the engine's.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ollama_jupyter.errors import BadRequest, EngineError

T = TypeVar("T")

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from ollama_jupyter.engine.vocab import Vocab

MAX_GRAMMARS, MAX_KEPT = 64, 4 * 2**20
"""Compiled grammars that are kept for a vocabulary, and the characters of their texts."""

MAX_GRAMMAR = 2 * 2**20
"""Characters of a grammar."""

MAX_WAYS = 8_000
"""Rules that may be open at one place: an object of many optional properties has four for each."""

MAX_LEXER_STATES = 30_000
"""States of the automaton of one grammar, of 1 to 2 KB each. Dates, addresses and the like need some hundreds."""


_TOO_COMPLEX = ("ParserTooComplex", "LexerTooComplex")
"""What llguidance says where a grammar outgrows its limits on the way: the request is at fault."""


class Matcher(Protocol):
    """One answer on its way through a grammar. For one thread."""

    @property
    def is_over(self) -> bool:
        """The grammar is complete and allows nothing more."""

    def mask(self, *, closing: bool = False) -> bytes:
        """A bit for each token of the vocabulary, set where it may come next: little-endian words of 32 bits.

        `closing` says that few tokens are left: those that bring an open string, array or object to its end are
        preferred.
        """

    def accept(self, token: int) -> None:
        """Go on by a token that was sampled. End tokens are not for it."""

    def forced(self) -> Sequence[int]:
        """The tokens that must follow, already accepted: they need no sampling."""


class Constraint(Protocol):
    """A compiled grammar."""

    def matcher(self) -> Matcher:
        """A fresh start of it."""


def specials(vocab: Vocab) -> dict[str, int]:
    """The tokens that no plain text becomes, by their text: those of a grammar stand as tokens in it.

    End tokens are not among them: they end the answer.
    """
    return _Grammars.of(vocab).specials


def compile_grammar(text: str, vocab: Vocab) -> Constraint:
    """A grammar in llguidance's Lark dialect, ready for use. Takes milliseconds to seconds: for a thread of a pool.

    Raises:
        BadRequest: it does not compile, or is too large to hold.
    """
    return _Grammars.of(vocab).compile(text)


class _Grammars:
    """The tokenizer of one vocabulary in llguidance's form, and the grammars that were compiled for it."""

    _all: weakref.WeakKeyDictionary[Vocab, _Grammars] = weakref.WeakKeyDictionary()
    _making = threading.Lock()

    @classmethod
    def of(cls, vocab: Vocab) -> _Grammars:
        with cls._making:
            if vocab not in cls._all:
                cls._all[vocab] = cls(vocab)
            return cls._all[vocab]

    def __init__(self, vocab: Vocab) -> None:
        pieces = [vocab.piece(token, special=True) for token in range(vocab.size)]
        marked = [token for token, piece in enumerate(pieces) if vocab.is_special(token, piece)]
        ends = [token for token in range(vocab.size) if vocab.is_end(token)]
        self._tokenizer = _tokenizer(vocab, pieces, marked, ends)
        apart = set(marked) - set(ends)
        self.specials = {pieces[token].decode("utf-8", "replace"): token for token in apart if pieces[token]}
        self._closers = _Closers(pieces, apart, ends)
        self._kept: OrderedDict[bytes, tuple[int, _Compiled]] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, text: str) -> Constraint:
        key = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][1]
        compiled = _Compiled(self._compile(text), self._closers)
        with self._lock:
            self._kept[key] = len(text), compiled
            while len(self._kept) > MAX_GRAMMARS or sum(size for size, _ in self._kept.values()) > MAX_KEPT:
                self._kept.popitem(last=False)
        return compiled

    def _compile(self, text: str) -> LLMatcher:
        from llguidance import LLMatcher, LLParserLimits

        if len(text) > MAX_GRAMMAR:
            raise BadRequest(f"the grammar of the answer has {len(text)} characters, at most {MAX_GRAMMAR} are taken")
        limits = LLParserLimits(max_items_in_row=MAX_WAYS, max_lexer_states=MAX_LEXER_STATES, verbose_errors=False)
        matcher = LLMatcher(self._tokenizer, text, log_level=0, limits=limits)
        _try(matcher)
        return matcher


def _tokenizer(vocab: Vocab, pieces: Sequence[bytes], marked: Sequence[int], ends: Sequence[int]) -> LLTokenizer:
    """llguidance's view of a vocabulary: special tokens begin with a byte that no text has.

    It keeps llama.cpp's pointer and calls its tokenizer, so it is for as long as the model is leased.
    """
    from llama_cpp import llama_cpp as C
    from llguidance import LLTokenizer

    tokens = list(pieces)
    for token in marked:
        tokens[token] = b"\xff" + tokens[token]
    make: Any = LLTokenizer
    return make.from_llamacpp(  # type: ignore[no-any-return]
        tokens=tokens,
        vocab_ptr=vocab.pointer,
        tokenize_fptr=ctypes.cast(C._lib.llama_tokenize, ctypes.c_void_p).value,
        eos_token=list(ends) or [0],
        slices=None,
    )


class _Closers:
    """Tokens that bring calls and JSON to an end, as bits."""

    def __init__(self, pieces: Sequence[bytes], marks: Iterable[int], ends: Iterable[int]) -> None:
        def written(pattern: bytes) -> int:
            return _bits(token for token, piece in enumerate(pieces) if re.fullmatch(pattern, piece))

        self._ends = _bits(ends)
        self._marks = _bits(marks)  # `</think>`, `</tool_call>` and their like close more than a bracket does
        self._letter, self._line = written(b"a"), written(b"\n")
        self._quotes = written(rb'"[}\]]*')
        self._values = (written(rb"[}\]]+"), written(rb'"+[}\]]*|\{\}|\[\]'), written(rb", ?"))

    def lead(self, allowed: int) -> int:
        """Those of the allowed tokens that close the most; all of them where none does.

        A letter tells a JSON string, in which a bracket closes nothing; a line end, which no such string has, tells
        free text, which only a special token leaves. The comma is for a value that others must follow.
        """
        ends, marks, in_string = allowed & self._ends, allowed & self._marks, allowed & self._letter
        if in_string and allowed & self._line:
            return allowed if ends else marks or allowed
        tiers = (ends, marks, *(allowed & tier for tier in ((self._quotes,) if in_string else self._values)))
        return next(filter(None, tiers), allowed)


def _bits(tokens: Iterable[int]) -> int:
    made = 0
    for token in tokens:
        made |= 1 << token
    return made


def _try(matcher: LLMatcher) -> None:
    """Begin an answer on a copy: grammars that allow nothing, or explode at once, are refused here.

    Raises:
        BadRequest: it cannot be begun.
    """
    trial = matcher.deep_copy()
    if not trial.is_error() and (forced := trial.compute_ff_tokens()):
        trial.consume_tokens(forced)
    if not trial.is_stopped():
        trial.compute_bitmask()
    if trial.is_error():
        raise BadRequest(_reason(trial))


def _reason(matcher: LLMatcher) -> str:
    """What llguidance says, without where in the text of the grammar: nobody has seen that."""
    said = re.split(r"\n<|\n +\d+ \| ", matcher.get_error())[0]
    said = re.sub(r'^((at )?\d*\(\d+\): )?(.*JSON schema: |failed to parse "%json": )?', "", said)
    return re.sub(r'invalid regex ".*" \(in regex\): ', "", said, flags=re.DOTALL)


class _Compiled:
    """A matcher at its start, which is copied for each answer."""

    def __init__(self, start: LLMatcher, closers: _Closers) -> None:
        self._start = start
        self._closers = closers

    def matcher(self) -> Matcher:
        return _Matcher(self._start.deep_copy(), self._closers)


class _Matcher:
    def __init__(self, matcher: LLMatcher, closers: _Closers) -> None:
        self._matcher = matcher
        self._closers = closers

    @property
    def is_over(self) -> bool:
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def mask(self, *, closing: bool = False) -> bytes:
        """See `Matcher`."""
        mask = self._checked(self._matcher.compute_bitmask())
        if not closing:
            return mask
        return self._closers.lead(int.from_bytes(mask, "little")).to_bytes(len(mask), "little")

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)
        self._checked(None)

    def forced(self) -> Sequence[int]:
        tokens = self._checked(self._matcher.compute_ff_tokens())
        if tokens:
            self._matcher.consume_tokens(tokens)
        return self._checked(tokens)

    def _checked(self, value: T) -> T:
        if self._matcher.is_error():
            reason = _reason(self._matcher)
            if self._matcher.stop_reason() in _TOO_COMPLEX or "too many" in reason:
                raise BadRequest(f"the format or the tools are too complex: {reason}")
            raise EngineError(f"the grammar of the answer failed: {reason}")
        return value
