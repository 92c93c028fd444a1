"""A line that tells how things stand, or what went wrong."""

from __future__ import annotations

import html

import ipywidgets

from ollama_jupyter.notebook.markdown import safe_text
from ollama_jupyter.widgets.style import styled


class Message(ipywidgets.HTML):  # type: ignore[misc]
    """Takes no room while it says nothing. A screen reader speaks what appears in it."""

    def __init__(self) -> None:
        super().__init__(layout={"display": "none"})
        styled(self, "status")

    def say(self, text: str, *, error: bool = False) -> None:
        role, look = ("alert", "ollama-error") if error else ("status", "ollama-muted")
        self.value = f'<div role="{role}" class="{look}">{html.escape(safe_text(text))}</div>' if text else ""
        self.layout.display = None if text else "none"
