"""The model of a sitting: what the server tells of it, loading it, and making another of it."""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass
from typing import Any

from ollama_jupyter.client import routes
from ollama_jupyter.client.connect import Server
from ollama_jupyter.errors import InvalidName
from ollama_jupyter.names import ModelName

Turn = dict[str, Any]
Thinking = bool | str | None
_MISSING = 404


@dataclass(frozen=True)
class Model:
    """A model as /api/show describes it. `messages` are those that its Modelfile begins every conversation with."""

    name: str
    shown: dict[str, Any]

    @property
    def capabilities(self) -> list[str]:
        return list(self.shown.get("capabilities") or ())

    @property
    def messages(self) -> list[Turn]:
        return list(self.shown.get("messages") or ())

    @property
    def takes_files(self) -> bool:
        """Whether pictures or sounds may be given to it."""
        return bool({"vision", "audio"} & set(self.capabilities) or self.shown.get("projector_info"))

    @property
    def origin(self) -> str:
        """The model that a copy of it is made from: its parent where that is a name, else itself."""
        parent = (self.shown.get("details") or {}).get("parent_model") or ""
        with contextlib.suppress(InvalidName):
            return parent if parent and ModelName.parse(parent) else self.name
        return self.name


def find(server: Server, name: str, **overlay: Any) -> Model | None:
    """What the server has under this name, None if nothing. `overlay` is what `show` lays over it: system, options.

    Raises:
        OllamaError: for everything else that the server or the way to it has to complain about.
    """
    import ollama

    with server.answering(), server.client() as client:
        try:
            return Model(name, routes.show(client, name, **overlay))
        except ollama.ResponseError as error:
            if error.status_code == _MISSING:
                return None
            raise


def load(server: Server, name: str, *, keep_alive: str | None, think: Thinking) -> None:
    """Bring a model into memory, so that the first answer need not wait. Raises OllamaError."""
    with server.answering(), server.client() as client:
        client.generate(model=name, keep_alive=keep_alive, think=think)


def save(
    server: Server, name: str, origin: str, *, system: str, parameters: dict[str, Any], messages: list[Turn]
) -> None:
    """Make a model of another one, with what was set and said. Raises OllamaError."""
    with server.answering(), server.client() as client:
        client.create(
            model=name,
            from_=origin,
            system=system or None,
            parameters=parameters or None,
            messages=[_as_json(turn) for turn in messages] or None,
        )


def _as_json(turn: Turn) -> Turn:
    if not turn.get("images"):
        return turn
    return turn | {"images": [base64.b64encode(image).decode() for image in turn["images"]]}
