"""Tools that a request offers, checked as far as templates and grammars rely on their shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ollama_jupyter.api.fields import Fields, kind_of
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Tool

MAX_TOOLS = 256


def tools(fields: Fields, name: str = "tools") -> tuple[Tool, ...]:
    """The tools in an array of `{"type": "function", "function": {"name", "description", "parameters"}}`.

    Raises:
        BadRequest: naming the field that is not as expected, or that there are more than MAX_TOOLS.
    """
    count = len(fields.array(name))
    if count > MAX_TOOLS:
        raise BadRequest(f'field "{fields.label(name)}" holds {count} tools; at most {MAX_TOOLS} are taken')
    return tuple(_tool(entry) for entry in fields.objects(name))


def _tool(fields: Fields) -> Tool:
    items = {"items": fields.get("items")} if "items" in fields else {}
    return {"type": fields.text("type") or "function", **items, "function": function(fields, "function")}


def function(fields: Fields, name: str) -> dict[str, Any]:
    """A function under `name`, with its fields spelled as templates expect them."""
    raw = fields.mapping(name)
    own = Fields(raw, f"{fields.label(name)}.")
    if not own.text("name"):
        raise BadRequest(f'field "{own.label("name")}" must name the function')
    told = {"name": own.text("name"), "description": own.text("description"), "parameters": schema(own, "parameters")}
    rest = {key: value for key, value in raw.items() if key.lower() not in told and value is not None}
    return {key: value for key, value in told.items() if key in own} | rest


def schema(fields: Fields, name: str) -> dict[str, Any]:
    """The JSON Schema of a function's arguments, empty where absent."""
    value = fields.mapping(name)
    _check(value, fields.label(name))
    return value


def _check(value: Mapping[str, Any], label: str) -> None:
    """Templates walk through these keywords; the grammar looks at all of them."""
    _expect(value, label, "description", str, "a string")
    for keyword in ("enum", "required", "anyOf"):
        _expect(value, label, keyword, list, "an array")
    _expect(value, label, "properties", dict, "an object")
    kind = value.get("type")
    if not (kind is None or isinstance(kind, str) or (isinstance(kind, list) and _all_texts(kind))):
        raise BadRequest(f'field "{label}.type" must be a string or an array of strings, got {kind_of(kind)}')
    if not _all_texts(value.get("required") or []):
        raise BadRequest(f'field "{label}.required" must be an array of strings')
    inner = {f"properties.{name}": held for name, held in (value.get("properties") or {}).items()}
    inner |= {f"anyOf[{index}]": held for index, held in enumerate(value.get("anyOf") or [])}
    for name, held in inner.items():
        if not isinstance(held, dict):
            raise BadRequest(f'field "{label}.{name}" must be an object, got {kind_of(held)}')
        _check(held, f"{label}.{name}")


def _expect(value: Mapping[str, Any], label: str, keyword: str, kind: type, words: str) -> None:
    held = value.get(keyword)
    if held is not None and not isinstance(held, kind):
        raise BadRequest(f'field "{label}.{keyword}" must be {words}, got {kind_of(held)}')


def _all_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
