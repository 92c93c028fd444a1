"""JSON Schemas for llguidance: what it cannot hold is refused by name, what a model should not wander into is closed.

Every keyword that asserts something is enforced or refused. Annotations, and keywords that the specification does not
know, say nothing about a value and are left out. Reference: JSON Schema draft 2020-12, and llguidance's list of what
it enforces (`docs/json_schema.md` there).
"""

from __future__ import annotations

import json
import re
from typing import Any

from ollama_jupyter.errors import BadRequest

_REFUSED = {
    *("not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames", "dependentRequired"),
    *("dependentSchemas", "dependencies", "unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef"),
    *("additionalItems", "uniqueItems"),
}
_ANNOTATIONS = {
    *("title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly"),
    *("contentEncoding", "contentMediaType", "contentSchema", "$vocabulary", "x-guidance"),
}
_ONE = ("items", "additionalProperties")  # keywords whose value is a schema
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_JOINING = ("anyOf", "oneOf", "allOf", "$ref")  # what they name holds beside the keywords around them
_OF_OBJECTS = {"properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties"}
_SPEAK_OF_OTHERS = _OF_OBJECTS - {"properties", "required"} | set(_JOINING)
_COUNTS = {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
_NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"} | _COUNTS
_TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}
_WORDS: dict[type, str] = {list: "an array", dict: "an object", str: "a string"}

_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"}
_UNHELD_FORMATS = {
    *("idn-email", "idn-hostname", "uri-reference", "iri", "iri-reference", "uri-template"),
    *("json-pointer", "relative-json-pointer", "regex"),
}
_DIALECTS = re.compile(r"https?://json-schema\.org/(draft-0[4-7]|draft/20(19-09|20-12))/schema#?")
_LOOKS_AROUND = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]")

MAX_NODES, MAX_DEPTH, MAX_LENGTH = 5_000, 48, 256 * 1024
"""Schemas in a schema, levels of them, and characters of JSON."""

MAX_PROPERTIES = 1_000
"""Properties of one object: of those that may be left out, each is a way to go on at every one before it."""

MAX_COUNT = 10_000
"""What `minLength`, `maxItems` and their like may be: a grammar of that many steps is built."""

MAX_NUMBER = 2**63 - 1
MIN_STEP, MAX_STEP = 1e-6, 10_000
"""What `multipleOf` may be: remainders are counted by the states of an automaton."""

MAX_FIXED = 8 * 1024
"""Characters of one value of `enum` or `const`: it is written in one go, between two tokens of the others."""

MAX_STRING = 256
"""Characters of a string in a forced call: small models may never close one."""

_ANYTHING = "x-short-strings"
_SHORT = {"$ref": f"#/$defs/{_ANYTHING}"}
_SPELLING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def held(schema: Any, field: str, *, bounded: bool = False) -> dict[str, Any]:
    """The schema as it is given to llguidance: checked, objects closed, and with `bounded` strings of MAX_STRING.

    An object that lists properties and says nothing of others allows no others; not so where other parts of the schema
    speak of the same object. Separators are `, ` and `: `, as models have read most JSON; free white space is where
    small ones never stop. Strings with a `pattern` or a `format` are as long as these allow.

    Raises:
        BadRequest: naming `field`, the keyword and its path.
    """
    if not isinstance(schema, (dict, bool)):
        raise BadRequest(f'field "{field}" must be a JSON Schema: an object')
    _check_size(schema, field)
    walk = _Walk(field, closing=True, bounded=bounded)
    made = walk.schema(schema, "$", 0)
    if walk.joins_references:  # an object that is closed where it is defined could not be added to
        made = _Walk(field, closing=False, bounded=bounded).schema(schema, "$", 0)
    if made is False:
        raise _wrong(field, "$", "the schema false allows nothing")
    return _rooted(made, bounded) | {"x-guidance": _SPELLING}


def locate(schema: Any, keyword: str) -> str | None:
    """The path of the first `keyword` in a schema that `held` takes, or None. "false" is for the schema that is so."""
    walk = _Walk("", closing=False, bounded=False)
    walk.schema(schema, "$", 0)
    return walk.found.get(keyword)


def _check_size(schema: Any, field: str) -> None:
    try:
        text = json.dumps(schema, allow_nan=False, ensure_ascii=False)
        text.encode()
    except RecursionError:
        raise _wrong(field, "$", "the schema is nested too deeply") from None
    except UnicodeEncodeError:
        raise _wrong(field, "$", "half of a surrogate pair is no text") from None
    except ValueError:
        raise _wrong(field, "$", "numbers must be finite") from None
    if len(text) > MAX_LENGTH:
        raise _wrong(field, "$", f"the schema has {len(text)} characters, at most {MAX_LENGTH} are taken")


def _rooted(made: dict[str, Any] | bool, bounded: bool) -> dict[str, Any]:
    root = made if isinstance(made, dict) else {}
    if not bounded:
        return root
    anything = {"maxLength": MAX_STRING, "items": _SHORT, "additionalProperties": _SHORT}
    return root | {"$defs": root.get("$defs", {}) | {_ANYTHING: anything}}


def _wrong(field: str, path: str, what: str) -> BadRequest:
    return BadRequest(f'field "{field}": {what} at {path}')


def _is_deep(value: Any, levels: int = MAX_DEPTH) -> bool:
    """Whether a value is nested deeper than some levels."""
    if not isinstance(value, (list, dict)):
        return False
    return levels == 0 or any(_is_deep(v, levels - 1) for v in (value.values() if isinstance(value, dict) else value))


class _Walk:
    """One way through a schema. `found` is where each keyword is first.

    `joins_references` tells that some `$ref` shares its object with other keywords.
    """

    def __init__(self, field: str, *, closing: bool, bounded: bool) -> None:
        self._field = field
        self._closing = closing
        self._bounded = bounded
        self._nodes = 0
        self.joins_references = False
        self.found: dict[str, str] = {}

    def schema(self, value: Any, path: str, depth: int, *, joined: bool = False) -> dict[str, Any] | bool:
        """`joined`: other keywords speak of the same value."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _wrong(self._field, path, f"the schema has more than {MAX_NODES} parts")
        if depth > MAX_DEPTH:
            raise _wrong(self._field, path, f"the schema is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, bool):
            self.found.setdefault(str(value).lower(), path)
            return _SHORT if value and self._bounded else value
        if not isinstance(value, dict):
            raise _wrong(self._field, path, "a schema must be an object or a boolean, and is not")
        joined = joined or self._joins(value)
        self.joins_references |= joined and "$ref" in value
        made = {
            key: self._keyword(key, inner, path, depth, joined) for key, inner in value.items() if _says(key, inner)
        }
        made.pop("$schema", None)  # all are read as the newest draft
        return self._bound(made if joined else self._close(made))

    def _joins(self, value: dict[str, Any]) -> bool:
        """Whether more than one part of a schema speaks of the same object."""
        parts = [key for key in _JOINING if key in value]
        several = len(parts) > 1 or (isinstance(value.get("allOf"), list) and len(value["allOf"]) > 1)
        return several or bool(parts and _OF_OBJECTS & value.keys())

    def _keyword(self, key: str, value: Any, path: str, depth: int, joined: bool) -> Any:
        here = f"{path}{_step(key)}"
        self.found.setdefault(key, here)
        if key in _REFUSED:
            raise _wrong(self._field, here, f'the keyword "{key}" is not supported')
        if key in _ONE:
            return self.schema(value, here, depth + 1)
        if key in _LISTS:
            parts = enumerate(self._typed(value, list, here, key))
            joined = joined and key != "prefixItems"
            return [self.schema(part, f"{here}[{i}]", depth + 1, joined=joined) for i, part in parts]
        if key in _MAPS:
            named = self._typed(value, dict, here, key).items()
            if len(named) > MAX_PROPERTIES:
                raise _wrong(self._field, here, f'"{key}" must have at most {MAX_PROPERTIES} members')
            return {name: self.schema(part, f"{here}{_step(name)}", depth + 1) for name, part in named}
        return self._checked(key, value, here)

    def _checked(self, key: str, value: Any, here: str) -> Any:
        """The value of a keyword that holds no schemas."""
        if key in _NUMBERS:
            return self._number(key, value, here)
        if key in ("enum", "const"):
            self._fixed(self._typed(value, list, here, key) if key == "enum" else [value], here, key)
        elif key in ("$ref", "pattern", "format", "$schema"):
            self._text(key, self._typed(value, str, here, key), here)
        elif key == "type":
            self._type(value if isinstance(value, list) else [value], here)
        elif key == "required" and not all(isinstance(name, str) for name in self._typed(value, list, here, key)):
            raise _wrong(self._field, here, '"required" must be an array of strings')
        return value

    def _number(self, key: str, value: Any, here: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _wrong(self._field, here, f'"{key}" must be a number')
        low, high = (0, MAX_COUNT) if key in _COUNTS else (-MAX_NUMBER, MAX_NUMBER)
        if key == "multipleOf":
            low, high = MIN_STEP, MAX_STEP  # type: ignore[assignment]
        if not low <= value <= high:
            raise _wrong(self._field, here, f'"{key}" must be from {low} to {high}')
        return int(value) if key in _COUNTS else value

    def _text(self, key: str, value: str, here: str) -> None:
        if key == "$ref" and not value.startswith("#"):
            raise _wrong(self._field, here, '"$ref" to another document is not supported')
        if key == "pattern" and _LOOKS_AROUND.search(value):
            raise _wrong(self._field, here, 'a "pattern" that looks around or back is not supported')
        if key == "format" and value in _UNHELD_FORMATS:
            raise _wrong(self._field, here, f'the "format" {value} is not supported')
        if key == "$schema" and not _DIALECTS.fullmatch(value):
            raise _wrong(self._field, here, '"$schema" must be a published draft of JSON Schema')

    def _type(self, names: list[Any], here: str) -> None:
        if wrong := [name for name in names if not isinstance(name, str) or name not in _TYPES]:
            raise _wrong(self._field, here, f'"type" must be one of {", ".join(sorted(_TYPES))}, got {wrong[0]!r}')

    def _fixed(self, values: list[Any], here: str, key: str) -> None:
        if not values:
            raise _wrong(self._field, here, f'"{key}" allows nothing')
        for value in values:
            if _is_deep(value) or len(json.dumps(value)) > MAX_FIXED:
                raise _wrong(self._field, here, f'a value of "{key}" is too large')

    def _typed(self, value: Any, kind: type, here: str, key: str) -> Any:
        if not isinstance(value, kind):
            raise _wrong(self._field, here, f'"{key}" must be {_WORDS[kind]}, and is not')
        return value

    def _close(self, made: dict[str, Any]) -> dict[str, Any]:
        properties = made.get("properties")
        if not self._closing or properties is None or (_SPEAK_OF_OTHERS & made.keys()):
            return made
        return made if set(made.get("required", ())) - set(properties) else made | {"additionalProperties": False}

    def _bound(self, made: dict[str, Any]) -> dict[str, Any]:
        """What is still free in a forced call gets an end."""
        if not self._bounded or {"enum", "const", *_JOINING} & made.keys():
            return made
        kinds = made.get("type", _TYPES)
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        bounds: dict[str, Any] = {}
        if "array" in kinds and "items" not in made:
            bounds["items"] = _SHORT
        if "object" in kinds and "additionalProperties" not in made:
            bounds["additionalProperties"] = _SHORT
        if "string" in kinds and not {"pattern", "format"} & made.keys():
            bounds["maxLength"] = max(min(made.get("maxLength", MAX_STRING), MAX_STRING), made.get("minLength", 0))
        return made | bounds


def _says(key: str, value: Any) -> bool:
    """Whether a keyword asserts something. Formats that nobody defines are annotations; false is no `uniqueItems`."""
    if key == "format":
        return not isinstance(value, str) or value in _FORMATS | _UNHELD_FORMATS
    if key == "uniqueItems":
        return value is not False
    return key not in _ANNOTATIONS and not (key.startswith("unevaluated") and value is True)


def _step(name: str) -> str:
    """A name as a step of a path."""
    return f".{name}" if re.fullmatch(r"\$?\w+", name) else f"[{json.dumps(name)}]"
