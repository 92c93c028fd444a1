"""Which renderer a name stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ollama_jupyter.messages import Message

Think = bool | str | None
Render = Callable[[Sequence[Message], Sequence[Any], Think], str]
"""Makes the prompt of a conversation from its messages, the offered tools and whether to think."""


def renderer_named(name: str, *, model: str = "", parameters: int = 0) -> Render | None:
    """The renderer, or None where it is not one of ours."""
    return None


def names() -> tuple[str, ...]:
    return ()
