"""GLM 4.7: tools in JSON, calls as pairs of argument names and values. After its published chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.renderers.common import Think, last_user, split_thinking, starts_group, tojson

_TOOLS = (
    "<|system|>\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
_RULES = (
    "</tools>\n\nFor each function call, output the function name and arguments within the following XML format:\n"
    "<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key><arg_value>{arg-value-1}</arg_value>"
    "<arg_key>{arg-key-2}</arg_key><arg_value>{arg-value-2}</arg_value>...</tool_call>"
)


def glm47(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
    """GLM 4.7, which thinks unless it is told not to."""
    head = _TOOLS + "".join(tojson(tool) + "\n" for tool in tools) + _RULES if tools else ""
    since = last_user(messages)
    body = "".join(_turn(messages, i, i > since) for i in range(len(messages)))
    return "[gMASK]<sop>" + head + body + "<|assistant|>" + ("</think>" if think is False else "<think>")


def _turn(messages: Sequence[Message], place: int, recent: bool) -> str:
    message = messages[place]
    if message.role == "tool":
        opening = "<|observation|>" if starts_group(messages, place) else ""
        return f"{opening}<tool_response>{message.content}</tool_response>"
    if message.role != "assistant":
        return f"<|{message.role}|>{message.content}" if message.role in ("user", "system") else ""
    thinking, content = split_thinking(message)
    shown = f"<think>{thinking.strip()}</think>" if recent and thinking else "</think>"
    return "<|assistant|>" + shown + content.strip() + "".join(map(_call, message.tool_calls))


def _call(call: ToolCall) -> str:
    pairs = (f"<arg_key>{k}</arg_key><arg_value>{_value(v)}</arg_value>" for k, v in call.arguments.items())
    return f"<tool_call>{call.name}{''.join(pairs)}</tool_call>"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else tojson(value)
