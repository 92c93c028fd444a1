"""Small tables that read well in a terminal and in a notebook, and the words in their cells."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ollama_jupyter.notebook.markdown import safe_text

_GAP = "    "
_YEAR = 365 * 86400.0


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """Rows of text under a header; an empty header makes a list of facts. Iterating yields one dict per row."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str = "nothing"

    def __iter__(self) -> Iterator[dict[str, str]]:
        return (dict(zip(self.header, row, strict=True)) for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return self.empty
        shown = [self.header, *self.rows] if any(self.header) else self.rows
        lines = [[safe_text(cell) for cell in row] for row in shown]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"text/plain": repr(self), **({"text/html": self._html()} if self.rows else {})}

    def _html(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            start = f'<{tag} style="text-align: left">'
            return "<tr>" + "".join(f"{start}{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        head = f"<thead>{row(self.header, 'th')}</thead>" if any(self.header) else ""
        return f"<table>{head}<tbody>{''.join(row(cells, 'td') for cells in self.rows)}</tbody></table>"


def facts(*rows: tuple[str, str]) -> Table:
    """Name and value pairs; those without a value are left out."""
    return Table(("", ""), [row for row in rows if row[1]])


def size(count: int | None) -> str:
    """Bytes in decimal units, as Ollama shows them: `98 MB`, `1.5 GB`."""
    if count is None:
        return "-"
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def ago(then: datetime | None, now: datetime) -> str:
    return "-" if then is None else f"{_span((now - then).total_seconds())} ago"


def from_now(then: datetime | None, now: datetime) -> str:
    """When a model goes: `4 minutes from now`, `Forever` for decades ahead, `Stopping...` for the past."""
    if then is None:
        return "-"
    seconds = (then - now).total_seconds()
    if seconds > 20 * _YEAR:
        return "Forever"
    return f"{_span(seconds)} from now" if seconds > 0 else "Stopping..."


_HOUR, _DAY = 3600.0, 86400.0
# Ollama's wording: up to how many seconds, the unit's length, its name, and what one of it is called.
_SPANS = (
    (60.0, 1.0, "second", "1 second"),
    (_HOUR, 60.0, "minute", "About a minute"),
    (2 * _DAY, _HOUR, "hour", "About an hour"),
    (14 * _DAY, _DAY, "day", "1 day"),
    (60 * _DAY, 7 * _DAY, "week", "1 week"),
    (2 * _YEAR, 30 * _DAY, "month", "1 month"),
    (float("inf"), _YEAR, "year", "1 year"),
)


def _span(seconds: float) -> str:
    """A length of time in one rounded word or two."""
    if seconds < 1:
        return "Less than a second"
    unit, name, single = next(row[1:] for row in _SPANS if seconds < row[0])
    count = int(seconds // unit)
    return single if count == 1 else f"{count} {name}s"
