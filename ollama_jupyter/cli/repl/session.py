"""What a conversation in the terminal consists of: the model, the settings, and what was said."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_jupyter.cli.repl.answer import Answer, ask
from ollama_jupyter.cli.repl.media import extract
from ollama_jupyter.cli.repl.model import Model, Thinking, Turn
from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError

if TYPE_CHECKING:
    import ollama

Format = str | dict[str, Any]
"""Empty, `json`, or a JSON schema."""


def parse_format(text: str) -> Format:
    """`--format`: `json`, or the text of a schema.

    Raises:
        OllamaError: if it is neither.
    """
    if text in ("", "json"):
        return text
    try:
        schema = json.loads(text)
    except ValueError:
        schema = None
    if not isinstance(schema, dict):
        raise OllamaError(f'invalid format: {json.dumps(text)}; expected "json" or a valid JSON Schema object')
    return schema


@dataclass
class Settings:
    """What flags and `/set` decide. `keep_alive` is a Go duration, None leaves it to the server."""

    options: dict[str, Any] = field(default_factory=dict)
    system: str = ""
    format: Format = ""
    think: Thinking = None
    keep_alive: str | None = None
    wrap: bool = True
    verbose: bool = False
    hide_thinking: bool = False

    @property
    def request(self) -> dict[str, Any]:
        """The fields that chat and generate share."""
        return {
            "options": self.options,
            "format": self.format or None,
            "keep_alive": self.keep_alive,
            "think": self.think,
            "stream": True,
        }


@dataclass
class Session:
    """A conversation. `turns` are whole exchanges only, so that whatever was refused or broken leaves no trace."""

    server: Server
    model: Model
    settings: Settings
    turns: list[Turn] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Send a message, show the answer, and remember both. An answer cut by Ctrl-C is kept as far as it came.

        Raises:
            OllamaError: for what the server, or the way to it, has to complain about; the message is then forgotten.
        """
        question: Turn = {"role": "user", "content": text}
        if self.model.takes_files:
            question["content"], files = extract(text)
            question |= {"images": files} if files else {}
        answer = self._ask([*self._head(), *self.turns, question])
        if answer.text or answer.final is not None:
            self.turns += [question, _reply(answer)]

    def _head(self) -> list[Turn]:
        return [{"role": "system", "content": self.settings.system}] if self.settings.system else []

    def _ask(self, messages: list[Turn]) -> Answer:
        set_ = self.settings

        def start(client: ollama.Client) -> Any:
            return client.chat(model=self.model.name, messages=messages, **set_.request)

        answer = ask(self.server, start, wrap=set_.wrap, hide_thinking=set_.hide_thinking)
        print("\n")
        answer.report(verbose=set_.verbose)
        return answer


def _reply(answer: Answer) -> Turn:
    thinking = {"thinking": answer.thinking} if answer.thinking else {}
    return {"role": "assistant", "content": answer.text, **thinking}
