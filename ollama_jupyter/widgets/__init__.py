"""Chat, Pull and ModelfileBuilder: ipywidgets for the models of the server that this kernel belongs to.

    from ollama_jupyter.widgets import Chat
    Chat()

Built of plain ipywidgets only, so that they work wherever those do. Nothing is loaded before one of them is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ollama_jupyter.widgets.builder import ModelfileBuilder
    from ollama_jupyter.widgets.chat import Chat
    from ollama_jupyter.widgets.pull import Pull

__all__ = ["Chat", "ModelfileBuilder", "Pull"]

_HOMES = {"Chat": "chat", "ModelfileBuilder": "builder", "Pull": "pull"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
