"""Olmo 3 and 3.1: ChatML with calls in Python's syntax; the Think models know no functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.renderers.common import Render, Think, tojson

_HELPFUL = "You are a helpful function-calling AI assistant. "
_OLMO = (
    "You are Olmo, a helpful AI assistant built by Ai2. Your date cutoff is December 2024, and your model weights are "
    "available at https://huggingface.co/allenai."
)
_WITHOUT = "You do not currently have access to any functions. "
_WITH = (
    "You are provided with function signatures within <functions></functions> XML tags. You may call one or more "
    "functions to assist with the user query. Output any function calls within <function_calls></function_calls> XML "
    "tags. Do not make assumptions about what values to plug into functions."
)


def _turn(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def _parted(messages: Sequence[Message]) -> tuple[str | None, list[Message]]:
    """The first system message, None if there is none, and what is said."""
    systems = [message.content for message in messages if message.role == "system"]
    return (systems[0] if systems else None), [message for message in messages if message.role != "system"]


def instruct(introduction: str = _HELPFUL) -> Render:
    """Olmo 3 Instruct; `introduction` is its system message where the conversation has none."""

    def render(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
        system, rest = _parted(messages)
        functions = f"<functions>{tojson(list(tools))}</functions>" if tools else ""
        if system is None:
            functions = functions or "<functions></functions>"
            system = introduction + (_WITH if tools else _WITHOUT)
        body = "".join(map(_said, rest))
        return _turn("system", system + functions) + body + "<|im_start|>assistant\n"

    return render


def olmo31() -> Render:
    return instruct(_OLMO + " ")


def _said(message: Message) -> str:
    if message.role == "tool":
        return _turn("environment", message.content)
    calls = "\n".join(map(_call, message.tool_calls))
    return _turn(message.role, message.content + (f"<function_calls>{calls}</function_calls>" if calls else ""))


def _call(call: ToolCall) -> str:
    arguments = ", ".join(f"{name}={tojson(value)}" for name, value in sorted(call.arguments.items()))
    return f"{call.name}({arguments})"


def think(introduction: str = _OLMO) -> Render:
    """The Think models."""

    def render(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
        system, rest = _parted(messages)
        text = introduction if system is None else f"{system} {_WITHOUT}<functions></functions>"
        body = "".join(_turn(message.role, message.content) for message in rest if message.role != "tool")
        opened = "<think></think>" if think is False else "<think>"
        return _turn("system", text) + body + "<|im_start|>assistant\n" + opened

    return render


def think_32b() -> Render:
    return think("You are a helpful AI assistant.")
