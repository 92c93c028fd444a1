"""Qwen's formats on ChatML: Qwen3-Coder and Qwen3.5 with calls in XML, Qwen3-VL with calls in JSON.

After the chat templates of Qwen3-Coder, Qwen3.5 and Qwen3-VL as their publisher has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.renderers.common import (
    Think,
    ends_group,
    function_of,
    last_user,
    properties_of,
    split_system,
    split_thinking,
    starts_group,
    tojson,
)

_CALL_FORM = (
    "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n"
    "<parameter=example_parameter_2>\n{second}\n</parameter>\n</function>\n</tool_call>\n\n"
)
_CODER_RULES = (
    "\n\nIf you choose to call a tool ONLY reply in the following format with NO suffix:\n\n"
    + _CALL_FORM.format(second="value_2")
    + "<IMPORTANT>\nReminder:\n- Function calls MUST follow the specified format: the tool calling block MUST begin "
    "with an opening <tool_call> tag and end with a closing </tool_call> tag.\n"
    "- Required parameters MUST be specified\n"
    "- You may provide optional reasoning for your function call in natural language BEFORE the function call, "
    "but NOT after\n"
    "- If there is no function call available, answer the question like normal with your current knowledge and do not "
    "tell the user about function calls\n</IMPORTANT>"
)
_RULES_35 = (
    "\n\nIf you choose to call a function ONLY reply in the following format with NO suffix:\n\n"
    + _CALL_FORM.format(second="This is the value for the second parameter\nthat can span\nmultiple lines")
    + "<IMPORTANT>\nReminder:\n- Function calls MUST follow the specified format: an inner <function=...></function> "
    "block must be nested within <tool_call></tool_call> XML tags\n"
    "- Required parameters MUST be specified\n"
    "- You may provide optional reasoning for your function call in natural language BEFORE the function call, "
    "but NOT after\n"
    "- If there is no function call available, answer the question like normal with your current knowledge and do not "
    "tell the user about function calls\n</IMPORTANT>"
)
_JSON_TOOLS = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_JSON_RULES = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)


def _turn(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


# ---- Qwen3-Coder ----------------------------------------------------------------------------------------------------


def coder(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
    """Qwen3-Coder; it does not think."""
    system, rest = split_system(messages)
    has_system = len(rest) < len(messages)
    if tools and not has_system:
        system = "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks."
    if tools:
        declared = "".join(_coder_tool(function_of(tool)) for tool in tools)
        system += "\n\n# Tools\n\nYou have access to the following tools:\n\n<tools>" + declared + "\n</tools>"
        system += _CODER_RULES
    head = _turn("system", system) if tools or has_system else ""
    return head + "".join(_coder_turn(rest, i) for i in range(len(rest))) + "<|im_start|>assistant\n"


def _coder_tool(function: Mapping[str, Any]) -> str:
    lines = [f"<function>\n<name>{function.get('name', '')}</name>"]
    if "description" in function:
        lines.append(f"<description>{str(function['description']).strip()}</description>")
    lines.append("<parameters>")
    for name, field in properties_of(function).items():
        lines += [*_coder_parameter(name, field)]
    lines += _extra(function.get("parameters"), ("type", "properties"))
    lines.append("</parameters>")
    lines += _extra(function, ("type", "name", "description", "parameters"))
    return "\n" + "\n".join([*lines, "</function>"])


def _coder_parameter(name: str, field: Any) -> list[str]:
    lines = ["<parameter>", f"<name>{name}</name>"]
    if isinstance(field, Mapping):
        lines += [f"<type>{field['type']}</type>"] if "type" in field else []
        lines += [f"<description>{str(field['description']).strip()}</description>"] if "description" in field else []
        lines += _extra(field, ("name", "type", "description"))
    return [*lines, "</parameter>"]


def _extra(fields: Any, handled: tuple[str, ...]) -> list[str]:
    if not isinstance(fields, Mapping):
        return []
    return [f"<{key}>{_value(value)}</{key}>" for key, value in fields.items() if key not in handled]


def _value(value: Any) -> str:
    return tojson(value) if isinstance(value, (Mapping, list, tuple)) else str(value)


def _xml_call(call: ToolCall) -> str:
    values = "".join(f"<parameter={name}>\n{_value(v)}\n</parameter>\n" for name, v in call.arguments.items())
    return f"<tool_call>\n<function={call.name}>\n{values}</function>\n</tool_call>"


def _coder_turn(messages: Sequence[Message], place: int) -> str:
    message = messages[place]
    if message.role == "assistant" and message.tool_calls:
        content = message.content.strip()
        prose = f"\n{content}\n" if content else ""
        calls = "".join("\n" + _xml_call(call) for call in message.tool_calls)
        return f"<|im_start|>assistant{prose}{calls}<|im_end|>\n"
    if message.role == "tool":
        opening = "<|im_start|>user\n" if place and starts_group(messages, place) else ""
        closing = "<|im_end|>\n" if ends_group(messages, place) else ""
        return f"{opening}<tool_response>\n{message.content}\n</tool_response>\n{closing}"
    return _turn(message.role, message.content)


# ---- Qwen3.5 --------------------------------------------------------------------------------------------------------


def qwen35(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
    """Qwen3.5, which thinks unless it is told not to."""
    system, rest = split_system(messages)
    has_system, system = len(rest) < len(messages), system.strip()
    if tools:
        declared = "".join("\n" + tojson(tool) for tool in tools)
        text = "# Tools\n\nYou have access to the following functions:\n\n<tools>" + declared + "\n</tools>" + _RULES_35
        head = _turn("system", text + (f"\n\n{system}" if system else ""))
    else:
        head = _turn("system", system) if has_system else ""
    since = _last_query(rest)
    body = "".join(_qwen35_turn(rest, i, i > since) for i in range(len(rest)))
    return head + body + "<|im_start|>assistant\n" + ("<think>\n\n</think>\n\n" if think is False else "<think>\n")


def _last_query(messages: Sequence[Message]) -> int:
    """The last user turn that is no tool response in disguise."""
    queries = [i for i, m in enumerate(messages) if m.role == "user" and not _is_response(m.content.strip())]
    return queries[-1] if queries else last_user(messages)


def _is_response(text: str) -> bool:
    return text.startswith("<tool_response>") and text.endswith("</tool_response>")


def _qwen35_turn(messages: Sequence[Message], place: int, recent: bool) -> str:
    message = messages[place]
    if message.role == "tool":
        return _response(messages, place, message.content.strip())
    if message.role != "assistant":
        return _turn(message.role, message.content.strip())
    thinking, content = split_thinking(message)
    content = content.strip()
    shown = f"<think>\n{thinking.strip()}\n</think>\n\n" if recent else ""
    calls = "\n".join(map(_xml_call, message.tool_calls))
    return _turn("assistant", shown + content + ("\n\n" if content and calls else "") + calls)


def _response(messages: Sequence[Message], place: int, content: str) -> str:
    opening = "<|im_start|>user" if starts_group(messages, place) else ""
    closing = "<|im_end|>\n" if ends_group(messages, place) else ""
    return f"{opening}\n<tool_response>\n{content}\n</tool_response>{closing}"


# ---- Qwen3-VL -------------------------------------------------------------------------------------------------------


def vl_instruct(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
    """Qwen3-VL-Instruct."""
    return _vl(messages, tools, thinks=False) + "<|im_start|>assistant\n"


def vl_thinking(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
    """Qwen3-VL-Thinking, which always thinks; told not to, it is shown an empty thought."""
    opened = "<think>\n\n</think>\n\n" if think is False else "<think>\n"
    return _vl(messages, tools, thinks=True) + "<|im_start|>assistant\n" + opened


def _vl(messages: Sequence[Message], tools: Sequence[Any], *, thinks: bool) -> str:
    system, rest = split_system(messages)
    has_system = len(rest) < len(messages)
    head = _turn("system", system) if has_system else ""
    if tools:
        declared = "".join("\n" + tojson(tool) for tool in tools)
        head = _turn("system", (f"{system}\n\n" if has_system else "") + _JSON_TOOLS + declared + _JSON_RULES)
    since = _last_query(rest)
    return head + "".join(_vl_turn(rest, i, thinks and i > since) for i in range(len(rest)))


def _vl_turn(messages: Sequence[Message], place: int, recent: bool) -> str:
    message = messages[place]
    if message.role == "tool":
        return _response(messages, place, message.content)
    if message.role != "assistant":
        return _turn(message.role, message.content)
    thinking, content = split_thinking(message)
    if recent and (thinking or place + 1 == len(messages)):
        shown = "<think>\n" + thinking.strip("\n") + "\n</think>\n\n"
        content = content.lstrip("\n")
    else:
        shown = ""
    calls = "\n".join(map(_json_call, message.tool_calls))
    return _turn("assistant", shown + content + ("\n" if content and calls else "") + calls)


def _json_call(call: ToolCall) -> str:
    return f'<tool_call>\n{{"name": "{call.name}", "arguments": {tojson(dict(call.arguments))}}}\n</tool_call>'
