"""An answer on its way to the screen.

In a notebook it is one output, replaced as it grows, a dozen times a second: the front end renders the Markdown anew
each time, and a saved notebook keeps the last state only. In a terminal what arrives is written behind what is there.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from ollama_jupyter.notebook.markdown import safe_markdown, safe_text

Bundle = dict[str, str]
Update = Callable[[Bundle], None]

INTERVAL = 1 / 12
# Rendering may take this share of the time at most, so that a long answer is not slowed by its own display.
RENDER_SHARE = 0.2
_MUTED = '<small style="color: var(--jp-ui-font-color2, gray)">{}</small>'


class Screen(Protocol):
    """Where an answer appears. `text` is always the whole text so far, `footer` one plain line."""

    def update(self, text: str) -> None: ...

    def finish(self, text: str, footer: str) -> None: ...


class Throttle:
    """Says when the next update is due: `interval` seconds after the last, later if the last one was expensive."""

    def __init__(self, interval: float = INTERVAL, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = interval
        self.clock = clock
        self._next = -float("inf")

    def due(self) -> bool:
        return self.clock() >= self._next

    def spent(self, started: float) -> None:
        """Note an update that began at `started` and ends now."""
        now = self.clock()
        self._next = started + max(self.interval, (now - started) / RENDER_SHARE)


class LiveMarkdown:
    """One notebook output, shown at once and replaced as the text grows."""

    def __init__(self, show: Callable[[Bundle], Update], placeholder: str, throttle: Throttle | None = None) -> None:
        self._throttle = throttle or Throttle()
        waiting = _MUTED.format(html.escape(placeholder))
        self._replace = show({"text/markdown": waiting, "text/plain": ""})

    def update(self, text: str) -> None:
        if not self._throttle.due():
            return
        started = self._throttle.clock()
        self._replace({"text/markdown": safe_markdown(text), "text/plain": safe_text(text)})
        self._throttle.spent(started)

    def finish(self, text: str, footer: str) -> None:
        markdown = f"{safe_markdown(text).rstrip()}\n\n{_MUTED.format(html.escape(footer))}".lstrip()
        self._replace({"text/markdown": markdown, "text/plain": f"{safe_text(text)}\n\n({footer})"})


class Plain:
    """Plain deltas on standard output."""

    def __init__(self) -> None:
        self._shown = 0

    def update(self, text: str) -> None:
        sys.stdout.write(safe_text(text[self._shown :]))
        sys.stdout.flush()
        self._shown = len(text)

    def finish(self, text: str, footer: str) -> None:
        self.update(text)
        dim, plain = ("\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
        print(f"\n{dim}({footer}){plain}")


def screen_for(shell: Any, placeholder: str) -> Screen:
    """The right screen: only a kernel's front end can replace an output."""
    return LiveMarkdown(show_in_notebook, placeholder) if getattr(shell, "kernel", None) else Plain()


def show_in_notebook(bundle: Bundle) -> Update:
    """Show a new output below the cell, and return what replaces it."""
    from IPython import display

    show: Any = display.display
    handle = show(bundle, raw=True, display_id=True)
    return lambda changed: handle.update(changed, raw=True)
