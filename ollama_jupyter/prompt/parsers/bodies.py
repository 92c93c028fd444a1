"""What stands inside the tags of a call, by family: from a text to calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ollama_jupyter.messages import Tool, ToolCall
from ollama_jupyter.prompt.parsers.literals import Malformed, Reader, clean, loads

Body = Callable[[str, Sequence[Tool]], list[ToolCall]]
"""Raises Malformed for what is no call, or a call of no offered tool."""

MAX_CALL = 1 << 18
"""Characters of one call that are looked into."""

_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>(.*?)(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL)


# ---- what every format needs ----------------------------------------------------------------------------------------


def functions(tools: Sequence[Tool]) -> dict[str, Mapping[str, Any]]:
    """The offered functions by name."""
    found = (tool.get("function") for tool in tools)
    return {str(f.get("name", "")): f for f in found if isinstance(f, Mapping)}


def call(name: Any, arguments: Any, tools: Sequence[Tool], call_id: Any = "") -> ToolCall:
    """A call of an offered tool.

    Raises:
        Malformed: the tool is not offered, or the arguments are no object.
    """
    known = functions(tools)
    wanted = name.strip() if isinstance(name, str) else ""
    if wanted not in known:
        wanted = wanted.removeprefix("functions.")
    if wanted not in known:
        raise Malformed(f"the call names {str(name)[:64]!r}, which is not among the tools")
    given = loads(arguments) if isinstance(arguments, str) and arguments.strip() else arguments or {}
    if not isinstance(given, dict):
        raise Malformed(f"the arguments of {wanted} are no object")
    return ToolCall(wanted, given, id=call_id if isinstance(call_id, str) else "")


def _typed(text: str, schema: Any) -> Any:
    """An argument that was written as text, in the type that its schema asks for; the text where it is no such."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    kinds = {kind} if isinstance(kind, str) else set(kind) if isinstance(kind, list) else set()
    if isinstance(schema, Mapping) and not kinds:
        options = [one for one in schema.get("anyOf") or () if isinstance(one, Mapping)]
        kinds = {one["type"] for one in options if isinstance(one.get("type"), str)}
    if kinds <= {"string"}:
        return text
    try:
        value = loads(text.strip())
    except Malformed:
        return text
    return text if isinstance(value, str) and "string" in kinds else value


def _schemas(name: str, tools: Sequence[Tool]) -> Mapping[str, Any]:
    parameters = functions(tools).get(name.removeprefix("functions."), {}).get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


# ---- JSON -----------------------------------------------------------------------------------------------------------


def json_calls(text: str, tools: Sequence[Tool]) -> list[ToolCall]:
    """Objects with `name` and `arguments` (or `parameters`), alone, in a list, or one after another."""
    values = [one for value in _values(text) for one in (value if isinstance(value, list) else [value])]
    found = [json_call(one, tools) for one in values]
    if not found:
        raise Malformed("there is no call in it")
    return found


def _values(text: str) -> list[Any]:
    try:
        return [loads(text)]
    except Malformed:
        reader, values = Reader(text), []
        while not reader.at_end():
            if not reader.follows("{", "["):
                raise
            values.append(clean(reader.value()))
        return values


def json_call(value: Any, tools: Sequence[Tool]) -> ToolCall:
    """One object as a call. The function may stand in a shell of its own."""
    if not isinstance(value, dict):
        raise Malformed("it is no object")
    inner = value.get("function")
    if isinstance(inner, dict):
        return json_call({"id": value.get("id", ""), **inner}, tools)
    name = next((value[key] for key in ("name", "tool_name", "function") if key in value), None)
    if name is None:
        known = [key for key in value if key in functions(tools)]
        if len(value) == 1 and known:
            return call(known[0], value[known[0]], tools)
        raise Malformed("it has no name")
    given = next((value[key] for key in ("arguments", "parameters", "args") if key in value), None)
    if given is None:
        given = {key: item for key, item in value.items() if key not in ("name", "tool_name", "function", "type", "id")}
    return call(name, given, tools, value.get("id", ""))


# ---- tags -----------------------------------------------------------------------------------------------------------


def xml_calls(text: str, tools: Sequence[Tool]) -> list[ToolCall]:
    """`<function=name><parameter=key>value</parameter></function>`, as Qwen3-Coder writes it."""
    found = [_xml_call(name.strip(), body, tools) for name, body in _FUNCTION.findall(text)]
    if not found:
        return json_calls(text, tools)
    return found


def _xml_call(name: str, body: str, tools: Sequence[Tool]) -> ToolCall:
    schemas = _schemas(name, tools)
    pairs = ((key.strip(), _without_line_ends(value)) for key, value in _PARAMETER.findall(body))
    return call(name, {key: clean(_typed(value, schemas.get(key))) for key, value in pairs}, tools)


def _without_line_ends(text: str) -> str:
    text = text.removeprefix("\n")
    return text.removesuffix("\n")


def glm_calls(text: str, tools: Sequence[Tool]) -> list[ToolCall]:
    """`name<arg_key>key</arg_key><arg_value>value</arg_value>`, as GLM writes it."""
    name = text.partition("<arg_key>")[0].strip()
    if name.startswith("{"):
        return json_calls(text, tools)
    schemas = _schemas(name, tools)
    pairs = dict(_glm_pair(part) for part in text.split("<arg_key>")[1:])
    return [call(name, {key: clean(_typed(value, schemas.get(key))) for key, value in pairs.items()}, tools)]


def _glm_pair(text: str) -> tuple[str, str]:
    key, _, rest = text.partition("</arg_key>")
    return key.strip(), rest.partition("<arg_value>")[2].partition("</arg_value>")[0]


# ---- notations of a name and its arguments --------------------------------------------------------------------------


def python_calls(text: str, tools: Sequence[Tool]) -> list[ToolCall]:
    """`[f(a=1), g()]` or one call a line, as LFM2 and Olmo write it."""
    stripped = text.strip()
    if stripped.startswith(("{", "[{")):
        return json_calls(text, tools)
    reader = Reader(stripped)
    listed = reader.take("[")
    found: list[ToolCall] = []
    while reader.at < len(reader.text) and not (listed and reader.take("]")):
        name = reader.word()
        found.append(call(name, clean(reader.pairs("(", ")", "=")), tools))
        if not reader.take(","):
            reader.take(";")
        reader.blanks()
    reader.end()
    if not found:
        raise Malformed("there is no call in it")
    return found


def gemma_calls(quote: str) -> Body:
    """`call:name{key:value}` with strings between marks, as Gemma 4 and FunctionGemma write it."""

    def parse(text: str, tools: Sequence[Tool]) -> list[ToolCall]:
        reader = Reader(text.strip(), (quote,))
        reader.take("call:")
        name = reader.word()
        arguments = clean(reader.pairs("{", "}", ":"))
        reader.end()
        return [call(name, arguments, tools)]

    return parse


def named_json(separator: str) -> Body:
    """The name, a separator, and the arguments as JSON: DeepSeek, Kimi."""

    def parse(text: str, tools: Sequence[Tool]) -> list[ToolCall]:
        name, found, arguments = text.partition(separator)
        if not found:
            return json_calls(text, tools)
        if "```json" in arguments:  # DeepSeek R1 and V3: the type, the separator, the name, JSON in a fence
            name, _, fenced = arguments.partition("```json")
            arguments = fenced.rpartition("```")[0] or fenced
        return [call(_plain_name(name), loads(arguments), tools)]

    return parse


def _plain_name(name: str) -> str:
    """The name without the number that Kimi puts behind it."""
    bare = name.strip()
    head, colon, number = bare.rpartition(":")
    return head if colon and number.isdecimal() else bare
