"""Gemma 4: turns, thoughts in a channel, tools and their results in a notation of its own.

After its published chat templates: the large models are shown an empty thought where they are not to think, the small
ones are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.renderers.common import Render, Think, ends_group, last_user

_QUOTE = '<|"|>'
_EMPTY_THOUGHT = "<|channel>thought\n<channel|>"
_INNER = ("description", "type", "properties", "required", "nullable")


def gemma4(*, large: bool) -> Render:
    """Gemma 4, which thinks when asked."""

    def render(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
        opens = bool(messages) and messages[0].role in ("system", "developer")
        rest = messages[1:] if opens else messages
        parts = ["<|think|>\n"] if think else []
        parts += [messages[0].content.strip()] if opens else []
        parts += [f"<|tool>{_declaration(tool['function'])}<tool|>" for tool in tools]
        head = f"<|turn>system\n{''.join(parts)}<turn|>\n" if think or opens or tools else ""
        since = last_user(rest)
        body = "".join(_turn(rest, i, i > since) for i in range(len(rest)) if rest[i].role != "tool")
        return "<bos>" + head + body + _opened(rest, think, large)

    return render


def _opened(messages: Sequence[Message], think: Think, large: bool) -> str:
    """What the answer begins with. Behind a tool's result the model's turn is still open."""
    thought = "" if think or not large else _EMPTY_THOUGHT
    if messages and messages[-1].role == "tool" and any(m.tool_calls for m in messages):
        return _EMPTY_THOUGHT if think is False else "<|channel>thought\n" if think else ""
    return "<|turn>model\n" + thought


def _turn(messages: Sequence[Message], place: int, recent: bool) -> str:
    message = messages[place]
    if message.role != "assistant":
        return f"<|turn>{message.role}\n{message.content.strip()}<turn|>\n"
    before = next((m.role for m in reversed(messages[:place]) if m.role != "tool"), "")
    opening = "" if before == "assistant" else "<|turn>model\n"
    thought = f"<|channel>thought\n{message.thinking}\n<channel|>" if message.thinking and recent else ""
    calls = "".join(map(_call, message.tool_calls))
    results = "".join(map(_result, _results(messages, place))) if calls else ""
    content = _without_thoughts(message.content)
    closing = _closing(messages, place, bool(calls), bool(results), bool(content))
    return opening + thought + calls + results + content + closing


def _closing(messages: Sequence[Message], place: int, calls: bool, results: bool, content: bool) -> str:
    """What ends a turn of the model. Behind results, and before another of its messages, the turn goes on."""
    if calls and not results:
        return "<|tool_response>"
    after = next((m.role for m in messages[place + 1 :] if m.role != "tool"), "")
    goes_on = after == "assistant" or (results and not content and not after)
    return "" if goes_on else "<turn|>\n"


def _results(messages: Sequence[Message], place: int) -> list[Message]:
    found: list[Message] = []
    for i in range(place + 1, len(messages)):
        if messages[i].role != "tool":
            break
        found.append(messages[i])
        if ends_group(messages, i):
            break
    return found


def _result(message: Message) -> str:
    value = f"{_QUOTE}{message.content}{_QUOTE}"
    return f"<|tool_response>response:{message.tool_name or 'unknown'}{{value:{value}}}<tool_response|>"


def _without_thoughts(text: str) -> str:
    return "".join(part.split("<|channel>")[0] for part in text.split("<channel|>")).strip()


def _call(call: ToolCall) -> str:
    arguments = ",".join(f"{name}:{_argument(value)}" for name, value in _sorted(call.arguments))
    return f"<|tool_call>call:{call.name}{{{arguments}}}<tool_call|>"


def _sorted(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """By name, capitals and small letters alike, as Jinja's dictsort has it."""
    return sorted(values.items(), key=lambda item: item[0].lower())


def _argument(value: Any, *, quote_keys: bool = False) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"{_QUOTE}{value}{_QUOTE}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        mark = _QUOTE if quote_keys else ""
        pairs = (f"{mark}{k}{mark}:{_argument(v, quote_keys=quote_keys)}" for k, v in _sorted(value))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_argument(item, quote_keys=quote_keys) for item in value) + "]"
    return str(value)


# ---- declarations ---------------------------------------------------------------------------------------------------


def _declaration(function: Mapping[str, Any]) -> str:
    declared = f"declaration:{function['name']}{{description:{_QUOTE}{function.get('description', '')}{_QUOTE}"
    parameters = function.get("parameters")
    if parameters:
        declared += ",parameters:{"
        if parameters.get("properties"):
            declared += f"properties:{{{_properties(parameters['properties'])}}},"
        if parameters.get("required"):
            declared += f"required:{_quoted(parameters['required'])},"
        if parameters.get("type"):
            declared += f"type:{_QUOTE}{_type(parameters)}{_QUOTE}}}"
    return declared + "}"


def _quoted(names: Sequence[Any]) -> str:
    return "[" + ",".join(f"{_QUOTE}{name}{_QUOTE}" for name in names) + "]"


def _type(schema: Mapping[str, Any]) -> str:
    return str(schema.get("type", "")).upper()


def _properties(properties: Mapping[str, Any], *, inner: bool = False) -> str:
    wanted = ((key, value) for key, value in _sorted(properties) if not (inner and key in _INNER))
    return ",".join(f"{key}:{{{','.join(_schema(value))}}}" for key, value in wanted)


def _schema(value: Mapping[str, Any]) -> list[str]:
    kind = _type(value)
    parts = [f"description:{_QUOTE}{value['description']}{_QUOTE}"] if value.get("description") else []
    if kind == "STRING" and value.get("enum"):
        parts.append(f"enum:{_argument(value['enum'], quote_keys=True)}")
    if kind == "ARRAY" and isinstance(value.get("items"), Mapping) and value["items"]:
        parts.append(f"items:{{{','.join(_items(value['items']))}}}")
    if value.get("nullable"):
        parts.append("nullable:true")
    if kind == "OBJECT":
        known = isinstance(value.get("properties"), Mapping)
        parts.append(f"properties:{{{_properties(value['properties'] if known else value, inner=not known)}}}")
        parts += [f"required:{_quoted(value['required'])}"] if value.get("required") else []
    return [*parts, f"type:{_QUOTE}{kind}{_QUOTE}"]


def _items(items: Mapping[str, Any]) -> list[str]:
    return [f"{key}:{_item(key, value)}" for key, value in _sorted(items) if value is not None]


def _item(key: str, value: Any) -> str:
    if key == "properties":
        return f"{{{_properties(value) if isinstance(value, Mapping) else ''}}}"
    if key == "required":
        return _quoted(value)
    if key == "type":
        return _argument(value.upper() if isinstance(value, str) else [str(kind).upper() for kind in value])
    return _argument(value, quote_keys=True)
