"""Three conversations that every family's prompt is made of, as our messages and as Hugging Face's dictionaries."""

from __future__ import annotations

from typing import Any

from ollama_jupyter.messages import Message, ToolCall

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "The city's name"},
                    "days": {"type": "integer", "description": "How many days ahead"},
                    "unit": {"type": "string", "description": "Of the temperature", "enum": ["C", "F"]},
                },
                "required": ["city"],
            },
        },
    }
]
_CALL = ToolCall("get_weather", {"city": "Köln <am Rhein>", "days": 2}, id="abc123def")

DIALOGUES: dict[str, list[Message]] = {
    "system": [Message("system", "Answer briefly & kindly."), Message("user", "Why is the sky <blue>?")],
    "turns": [
        Message("user", "Hi there"),
        Message("assistant", "Hello, how may I help?"),
        Message("user", "Tell me a joke,\nplease."),
    ],
    "tools": [
        Message("system", "You know the weather."),
        Message("user", "What about tomorrow?"),
        Message("assistant", "", tool_calls=(_CALL,)),
        Message("tool", "sunny, 21 °C", tool_name="get_weather", tool_call_id="abc123def"),
    ],
}


def tools_of(dialogue: str) -> list[dict[str, Any]]:
    return TOOLS if dialogue == "tools" else []


def plain(messages: list[Message]) -> list[dict[str, Any]]:
    """As Hugging Face's tokenizers take them."""
    return [_plain(message) for message in messages]


def _plain(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": dict(call.arguments)}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        turn.update(name=message.tool_name, tool_call_id=message.tool_call_id)
    return turn
