"""JSON Schemas for llguidance: what it cannot hold is refused by name, what a model should not wander into is closed.

Reference: JSON Schema draft 2020-12, and llguidance's list of what it enforces (`docs/json_schema.md` there).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ollama_jupyter.errors import BadRequest

_REFUSED = {
    *("not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames", "dependentRequired"),
    *("dependentSchemas", "dependencies", "unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef"),
    *("additionalItems", "uniqueItems"),
}
_ONE = ("items", "additionalProperties")  # keywords whose value is a schema
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_NUMBERS = {
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"}
_WORDS: dict[type, str] = {list: "an array", dict: "an object", str: "a string"}
_LOOKS_AROUND = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]")

MAX_NODES, MAX_DEPTH, MAX_LENGTH = 5_000, 48, 256 * 1024
"""Schemas in a schema, levels of them, and characters of JSON."""

MAX_COUNT = 10_000
"""What `minLength`, `maxItems` and their like may be: a grammar of that many steps is built."""

MAX_STRING = 256
"""Characters of a string in a forced call: small models may never close one."""

_COUNTS = {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
_SPELLING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def held(schema: Any, field: str, *, bounded: bool = False) -> dict[str, Any]:
    """The schema as it is given to llguidance: checked, objects closed, and with `bounded` strings of MAX_STRING.

    An object that lists properties and says nothing of others allows no others, as Ollama has it; not so where parts
    are joined by allOf. Separators are fixed: free white space is where small models never stop.

    Raises:
        BadRequest: naming `field`, the keyword and its path.
    """
    if not isinstance(schema, (dict, bool)):
        raise BadRequest(f'field "{field}" must be a JSON Schema: an object')
    try:
        text = json.dumps(schema)
    except RecursionError:
        raise _wrong(field, "$", "the schema is nested too deeply") from None
    if len(text) > MAX_LENGTH:
        raise _wrong(field, "$", f"the schema has {len(text)} characters, at most {MAX_LENGTH} are taken")
    closing = '"allOf"' not in text
    walk = _Walk(field, closing=closing, bounded=bounded)
    made = walk.schema(schema, "$", 0)
    return {**(made if isinstance(made, dict) else _boolean(made, field)), "x-guidance": _SPELLING}


def _boolean(value: bool, field: str) -> dict[str, Any]:
    if not value:
        raise _wrong(field, "$", "the schema false allows nothing")
    return {}


def _wrong(field: str, path: str, what: str) -> BadRequest:
    return BadRequest(f'field "{field}": {what} at {path}')


class _Walk:
    def __init__(self, field: str, *, closing: bool, bounded: bool) -> None:
        self._field = field
        self._closing = closing
        self._bounded = bounded
        self._nodes = 0

    def schema(self, value: Any, path: str, depth: int) -> dict[str, Any] | bool:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _wrong(self._field, path, f"the schema has more than {MAX_NODES} parts")
        if depth > MAX_DEPTH:
            raise _wrong(self._field, path, f"the schema is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, bool):
            return value
        if not isinstance(value, dict):
            raise _wrong(self._field, path, "a schema must be an object or a boolean, and is not")
        made = {
            key: self._keyword(key, inner, path, depth) for key, inner in value.items() if self._matters(key, inner)
        }
        return self._bound(self._close(made))

    def _matters(self, key: str, value: Any) -> bool:
        """Whether a keyword asserts something. Formats that nobody defines are annotations."""
        if key == "format":
            return value in _FORMATS if isinstance(value, str) else True
        return not ((key == "uniqueItems" and value is False) or (key.startswith("uneval") and value is True)) and (
            key != "x-guidance"
        )

    def _keyword(self, key: str, value: Any, path: str, depth: int) -> Any:
        here = f"{path}.{key}" if key.isidentifier() or key.startswith("$") else f"{path}[{json.dumps(key)}]"
        if key in _REFUSED:
            raise _wrong(self._field, here, f'the keyword "{key}" is not supported')
        if key in _ONE:
            return self.schema(value, here, depth + 1)
        if key in _LISTS:
            return [
                self.schema(part, f"{here}[{i}]", depth + 1) for i, part in enumerate(self._typed(value, list, here))
            ]
        if key in _MAPS:
            parts = self._typed(value, dict, here)
            return {name: self.schema(part, f"{here}.{name}", depth + 1) for name, part in parts.items()}
        self._check(key, value, here)
        return value

    def _check(self, key: str, value: Any, here: str) -> None:
        if key in _NUMBERS:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise _wrong(self._field, here, f'"{key}" must be a number')
            if key in _COUNTS and not 0 <= value <= MAX_COUNT:
                raise _wrong(self._field, here, f'"{key}" must be from 0 to {MAX_COUNT}')
        elif key == "$ref" and not self._typed(value, str, here).startswith("#"):
            raise _wrong(self._field, here, '"$ref" to another document is not supported')
        elif key == "pattern" and _LOOKS_AROUND.search(self._typed(value, str, here)):
            raise _wrong(self._field, here, 'a "pattern" that looks around or back is not supported')
        elif key in ("required", "enum"):
            self._typed(value, list, here)

    def _typed(self, value: Any, kind: type, here: str) -> Any:
        if not isinstance(value, kind):
            raise _wrong(self._field, here, f'"{here.rpartition(".")[2]}" must be {_WORDS[kind]}, and is not')
        return value

    def _close(self, made: dict[str, Any]) -> dict[str, Any]:
        joined = ("anyOf", "oneOf", "$ref", "patternProperties", "additionalProperties")
        if self._closing and "properties" in made and not any(key in made for key in joined):
            return {**made, "additionalProperties": False}
        return made

    def _bound(self, made: dict[str, Any]) -> dict[str, Any]:
        kinds = made.get("type", ())
        is_text = "string" in ([kinds] if isinstance(kinds, str) else kinds)
        fixed = any(key in made for key in ("enum", "const", "pattern", "format"))
        if not self._bounded or not is_text or fixed:
            return made
        least = made.get("minLength", 0)
        return {**made, "maxLength": max(min(made.get("maxLength", MAX_STRING), MAX_STRING), least)}


def locate(schema: Any, keyword: str) -> str | None:
    """The path of the first `keyword` in a schema, or None."""
    return next((path for key, path in _keywords(schema, "$") if key == keyword), None)


def _keywords(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key, f"{path}.{key}"
            yield from _keywords(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _keywords(inner, f"{path}[{index}]")
