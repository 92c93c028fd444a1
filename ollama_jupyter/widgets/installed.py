"""The models that the server has, each with its size and a button that deletes it, once that is confirmed."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import ipywidgets

from ollama_jupyter.client import units
from ollama_jupyter.notebook.markdown import safe_text
from ollama_jupyter.widgets.style import styled

EMPTY = "No models yet. Pull one above."


class Item(ipywidgets.HBox):  # type: ignore[misc]
    """A row. `delete` is called with the model's name, after a second click.

    The button that asks becomes the one that keeps: it holds the keyboard's focus, and a double click deletes nothing.
    """

    def __init__(self, model: Any, delete: Callable[[str], None]) -> None:
        self.name = str(model.model)
        self._size = units.size(model.size)
        age = units.ago(model.modified_at, datetime.now(timezone.utc))
        self._words = styled(ipywidgets.HTML(), "grow")
        self._facts = [ipywidgets.HTML(_cell(age, "muted")), ipywidgets.HTML(_cell(self._size, "number"))]
        self._sure = ipywidgets.Button(description="Delete", tooltip=f"Delete {self.name} now", button_style="danger")
        self._sure.on_click(lambda _: delete(self.name))
        self._ask = ipywidgets.Button()
        self._ask.on_click(lambda _: self._show(asking=not self._asking))
        super().__init__([self._words, *self._facts, self._sure, self._ask])
        styled(self, "item")
        self._show(asking=False)

    def _show(self, *, asking: bool) -> None:
        self._asking = asking
        self._words.value = _cell(f"Delete {self.name} ({self._size})?" if asking else self.name, "name")
        for fact in self._facts:
            fact.layout.display = "none" if asking else None
        self._sure.layout.display = None if asking else "none"
        self._ask.description = "Keep" if asking else "Delete"
        self._ask.tooltip = f"Keep {self.name}" if asking else f"Delete {self.name}…"


def _cell(text: str, look: str) -> str:
    safe = html.escape(safe_text(text))
    return f'<div class="ollama-{look}" title="{safe}">{safe}</div>'


class Installed(ipywidgets.VBox):  # type: ignore[misc]
    """The rows, scrolling if they are many."""

    children: Sequence[ipywidgets.Widget]

    def __init__(self, delete: Callable[[str], None]) -> None:
        self._delete = delete
        super().__init__()
        styled(self, "rows", "list")

    def show(self, models: Sequence[Any]) -> None:
        before = self.children
        items: list[ipywidgets.Widget] = [Item(model, self._delete) for model in models]
        self.children = items or [ipywidgets.HTML(f'<div class="ollama-empty">{EMPTY}</div>')]
        for gone in before:
            for part in getattr(gone, "children", ()):
                part.close()
            gone.close()
