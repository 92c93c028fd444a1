"""`tool_choice`: whether tools may, must or must not be called, and which."""

from __future__ import annotations

from collections.abc import Sequence

from ollama_jupyter.api.fields import Fields
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Tool, ToolChoice

_EXPECTED = '"none", "auto", "required" or an object that names a function'


def tool_choice(fields: Fields, tools: Sequence[Tool]) -> ToolChoice:
    """The choice: a word, or an object that names one function (chat nests the name, responses do not).

    Raises:
        BadRequest: it is none, or asks for a tool that is not offered.
    """
    value = fields.get("tool_choice")
    if value is None or value == "auto":
        return ToolChoice()
    if value == "none":
        return ToolChoice("none")
    if value == "required":
        if not tools:
            raise BadRequest('field "tool_choice" asks for a call, but "tools" offers none')
        return ToolChoice("required")
    if not isinstance(value, dict):
        raise BadRequest(f'field "tool_choice" must be {_EXPECTED}')
    return ToolChoice("required", _named(fields.child("tool_choice"), tools))


def _named(choice: Fields, tools: Sequence[Tool]) -> str:
    if choice.text("type") != "function":
        raise BadRequest(f'field "{choice.label("type")}" must be "function", got "{choice.text("type")}"')
    holder = choice.child("function") if "function" in choice else choice
    name = holder.text("name")
    if name not in (tool["function"]["name"] for tool in tools):
        raise BadRequest(f'field "{holder.label("name")}" must be one of "tools", got "{name}"')
    return name
