"""A progress bar with its words: what is done just now, how much of how much, how fast, how long still."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets

from ollama_jupyter.notebook.display import Throttle
from ollama_jupyter.notebook.markdown import safe_text
from ollama_jupyter.notebook.transfer import Transfer
from ollama_jupyter.widgets.style import styled


class Meter(ipywidgets.VBox):  # type: ignore[misc]
    """Hidden until it is begun; what it is given must look like a status line of the server."""

    def __init__(self) -> None:
        self._bar = ipywidgets.FloatProgress(min=0.0, max=1.0, tooltip="Progress")
        self._words = ipywidgets.HTML()
        self.transfer = Transfer()
        self._throttle = Throttle()
        super().__init__([self._bar, self._words], layout={"display": "none"})
        styled(self, "meter")

    def begin(self) -> None:
        self.transfer, self._throttle = Transfer(), Throttle()
        self._show()
        self.layout.display = None

    def take(self, line: Any) -> None:
        self.transfer.note(line)
        if self._throttle.due():
            started = self._throttle.clock()
            self._show()
            self._throttle.spent(started)

    def end(self) -> None:
        self.layout.display = "none"

    def _show(self) -> None:
        self._bar.value = self.transfer.fraction
        words = html.escape(safe_text(str(self.transfer)))
        self._words.value = f'<div class="ollama-number ollama-muted">{words}</div>'
