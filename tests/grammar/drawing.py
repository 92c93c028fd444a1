"""Answers without a model: tokens of a real vocabulary, drawn at random from those that a grammar allows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ollama_jupyter import grammar
from ollama_jupyter.engine.constrain import Matcher, compile_grammar, specials
from ollama_jupyter.engine.model import C, init_library
from ollama_jupyter.engine.scheduler import CLOSING
from ollama_jupyter.engine.vocab import Vocab
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Format
from ollama_jupyter.prompt.output import PLAIN

IMPATIENCE = 0.2
"""How often a token is drawn from those that close something: alike drawn, a string would hardly ever end."""


@contextmanager
def vocabulary(path: str) -> Iterator[Vocab]:
    """That of a GGUF file, without its weights."""
    init_library()
    params = C.llama_model_default_params()
    params.vocab_only = True
    model = C.llama_model_load_from_file(path.encode(), params)
    yield Vocab(model)
    C.llama_model_free(model)


@dataclass(frozen=True)
class Drawn:
    """`finished` says that the answer ended as its grammar allows, and not for its length."""

    text: str
    finished: bool


class Drawer:
    """Goes through grammars as the scheduler does."""

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        self.specials = specials(vocab)
        self.ends = [token for token in range(vocab.size) if vocab.is_end(token)]

    def form(self, form: Format) -> str:
        """The grammar of a format, alone. Raises BadRequest as the service does."""
        grammar.check(form, ())
        text = grammar.plan(output=PLAIN, specials=self.specials, form=form)
        assert text is not None
        try:
            compile_grammar(text, self.vocab)
        except BadRequest as error:
            raise grammar.explain(error, form, ()) from None
        return text

    def draw(self, text: str, seed: int = 0, budget: int = 160, after: str = "") -> Drawn:
        """An answer of at most `budget` tokens, the beginning of which is `after`."""
        dice, matcher = random.Random(seed), compile_grammar(text, self.vocab).matcher()
        tokens = self._begun(matcher, after)
        while len(tokens) < budget and not matcher.is_over:
            closing = budget - len(tokens) <= CLOSING or dice.random() < IMPATIENCE
            token = int(dice.choice(_allowed(matcher, closing=closing)))
            if token in self.ends:
                return Drawn(self.vocab.text(tokens), finished=True)
            matcher.accept(token)
            tokens += [token, *(() if matcher.is_over else matcher.forced())]
        return Drawn(self.vocab.text(tokens), matcher.is_over and len(tokens) <= budget)

    def allows(self, text: str, answer: str) -> bool:
        """Whether a grammar allows a whole answer."""
        matcher = compile_grammar(text, self.vocab).matcher()
        try:
            self._begun(matcher, answer)
        except AssertionError:
            return False
        return matcher.is_over or bool(set(self.ends) & set(_allowed(matcher).tolist()))

    def next(self, text: str, begun: str, *, closing: bool = False) -> set[str]:
        """What may come next in an answer."""
        matcher = compile_grammar(text, self.vocab).matcher()
        self._begun(matcher, begun)
        return {self.vocab.text([token]) for token in _allowed(matcher, closing=closing).tolist()}

    def _begun(self, matcher: Matcher, answer: str) -> list[int]:
        tokens = self.vocab.tokenize(answer, add_special=False) if answer else []
        for token in tokens:
            assert not matcher.is_over
            assert token in _allowed(matcher), self.vocab.piece(token, special=True)
            matcher.accept(token)
        return tokens


def _allowed(matcher: Matcher, *, closing: bool = False) -> NDArray[np.intp]:
    found = np.flatnonzero(np.unpackbits(np.frombuffer(matcher.mask(closing=closing), np.uint8), bitorder="little"))
    assert found.size, "nothing may follow, and the grammar is not over"
    return found
