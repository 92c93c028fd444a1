"""What the magics of one kernel remember: the chosen model and the conversation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.config import DEFAULT_MODEL
from ollama_jupyter.errors import InvalidName
from ollama_jupyter.names import ModelName
from ollama_jupyter.notebook.arguments import suggestion
from ollama_jupyter.notebook.bar import Bar, TerminalBar
from ollama_jupyter.notebook.conversation import Conversation


@dataclass
class Session:
    """`bar` makes a progress bar that suits the shell."""

    chosen: str = ""
    conversation: Conversation = field(default_factory=Conversation)
    bar: Callable[[], Bar] = TerminalBar

    @property
    def server(self) -> Server:
        # Looked up each time: a user may well set OLLAMA_HOST in a cell.
        return Server.find()

    def names(self, read_seconds: float | None = None) -> list[str]:
        with self.server.answering(), self.server.client(read_seconds=read_seconds) as client:
            return [model.model or "" for model in client.list().models]

    def model(self) -> str:
        """The model that answers when the cell names none."""
        return self.chosen or default_model(self.names())

    def known(self, name: str) -> str:
        """`name` as the server spells it.

        Raises:
            OllamaError: with what to do, if the server has no such model.
        """
        names = self.names()
        for known in names:
            if same_name(known, name):
                return known
        hint = suggestion(name, names) or f"`%ollama pull {name}` fetches it, if a registry has it"
        raise OllamaError(f"the server has no model '{name}': {hint}")


def same_name(one: str, other: str) -> bool:
    """Whether two spellings mean one model: the tag `latest` and the default registry may be left out."""
    try:
        return ModelName.parse(one).same_as(ModelName.parse(other))
    except InvalidName:
        return False


def default_model(names: list[str]) -> str:
    """The server's only model, or the small one that comes with the package.

    Raises:
        OllamaError: if there is neither.
    """
    if DEFAULT_MODEL in names:
        return DEFAULT_MODEL
    if len(names) == 1:
        return names[0]
    if not names:
        raise OllamaError(f"the server has no model yet: `%ollama pull {DEFAULT_MODEL}` fetches a small one")
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    raise OllamaError(f"which model? `%ollama use NAME` chooses one of {shown}")
