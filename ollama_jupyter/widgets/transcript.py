"""A conversation on the screen: what was asked and answered, the newest at the bottom and always in view."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import ipywidgets

from ollama_jupyter.notebook.display import Throttle
from ollama_jupyter.notebook.markdown import safe_text
from ollama_jupyter.widgets.prose import prose
from ollama_jupyter.widgets.style import styled

EMPTY = "Ask something below. What you ask stays with this server."


class Bubble(ipywidgets.HTML):  # type: ignore[misc]
    """An answer while it grows: a Screen, for `notebook.answer.ask`."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self.text = ""
        self._who = who
        self._throttle = Throttle()
        self._show("…")

    def update(self, text: str) -> None:
        self.text = text
        if self._throttle.due():
            started = self._throttle.clock()
            self._show("")
            self._throttle.spent(started)

    def finish(self, text: str, footer: str) -> None:
        self.text = text
        self._show(footer)

    def _show(self, footer: str) -> None:
        body = f'<div class="ollama-said ollama-prose jp-RenderedHTMLCommon">{prose(self.text)}</div>'
        foot = f'<div class="ollama-foot">{html.escape(footer)}</div>' if footer else ""
        self.value = _who(self._who) + (body if self.text else "") + foot


def asked(text: str) -> ipywidgets.HTML:
    said = html.escape(safe_text(text))
    return ipywidgets.HTML(f'{_who("You")}<div class="ollama-said ollama-asked">{said}</div>')


def _who(name: str) -> str:
    return f'<div class="ollama-who">{html.escape(safe_text(name))}</div>'


class Transcript(ipywidgets.VBox):  # type: ignore[misc]
    """Grows with its content up to a limit, then scrolls. The column that is laid out backwards keeps its end in view
    without any script."""

    def __init__(self) -> None:
        self._turns = styled(ipywidgets.VBox(), "turns")
        super().__init__([self._turns])
        styled(self, "scroll")
        self.show([], "")

    def show(self, messages: Sequence[Mapping[str, str]], model: str) -> None:
        """Show these messages in the place of all others."""
        turns = [_turn(message, model) for message in messages if message["role"] in ("user", "assistant")]
        self._replace(turns or [ipywidgets.HTML(f'<div class="ollama-empty">{EMPTY}</div>')])
        self._is_empty = not turns

    def ask(self, question: str, model: str) -> Bubble:
        """Add a question, and the place for its answer."""
        bubble = Bubble(model)
        before = [] if self._is_empty else list(self._turns.children)
        self._replace([*before, asked(question), bubble])
        self._is_empty = False
        return bubble

    def withdraw(self) -> None:
        """Take the last question and its answer away again."""
        before = list(self._turns.children[:-2])
        if before:
            self._replace(before)
        else:
            self.show([], "")

    def _replace(self, turns: Sequence[ipywidgets.Widget]) -> None:
        gone = [turn for turn in self._turns.children if turn not in turns]
        self._turns.children = turns
        for turn in gone:
            turn.close()


def _turn(message: Mapping[str, str], model: str) -> ipywidgets.HTML:
    if message["role"] == "user":
        return asked(message["content"])
    bubble = Bubble(message.get("model") or model or "Answer")
    bubble.finish(message["content"], "")
    return bubble
