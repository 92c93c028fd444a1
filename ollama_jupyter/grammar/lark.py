"""Writing llguidance's Lark dialect: literals with special tokens in them, and rules with fresh names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping


class Lark:
    """Rules under writing. `specials` are the vocabulary's special tokens, text to id: no plain text becomes them."""

    def __init__(self, specials: Mapping[str, int]) -> None:
        self._specials = specials
        self._lines = [r"TEXT: /(.|\n)*/"]
        found = sorted(specials, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, found))) if found else None

    def rule(self, name: str, body: str, options: str = "") -> str:
        """Add a rule and give back its name."""
        self._lines.append(f"{name}{options}: {body}")
        return name

    def literal(self, text: str) -> str:
        """Fixed text, special tokens in it as tokens. Empty for empty text."""
        return " ".join(self._pieces(text))

    def is_plain(self, text: str) -> bool:
        """Whether no special token is in a text."""
        return not (self._special and self._special.search(text))

    def until(self, name: str, text: str) -> str:
        """A rule for anything that ends in the first `text`, which is plain or one special token."""
        if self.is_plain(text):
            return self.rule(name, f"TEXT {json.dumps(text)}", "[lazy]")
        return self.rule(name, f"TEXT {self.literal(text)}")

    def others(self, *but: str) -> str | None:
        """Any special token but those in the texts `but`; None if there is none."""
        ids = {id_ for text, id_ in self._specials.items() if not any(text in other for other in but)}
        return f"<[{','.join(_ranges(ids))}]>" if ids else None

    def text(self, start: str) -> str:
        """The whole grammar."""
        return "\n".join(["%llguidance {}", f"start: {start}", *self._lines, ""])

    def _pieces(self, text: str) -> Iterable[str]:
        at = 0
        for match in self._special.finditer(text) if self._special else ():
            if match.start() > at:
                yield json.dumps(text[at : match.start()])
            yield f"<[{self._specials[match.group()]}]>"
            at = match.end()
        if text[at:]:
            yield json.dumps(text[at:])


def _ranges(ids: Iterable[int]) -> list[str]:
    """`[1, 2, 3, 7]` as `1-3` and `7`."""
    runs: list[list[int]] = []
    for id_ in sorted(ids):
        if runs and id_ == runs[-1][1] + 1:
            runs[-1][1] = id_
        else:
            runs.append([id_, id_])
    return [str(low) if low == high else f"{low}-{high}" for low, high in runs]
