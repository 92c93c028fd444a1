"""Arguments of a call as a family writes them: a JSON object, XML-like elements, or Python's keywords.

The latter two are held where the parameters are a plain list of properties. In XML-like ones a text stands bare: it is
held to a list of texts, and is free otherwise, whatever its pattern or length.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ollama_jupyter.grammar.lark import Lark
from ollama_jupyter.grammar.schema import held

Spelling = Literal["json", "xml", "python"]

_PLAIN = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "$defs",
    "definitions",
    "title",
    "description",
    "$schema",
}


@dataclass(frozen=True, slots=True)
class _Property:
    name: str
    schema: Any
    required: bool


def can_hold(spelling: Spelling, parameters: Mapping[str, Any]) -> bool:
    """Whether arguments in this spelling can be held to a schema."""
    if spelling == "json":
        return True
    listed = parameters.get("properties", {})
    return (
        parameters.keys() <= _PLAIN
        and not parameters.get("additionalProperties")
        and set(parameters.get("required", ())) <= set(listed)
        and all(name.isidentifier() for name in listed)
        and '"$ref": "#' not in json.dumps(parameters).replace('"#/$defs/', "").replace('"#/definitions/', "")
    )


def write(
    lark: Lark, spelling: Spelling, parameters: Mapping[str, Any], name: str, field: str, *, bounded: bool
) -> str:
    """The body of a rule for the arguments. Rules that it needs have names that begin with `name`."""
    if spelling == "json":
        return f"%json {json.dumps(held(parameters, field, bounded=bounded))}"
    required = parameters.get("required", ())
    properties = [_Property(key, each, key in required) for key, each in parameters.get("properties", {}).items()]
    defs = {key: parameters[key] for key in ("$defs", "definitions") if key in parameters}
    if spelling == "xml":
        elements = [_element(lark, each, defs, f"{name}_{i}", field) for i, each in enumerate(properties)]
        return " ".join(made if each.required else f"{made}?" for made, each in zip(elements, properties, strict=True))
    return _keywords(lark, properties, defs, name, field)


def _element(lark: Lark, each: _Property, defs: Mapping[str, Any], name: str, field: str) -> str:
    """A rule for `<parameter=name>`, the value on lines of its own, and the end."""
    texts = each.schema.get("enum") if isinstance(each.schema, dict) else None
    begin, end = lark.literal(f"<parameter={each.name}>\n"), lark.literal("\n</parameter>\n")
    if texts and all(isinstance(text, str) for text in texts):
        return lark.rule(name, f"{begin} ({' | '.join(map(json.dumps, texts))}) {end}")
    if _may_be_text(each.schema, defs):
        return lark.rule(name, f'{begin} {lark.until(f"{name}_text", "</parameter>")} "\\n"')
    return lark.rule(name, f"{begin} {_json(each.schema, defs, field)} {end}")


def _keywords(lark: Lark, properties: Sequence[_Property], defs: Mapping[str, Any], name: str, field: str) -> str:
    """`a=1, b="x"`: the first that is there, and the rest behind commas."""
    pairs = [lark.rule(f"{name}_{i}", f'"{p.name}=" {_json(p.schema, defs, field)}') for i, p in enumerate(properties)]
    rests = [f"{name}_from_{i}" for i in range(len(pairs))] + [""]
    for i, each in enumerate(properties):
        lark.rule(rests[i], f'(", " {pairs[i]}){"" if each.required else "?"} {rests[i + 1]}')
    needed = next((i for i, each in enumerate(properties) if each.required), len(pairs))
    firsts = [f"{pairs[i]} {rests[i + 1]}" for i in range(min(needed + 1, len(pairs)))]
    return f"({' | '.join(firsts)}){'' if needed < len(pairs) else '?'}" if firsts else ""


def _json(schema: Any, defs: Mapping[str, Any], field: str) -> str:
    whole = {**schema, **defs} if isinstance(schema, dict) else schema
    return f"%json {json.dumps(held(whole, field))}"


def _may_be_text(schema: Any, defs: Mapping[str, Any], depth: int = 8) -> bool:
    """Whether a value may be a string, as far as can be told."""
    if not isinstance(schema, dict) or not depth:
        return schema is not False
    if "$ref" in schema:
        _, key, name = schema["$ref"].split("/", 2)  # `can_hold` has seen that it is one of the definitions
        return _may_be_text(defs.get(key, {}).get(name, True), defs, depth - 1)
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return any(_may_be_text(part, defs, depth - 1) for part in parts)
    if fixed := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return any(isinstance(value, str) for value in fixed)
    return "string" in (schema.get("type") or ["string"])
