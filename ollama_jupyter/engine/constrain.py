"""Constrained decoding: which tokens may come next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ollama_jupyter.engine.vocab import Vocab


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
    """The tokens that no plain text becomes, by their text: those of a grammar stand as tokens in it."""
    return {}


def compile_grammar(text: str, vocab: Vocab) -> Constraint:
    """A grammar in llguidance's Lark dialect, ready for use. Takes milliseconds to seconds: for a thread of a pool.

    Raises:
        BadRequest: it does not compile, or is too large to hold.
    """
    raise NotImplementedError
