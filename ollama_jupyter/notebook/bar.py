"""A progress bar on the screen: one output that is replaced, and that a finished transfer leaves as one plain line."""

from __future__ import annotations

import html
from typing import Any, Protocol

from ollama_jupyter.notebook.display import Bundle, Throttle, Update, show_in_notebook
from ollama_jupyter.notebook.markdown import safe_text
from ollama_jupyter.notebook.transfer import Transfer

_HTML = (
    '<div style="display: flex; align-items: center; gap: 12px; font-family: var(--jp-ui-font-family, sans-serif); '
    'font-size: var(--jp-ui-font-size1, 13px); font-variant-numeric: tabular-nums">'
    '<div role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}" aria-label="{text}" '
    'style="flex: none; width: 200px; height: 8px; border-radius: 4px; overflow: hidden; '
    'background: var(--jp-layout-color3, #bdbdbd)">'
    '<div style="width: {percent}%; height: 100%; background: var(--jp-brand-color1, #1976d2)"></div></div>'
    "<span>{text}</span></div>"
)


class Bar(Protocol):
    """Where a transfer is seen."""

    def update(self, transfer: Transfer) -> None: ...

    def finish(self, line: str) -> None:
        """Take the bar away and leave `line` in its place."""


class LiveBar:
    """One notebook output. What a saved notebook keeps of it is a line of text."""

    def __init__(self, throttle: Throttle | None = None) -> None:
        self._throttle = throttle or Throttle()
        self._replace: Update | None = None

    def update(self, transfer: Transfer) -> None:
        if self._throttle.due():
            started = self._throttle.clock()
            self._show(rendered(transfer))
            self._throttle.spent(started)

    def finish(self, line: str) -> None:
        if line or self._replace:
            self._show({"text/plain": safe_text(line)})

    def _show(self, bundle: Bundle) -> None:
        if self._replace is None:
            self._replace = show_in_notebook(bundle)
        else:
            self._replace(bundle)


def rendered(transfer: Transfer) -> Bundle:
    """A transfer as a bar and its words."""
    text = safe_text(str(transfer))
    return {
        "text/html": _HTML.format(percent=int(transfer.fraction * 100), text=html.escape(text)),
        "text/plain": text,
    }


class TerminalBar:
    """tqdm's bar on stderr; none where that is no terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def update(self, transfer: Transfer) -> None:
        if self._bar is None:
            from tqdm.std import tqdm

            looks: Any = {"unit": "B", "unit_scale": True, "leave": False, "dynamic_ncols": True, "disable": None}
            self._bar = tqdm(desc=safe_text(transfer.status), total=transfer.total or None, **looks)
        if self._bar.disable:
            return
        self._bar.total = transfer.total or None
        self._bar.set_description_str(safe_text(transfer.status), refresh=False)
        self._bar.update(transfer.completed - self._bar.n)

    def finish(self, line: str) -> None:
        if self._bar is not None:
            self._bar.close()
        if line:
            print(safe_text(line))


def bar_for(shell: Any) -> Bar:
    """The right bar: only a kernel's front end can replace an output."""
    return LiveBar() if getattr(shell, "kernel", None) else TerminalBar()
