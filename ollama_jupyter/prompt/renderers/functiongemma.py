"""FunctionGemma: Gemma 3's turns, with tools, calls and results between escape marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.renderers.common import Think, ends_group, function_of, properties_of

_INTRODUCTION = "You can do function calling with the following functions:"


def functiongemma(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
    """FunctionGemma; it does not think. Behind a tool's result the model's turn is still open."""
    opens = bool(messages) and messages[0].role in ("system", "developer")
    rest = messages[1:] if opens else messages
    lines = [messages[0].content.strip()] if opens and messages[0].content.strip() else []
    lines += [_INTRODUCTION + "".join(map(_declaration, tools))] if tools else []
    head = f"<start_of_turn>developer\n{chr(10).join(lines)}<end_of_turn>\n" if lines else ""
    body = "".join(_turn(rest, i) for i in range(len(rest)))
    answering = bool(rest) and rest[-1].role == "tool"
    return "<bos>" + head + body + ("" if answering else "<start_of_turn>model\n")


def _turn(messages: Sequence[Message], place: int) -> str:
    message = messages[place]
    if message.role == "tool":
        name = message.tool_name or "unknown"
        return f"<start_function_response>response:{name}{{{_escaped(message.content)}}}<end_function_response>"
    role = "model" if message.role == "assistant" else message.role
    inside = place and messages[place - 1].role == "tool"
    opening = "" if inside else f"<start_of_turn>{role}\n"
    calls = "".join(map(_call, message.tool_calls))
    waits = calls and not ends_group(messages, place)
    return opening + message.content.strip() + calls + ("" if waits or calls else "<end_of_turn>\n")


def _escaped(value: Any) -> str:
    return f"<escape>{value}<escape>"


def _call(call: ToolCall) -> str:
    arguments = ",".join(f"{name}:{_argument(value)}" for name, value in sorted(call.arguments.items()))
    return f"<start_function_call>call:{call.name}{{{arguments}}}<end_function_call>"


def _argument(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return _escaped(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{_argument(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_argument, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _declaration(tool: Mapping[str, Any]) -> str:
    function = function_of(tool)
    parameters = function.get("parameters") or {}
    properties = properties_of(function)
    parts = []
    if properties:
        parts.append("properties:{" + ",".join(f"{k}:{_field(v)}" for k, v in sorted(properties.items())) + "}")
    if parameters.get("required"):
        parts.append("required:[" + ",".join(map(_escaped, parameters["required"])) + "]")
    parts.append(f"type:{_escaped(str(parameters.get('type') or 'object').upper())}")
    declared = f"{function.get('name', '')}{{description:{_escaped(function.get('description', ''))}"
    return (
        f"<start_function_declaration>declaration:{declared},parameters:{{{','.join(parts)}}}}}"
        "<end_function_declaration>"
    )


def _field(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "")
    name = kind if isinstance(kind, str) else next((part for part in kind if part != "null"), "")
    return f"{{description:{_escaped(schema.get('description', ''))},type:{_escaped(str(name).upper())}}}"
