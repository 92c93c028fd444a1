"""Turns of a conversation, and the calls of tools in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Tool = Mapping[str, Any]
"""A tool that is offered to a model, as Ollama's wire has it: `{"type": "function", "function": {"name": ...}}`."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that a model made. `arguments` is the decoded JSON object."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""
    index: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `images` are raw file bytes."""

    role: str
    content: str = ""
    thinking: str = ""
    images: tuple[bytes, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""
