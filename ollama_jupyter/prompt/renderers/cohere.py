"""Cohere's format of Command A and North: turns of text, thinking, actions and tool results.

After Cohere's published chat template, without the introduction that it gives models of one name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.renderers.common import Think, ends_group, function_of, split_system, starts_group, tojson

_START, _END = "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"


def cohere(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
    """Models of Cohere, which think unless they are told not to."""
    system, rest = split_system(messages)
    numbers = {call.id: i for i, call in enumerate(call for m in rest for call in m.tool_calls)}
    head = _system(f"{system}\n\n\n\n" if system else "", tools)
    body = "".join(_turn(rest, i, numbers) for i in range(len(rest)))
    opened = "<|START_THINKING|><|END_THINKING|>" if think is False else "<|START_THINKING|>"
    return "<BOS_TOKEN>" + head + body + f"{_START}<|CHATBOT_TOKEN|>{opened}"


def _system(opening: str, tools: Sequence[Any]) -> str:
    listed = ",".join(_tool(function_of(tool)) for tool in tools)
    text = f"{opening}# Available Tools\n```json\n[\n{listed or chr(10) * 2}\n]\n```"
    return f"{_START}<|SYSTEM_TOKEN|>{_text(text)}{_END}"


def _tool(function: Mapping[str, Any]) -> str:
    parameters = tojson(function.get("parameters") or {})
    name, description = function.get("name", ""), function.get("description", "")
    return (
        f'\n    {{"name": "{name}", "description": "{description}", "parameters": {parameters}, "responses": null}}\n\n'
    )


def _text(text: str) -> str:
    return f"<|START_TEXT|>{text}<|END_TEXT|>"


def _turn(messages: Sequence[Message], place: int, numbers: Mapping[str, int]) -> str:
    message = messages[place]
    if message.role == "tool":
        return _result(messages, place, numbers)
    if message.role != "assistant":
        role = "SYSTEM" if message.role == "system" else "USER"
        return f"{_START}<|{role}_TOKEN|>{_text(message.content)}{_END}"
    thinking = f"<|START_THINKING|>{message.thinking}<|END_THINKING|>" if message.thinking else ""
    said = _actions(message, numbers) if message.tool_calls else _text(message.content)
    return f"{_START}<|CHATBOT_TOKEN|>{thinking}{said}{_END}"


def _actions(message: Message, numbers: Mapping[str, int]) -> str:
    calls = ",".join(_call(call, numbers) for call in message.tool_calls)
    return f"<|START_ACTION|>[{calls}\n\n]<|END_ACTION|>"


def _call(call: ToolCall, numbers: Mapping[str, int]) -> str:
    arguments = tojson(dict(call.arguments))
    number = numbers.get(call.id, 0)
    return f'\n\n    {{"tool_call_id": "{number}", "tool_name": "{call.name}", "parameters": {arguments}}}'


def _result(messages: Sequence[Message], place: int, numbers: Mapping[str, int]) -> str:
    message = messages[place]
    opening = f"{_START}<|SYSTEM_TOKEN|><|START_TOOL_RESULT|>[" if starts_group(messages, place) else ","
    closing = f"\n\n]<|END_TOOL_RESULT|>{_END}" if ends_group(messages, place) else ""
    number = numbers.get(message.tool_call_id, 0)
    result = tojson({"content": message.content})
    lines = [
        opening,
        "    {",
        f'        "tool_call_id": "{number}",',
        '        "results": {',
        "",
        f'            "0": {result}',
        "",
        "        },",
        '        "is_error": null',
        "    }",
    ]
    return "\n".join(lines) + closing
