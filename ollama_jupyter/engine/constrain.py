"""Constrained decoding: which tokens may come next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


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
