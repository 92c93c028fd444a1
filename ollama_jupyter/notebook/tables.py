"""Small tables that read well in a terminal and in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ollama_jupyter.client.text import columns
from ollama_jupyter.notebook.markdown import safe_text


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
        return "\n".join(line.rstrip() for line in columns([[safe_text(cell) for cell in row] for row in shown]))

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
