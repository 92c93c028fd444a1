"""A report as lines of text that is also a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, repr=False)
class Lines:
    """Shown as its lines; `data` is the report itself, as the server sent it."""

    lines: Sequence[str]
    data: Mapping[str, Any]

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __repr__(self) -> str:
        return "\n".join(self.lines)
