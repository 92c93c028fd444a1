"""A chat with a model, in a cell's output."""

from __future__ import annotations

from typing import Any

import ipywidgets
import traitlets

from ollama_jupyter.client.hangup import Hangup
from ollama_jupyter.notebook.answer import ask
from ollama_jupyter.widgets.panel import Panel
from ollama_jupyter.widgets.picker import Picker
from ollama_jupyter.widgets.style import styled
from ollama_jupyter.widgets.transcript import Bubble, Transcript
from ollama_jupyter.widgets.work import Outcome


class Chat(Panel):
    """Ask, watch the answer come, stop it, go on.

    `messages` is the conversation so far, as `ollama.chat` takes it; set it to begin with another. `model`, `system`
    and `options` (temperature and the like) may be set at any time, and hold from the next question on.
    """

    model = traitlets.Unicode()
    system = traitlets.Unicode()
    messages = traitlets.List(traitlets.Dict())
    options = traitlets.Dict()

    def __init__(self, model: str = "", **kwargs: Any) -> None:
        self._picker = Picker("Model")
        self._transcript = Transcript()
        self._question = styled(
            ipywidgets.Text(description="Question", placeholder="Ask something, then press Enter"), "unlabelled"
        )
        self._button = ipywidgets.Button(description="Send", button_style="primary", tooltip="Send the question")
        self._clear = ipywidgets.Button(description="Clear", tooltip="Begin a new conversation")
        self._more = ipywidgets.ToggleButton(description="System", tooltip="Show or hide the system prompt")
        self._system = styled(
            ipywidgets.Textarea(description="System prompt", placeholder="How the model shall behave", rows=2),
            "unlabelled",
        )
        super().__init__(model=model, **kwargs)
        self._connect()
        self._compose(
            [
                styled(ipywidgets.HBox([self._picker, self._more, self._clear]), "row"),
                self._system,
                self._transcript,
                styled(ipywidgets.HBox([self._question, self._button]), "row"),
            ]
        )
        self.refresh()

    def _connect(self) -> None:
        traitlets.link((self, "model"), (self._picker, "name"))
        traitlets.link((self, "system"), (self._system, "value"))
        self._more.observe(self._show_system, "value")
        self.observe(self._reveal_system, "system")
        self._reveal_system()
        self._show_system()
        self.observe(self._show_messages, "messages")
        self._show_messages()
        self.observe(self._show_busy, "busy")
        self._button.on_click(self._pressed)
        self._clear.on_click(lambda _: self.clear())
        self._question.on_msg(self._typed)

    # ---- what the user does ---------------------------------------------------------------------------------------

    def ask(self, question: str) -> None:
        """Ask, as if `question` had been typed. Returns at once; `wait()` waits for the answer.

        Nothing happens while another answer is coming.
        """
        question = question.strip()
        if not question or self.busy:
            return None
        if not self.model:
            self.refresh()
        if not self.model:
            return self._say(self.status or "The server has no model yet: pull one first.", error=True)
        self._say("")
        self._question.value = ""
        bubble = self._transcript.ask(question, self.model)
        self._start(
            lambda hangup: self._answer(question, bubble, hangup), lambda end: self._ended(question, bubble, end)
        )
        return None

    def clear(self) -> None:
        """Begin a new conversation. An answer that is coming is stopped first."""
        self.stop()
        self.wait()
        self.messages = []
        self._show_messages()
        self._say("")

    def refresh(self) -> None:
        """Ask the server anew which models it has."""
        self._trying(lambda: self._picker.offer([model.model for model in self._models()]))

    def _pressed(self, _: object) -> None:
        if self.busy:
            self.stop()
        else:
            self.ask(self._question.value)

    def _typed(self, _: object, content: dict[str, Any], __: object) -> None:
        if content.get("event") == "submit":
            self.ask(self._question.value)

    # ---- the answer, on the work's thread -------------------------------------------------------------------------

    def _answer(self, question: str, bubble: Bubble, hangup: Hangup) -> None:
        system = [{"role": "system", "content": self.system}] if self.system else []
        messages = [*system, *self.messages, {"role": "user", "content": question}]
        ask(self.server, self.model, messages, self.options, bubble, hangup)

    def _ended(self, question: str, bubble: Bubble, outcome: Outcome) -> None:
        if outcome.error:
            self._say(outcome.error, error=True)
        if bubble.text or not (outcome.error or outcome.was_stopped):
            self._keep(question, bubble.text)
        else:  # nothing came of it: as if it had not been asked, but the words are not lost
            self._transcript.withdraw()
            self._question.value = self._question.value or question

    def _keep(self, question: str, answer: str) -> None:
        """Make an exchange part of the conversation. It is on the screen already."""
        said = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        self.unobserve(self._show_messages, "messages")
        self.messages = [*self.messages, *said]
        self.observe(self._show_messages, "messages")

    # ---- what is shown --------------------------------------------------------------------------------------------

    def _show_messages(self, _: object = None) -> None:
        self._transcript.show(self.messages, self.model)

    def _reveal_system(self, _: object = None) -> None:
        """What a program tells the model is not hidden from who talks to it."""
        self._more.value = self._more.value or bool(self.system)

    def _show_system(self, _: object = None) -> None:
        self._system.layout.display = None if self._more.value else "none"

    def _show_busy(self, _: object) -> None:
        self._button.description = "Stop" if self.busy else "Send"
        self._button.tooltip = "Stop the answer" if self.busy else "Send the question"
        self._button.button_style = "" if self.busy else "primary"

    def __repr__(self) -> str:
        return f"Chat(model={self.model!r}, messages={len(self.messages)})"
