"""Filling in the middle by the tokens that a vocabulary has for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Infill:
    """The texts of the three tokens: what comes before the gap, what comes after it, and where the answer begins."""

    prefix: str
    suffix: str
    middle: str

    def prompt(self, before: str, after: str) -> str:
        """Prefix, suffix, middle: the order that every published model with such tokens was trained on."""
        return f"{self.prefix}{before}{self.suffix}{after}{self.middle}"
