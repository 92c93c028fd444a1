"""How Ollama runs a Go template over a conversation: its suffix, messages and legacy modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.conversation import collate
from ollama_jupyter.prompt.gotemplate import JSONList, JSONMap, PropertyType, Struct, Template, parse

Think = bool | str | None

# What stands in when a model has no TEMPLATE at all.
DEFAULT_TEMPLATE = "{{ .Prompt }}"


def render_messages(source: str, messages: Sequence[Message], *, think: Think = None, tools: Sequence[Any] = ()) -> str:
    """The prompt of a conversation by the Go template `source`.

    Raises:
        TemplateError: the template does not parse, fails, or runs over its limits.
    """
    template = parse(source)
    system, merged = collate(messages)
    if "messages" not in template.variables:
        return _render_turns(template, merged, think)
    data = {"System": system, "Messages": [_message(m) for m in merged], "Tools": _tools(tools), "Response": ""}
    return template.execute({**data, **_thinking(think)})


def render_suffix(source: str, prompt: str, suffix: str, *, think: Think = None) -> str:
    """Fill in the middle: the text before and after the gap, and nothing of a conversation."""
    return parse(source).execute({"Prompt": prompt, "Suffix": suffix, "Response": "", **_thinking(think)})


def render_generate(
    template_text: str, *, system: str, prompt: str, response: str = "", think: Think = None, suffix: str = ""
) -> str:
    """The prompt of one `/api/generate` call that brings its own Go template. `response` is a prefilled answer.

    Raises:
        TemplateError: the template does not parse, fails, or runs over its limits.
    """
    if prompt and suffix:
        return render_suffix(template_text, prompt, suffix, think=think)
    turns = [Message("system", system), Message("user", prompt), Message("assistant", response)]
    return render_messages(template_text, [m for m in turns if m.content or m.role == "user"], think=think)


def _render_turns(template: Template, messages: Sequence[Message], think: Think) -> str:
    """Legacy mode: the template runs once for every turn of system, prompt and response.

    A system after anything, and a prompt after a response, begin a new turn. The last turn is cut after `.Response`,
    so that a trailing assistant message is continued.
    """
    turn = {"System": "", "Prompt": "", "Response": ""}
    flags = _thinking(think)
    parts: list[str] = []

    def finish(template: Template) -> None:
        parts.append(template.execute({**turn, **flags}))
        turn.update(System="", Prompt="", Response="")

    for message in messages:
        if message.role == "system":
            if turn["Prompt"] or turn["Response"]:
                finish(template)
            turn["System"] = message.content
        elif message.role == "user":
            if turn["Response"]:
                finish(template)
            turn["Prompt"] = message.content
        elif message.role == "assistant":
            turn["Response"] = message.content
    finish(template.cut_after_response())
    return "".join(parts)


def _thinking(think: Think) -> dict[str, Any]:
    level = think if isinstance(think, str) else "medium" if think else ""
    return {"Think": bool(think), "ThinkLevel": level, "IsThinkSet": think is not None}


def _message(message: Message) -> Struct:
    return Struct(
        "api.Message",
        {
            "Role": ("role", message.role, False),
            "Content": ("content", message.content, False),
            "Thinking": ("thinking", message.thinking, True),
            "Images": ("images", list(message.images), True),
            "ToolCalls": ("tool_calls", [_call(c) for c in message.tool_calls], True),
            "ToolName": ("tool_name", message.tool_name, True),
            "ToolCallID": ("tool_call_id", message.tool_call_id, True),
        },
    )


def _call(call: ToolCall) -> Struct:
    function = Struct(
        "api.ToolCallFunction",
        {
            "Index": ("index", call.index, False),
            "Name": ("name", call.name, False),
            "Arguments": ("arguments", JSONMap(call.arguments), False),
        },
    )
    return Struct("api.ToolCall", {"ID": ("id", call.id, True), "Function": ("function", function, False)})


def _tools(tools: Sequence[Any]) -> JSONList | None:
    return JSONList([_tool(tool) for tool in tools]) if tools else None


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value, or nothing where a schema has something else in the place of an object, such as `true`."""
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _tool(tool: Any) -> Struct:
    tool = _mapping(tool)
    function = _mapping(tool.get("function"))
    return Struct(
        "api.Tool",
        {
            "Type": ("type", tool.get("type", ""), False),
            "Items": ("items", tool.get("items"), True),
            "Function": ("function", _function(function), False),
        },
        prints_json=True,
    )


def _function(function: Mapping[str, Any]) -> Struct:
    return Struct(
        "api.ToolFunction",
        {
            "Name": ("name", function.get("name", ""), False),
            "Description": ("description", function.get("description", ""), False),
            "Parameters": ("parameters", _parameters(_mapping(function.get("parameters"))), False),
        },
        prints_json=True,
    )


def _parameters(parameters: Mapping[str, Any]) -> Struct:
    properties = _mapping(parameters.get("properties"))
    return Struct(
        "api.ToolFunctionParameters",
        {
            "Type": ("type", parameters.get("type", ""), False),
            "Defs": ("$defs", parameters.get("$defs"), True),
            "Items": ("items", parameters.get("items"), True),
            "Required": ("required", _list(parameters.get("required")), True),
            "Properties": ("properties", {name: _property(value) for name, value in properties.items()}, False),
        },
        prints_json=True,
    )


def _property(value: Any) -> Struct:
    schema = _mapping(value)
    kind = schema.get("type")
    types = [kind] if isinstance(kind, str) else [str(one) for one in _list(kind)]
    nested = {name: _property(inner) for name, inner in _mapping(schema.get("properties")).items()}
    return Struct(
        "api.ToolProperty",
        {
            "AnyOf": ("anyOf", [_property(one) for one in _list(schema.get("anyOf"))], True),
            "Type": ("type", PropertyType(types), True),
            "Items": ("items", schema.get("items"), True),
            "Description": ("description", schema.get("description", ""), True),
            "Enum": ("enum", _list(schema.get("enum")), True),
            "Properties": ("properties", nested, True),
            "Required": ("required", _list(schema.get("required")), True),
        },
    )
