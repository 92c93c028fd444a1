"""DeepSeek's formats: DeepSeek V3.1, and Cogito 2.1, which is built on DeepSeek V3.

After their published chat templates, and DeepSeek's model card for how tools are described.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.renderers.common import (
    Think,
    ends_group,
    function_of,
    split_system,
    starts_group,
    tojson,
)

_BOS, _END = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
_USER, _ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
_TOOL_RULES = (
    "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>"
    "{additional_tool_calls}<｜tool▁calls▁end｜>\n\n"
    "Where:\n- `tool_call_name` must be an exact match to one of the available tools\n"
    "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
    "- For multiple tool calls, chain them directly without separators or spaces\n"
)


# ---- V3.1 -----------------------------------------------------------------------------------------------------------


def v31(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
    """DeepSeek V3.1, which thinks when asked."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    body = "".join(_v31_turn(messages, i) for i in range(len(messages)))
    asked = _preceding(messages, len(messages)) == "user"
    opened = _ASSISTANT + ("<think>" if think else "<think></think>")
    return _BOS + system + (_v31_tools(tools) if tools else "") + body + (opened if asked else "")


def _preceding(messages: Sequence[Message], place: int) -> str:
    """The role of the turn before `place`, system turns aside: those stand at the very beginning."""
    return next((m.role for m in reversed(messages[:place]) if m.role in ("user", "assistant", "tool")), "")


def _v31_tools(tools: Sequence[Any]) -> str:
    declared = "".join(_v31_tool(function_of(tool)) for tool in tools)
    return "\n\n## Tools\nYou have access to the following tools:\n" + declared + "\n" + _TOOL_RULES


def _v31_tool(function: Mapping[str, Any]) -> str:
    description = function.get("description", "")
    parameters = tojson(function.get("parameters") or {})
    return f"\n### {function.get('name', '')}\nDescription: {description}\n\nParameters: {parameters}\n"


def _v31_turn(messages: Sequence[Message], place: int) -> str:
    message = messages[place]
    if message.role == "user":
        return _USER + message.content
    if message.role == "tool":
        return f"<｜tool▁output▁begin｜>{message.content}<｜tool▁output▁end｜>"
    if message.role != "assistant":
        return ""
    before = _preceding(messages, place)
    opened = _ASSISTANT + "<think></think>" if before == "user" else ""
    if message.tool_calls:
        calls = "".join(map(_v31_call, message.tool_calls))
        return f"{opened}{message.content}<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜>{_END}"
    content = message.content
    if before != "tool" and "</think>" in content:
        content = content.split("</think>", 1)[1]
    return opened + content + _END


def _v31_call(call: ToolCall) -> str:
    return f"<｜tool▁call▁begin｜>{call.name}<｜tool▁sep｜>{tojson(dict(call.arguments))}<｜tool▁call▁end｜>"


# ---- Cogito ---------------------------------------------------------------------------------------------------------

_COGITO = "You are Cogito, an AI assistant created by Deep Cogito, which is an AI research lab based in San Francisco."


def cogito(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
    """Cogito 2.1, which thinks when asked."""
    own, rest = split_system(messages)
    system = ("Enable deep thinking subroutine.\n\n" if think else "") + _COGITO
    if own:
        system += f"\n\n{own}" + ("\n\n" if think else "")
    if tools:
        declared = (f"```json\n{json.dumps(tool, ensure_ascii=False, indent=4)}\n```\n" for tool in tools)
        system += "\nYou have the following functions available:\n" + "".join(declared)
    body = "".join(_cogito_turn(rest, i) for i in range(len(rest)))
    asked = bool(rest) and rest[-1].role == "user"
    return _BOS + system + body + ("" if asked else _ASSISTANT) + ("<think>\n" if think else "")


def _cogito_turn(messages: Sequence[Message], place: int) -> str:
    message = messages[place]
    if message.role == "user":
        return _USER + message.content + _ASSISTANT
    if message.role == "tool":
        opening = "<｜tool▁outputs▁begin｜>" if starts_group(messages, place) else "\n"
        closing = "<｜tool▁outputs▁end｜>" if ends_group(messages, place) else ""
        return f"{opening}<｜tool▁output▁begin｜>{message.content}<｜tool▁output▁end｜>{closing}"
    if message.role != "assistant":
        return ""
    if not message.tool_calls:
        return message.content + _END
    calls = "\n".join(map(_cogito_call, message.tool_calls))
    return f"{message.content.strip()}<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜>{_END}"


def _cogito_call(call: ToolCall) -> str:
    arguments = tojson(dict(call.arguments))
    return f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{call.name}\n```json\n{arguments}\n```<｜tool▁call▁end｜>"
