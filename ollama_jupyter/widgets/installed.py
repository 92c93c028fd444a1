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
    """A row. `delete` is called with the model's name, after a second click."""

    children: Sequence[ipywidgets.Widget]

    def __init__(self, model: Any, delete: Callable[[str], None]) -> None:
        self.name = str(model.model)
        self._size = units.size(model.size)
        self._age = units.ago(model.modified_at, datetime.now(timezone.utc))
        self._delete = delete
        super().__init__()
        styled(self, "item")
        self.show()

    def show(self, _: object = None) -> None:
        ask = _button("Delete", f"Delete {self.name}…", self.confirm)
        self._replace([_cell(self.name, "name"), _cell(self._age, "muted"), _cell(self._size, "number"), ask])

    def confirm(self, _: object = None) -> None:
        """Ask whether it shall be deleted."""
        question = _cell(f"Delete {self.name} ({self._size})?", "name")
        sure = _button("Delete", f"Delete {self.name} now", lambda _: self._delete(self.name), style="danger")
        keep = _button("Keep", f"Keep {self.name}", self.show)
        self._replace([question, sure, keep])

    def _replace(self, parts: Sequence[ipywidgets.Widget]) -> None:
        before, self.children = self.children, parts
        for part in before:
            part.close()


def _button(text: str, tooltip: str, click: Callable[[object], None], style: str = "") -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, tooltip=tooltip, button_style=style)
    button.on_click(click)
    return button


def _cell(text: str, look: str) -> ipywidgets.HTML:
    safe = html.escape(safe_text(text))
    cell = ipywidgets.HTML(f'<div class="ollama-{look}" title="{safe}">{safe}</div>')
    return styled(cell, "grow") if look == "name" else cell


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

    def item(self, name: str) -> Item:
        """The row of a model. Raises KeyError if there is none."""
        for item in self.children:
            if isinstance(item, Item) and item.name == name:
                return item
        raise KeyError(name)
