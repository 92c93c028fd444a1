"""The data that templates see, and what Go makes of it: truth, kinds, types, JSON and `%v`.

Templates work on None, bool, int, float, str, bytes, lists, mappings with string keys, and Struct. Nothing else gets
in, and no attribute of a Python object is ever looked up by a name that comes from a template.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.limits import MAX_DEPTH, Budget


class Struct:
    """A value with fixed fields, in order: unlike a missing map key, an unknown field is an error.

    `fields` maps the name in templates to (name in JSON, value, whether JSON leaves it out when empty).
    `prints_json`: it prints as JSON, as Go types with such a String method do.
    """

    __slots__ = ("fields", "prints_json", "type_name")

    def __init__(
        self, type_name: str, fields: Mapping[str, tuple[str, Any, bool]], *, prints_json: bool = False
    ) -> None:
        self.type_name = type_name
        self.fields = fields
        self.prints_json = prints_json

    def wire(self) -> Iterator[tuple[str, Any]]:
        """The names and values of its JSON object, in order."""
        return ((name, value) for name, value, omit in self.fields.values() if not (omit and is_empty(value)))


class JSONMap(dict[str, Any]):
    """A mapping that prints as JSON: the arguments of a tool call."""


class JSONList(list[Any]):
    """A list that prints as JSON: the tools on offer. Empty, it is Go's nil slice."""


class PropertyType(list[str]):
    """The types of a tool's property: one type prints, and is written in JSON, as its bare name."""


_ENTITIES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def is_empty(value: Any) -> bool:
    """What Go's `omitempty` leaves out. A struct is never empty."""
    return not isinstance(value, Struct) and not value


def is_true(value: Any) -> bool:
    """Whether {{if}} takes the first branch. A struct is always true."""
    return isinstance(value, Struct) or bool(value)


def kind(value: Any) -> str:
    """bool, int, float, string, or "" for what cannot be ordered."""
    if isinstance(value, bool):
        return "bool"
    return {int: "int", float: "float", str: "string"}.get(type(value), "")


def type_name(value: Any) -> str:
    """Go's name of the value's type, for error messages and %T."""
    if isinstance(value, Struct):
        return value.type_name
    if isinstance(value, Mapping):
        return "map[string]interface {}"
    if isinstance(value, bytes):
        return "[]uint8"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[]interface {}"
    return {"": "<nil>", "float": "float64"}.get(kind(value), kind(value))


def prints_json(value: Any) -> bool:
    return isinstance(value, (JSONMap, JSONList)) or (isinstance(value, Struct) and value.prints_json)


def text_of(value: Any, budget: Budget, nil: str = "<nil>", depth: int = 0) -> str:
    """Go's `%v`. `nil` is the word for None at the top: {{.Missing}} shows `<no value>`."""
    budget.step()
    if value is None:
        return nil
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, PropertyType) and len(value) == 1:
        return value[0]
    if prints_json(value):
        return to_json(value, budget)
    return _container_text(value, budget, _deeper(depth))


def _container_text(value: Any, budget: Budget, depth: int) -> str:
    def inner(item: Any) -> str:
        return text_of(item, budget, "<nil>", depth)

    if isinstance(value, Struct):
        text = "{" + " ".join(inner(item) for _, item, _ in value.fields.values()) + "}"
    elif isinstance(value, Mapping):
        text = "map[" + " ".join(f"{key}:{inner(value[key])}" for key in sorted(value)) + "]"
    else:
        text = "[" + " ".join(inner(item) for item in value) + "]"
    budget.characters(len(text))
    return text


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise TemplateError(f"template prints a value nested more than {MAX_DEPTH} deep")
    return depth + 1


def float_text(value: float, small: int = -4, large: int = 6) -> str:
    """The shortest decimal that reads back the same, with an exponent below 1e`small` and from 1e`large` on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    shortest = repr(value)
    mantissa, _, exponent_text = shortest.partition("e")
    exponent = int(exponent_text or 0) + _leading_exponent(mantissa)
    if value != 0 and (exponent < small or exponent >= large):
        return _scientific(mantissa, exponent)
    # repr has an exponent from 1e16 on and below 1e-4, where JSON has none yet.
    plain = format(Decimal(shortest), "f") if exponent_text else shortest
    return plain.removesuffix(".0")


def _leading_exponent(mantissa: str) -> int:
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    if whole != "0":
        return len(whole) - 1
    return -(len(fraction) - len(fraction.lstrip("0")) + 1) if fraction.strip("0") else 0


def _scientific(mantissa: str, exponent: int) -> str:
    digits = mantissa.lstrip("-").replace(".", "").strip("0")
    sign = "-" if mantissa.startswith("-") else ""
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def to_json(value: Any, budget: Budget, depth: int = 0) -> str:
    """Compact JSON as Go writes it: maps sorted by key, structs in order, HTML characters escaped.

    Raises:
        TemplateError: nested too deeply, or over the budget.
    """
    budget.step()
    if isinstance(value, str):
        return json_string(value, budget)
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    if isinstance(value, float):
        return float_text(value, -6, 21).replace("e-0", "e-")
    if isinstance(value, PropertyType) and len(value) == 1:
        return json_string(value[0], budget)
    text = _container_json(value, budget, _deeper(depth))
    budget.characters(len(text))
    return text


def _container_json(value: Any, budget: Budget, depth: int) -> str:
    if isinstance(value, (Struct, Mapping)):
        items = value.wire() if isinstance(value, Struct) else ((key, value[key]) for key in sorted(value))
        return "{" + ",".join(f"{json_string(k, budget)}:{to_json(v, budget, depth)}" for k, v in items) + "}"
    if isinstance(value, bytes):
        import base64

        budget.characters(2 * len(value))
        return f'"{base64.b64encode(value).decode()}"'
    if isinstance(value, JSONList) and not value:
        return "null"
    return "[" + ",".join(to_json(item, budget, depth) for item in value) + "]"


def json_string(text: str, budget: Budget) -> str:
    budget.characters(len(text))
    return json.dumps(text, ensure_ascii=False).translate(_ENTITIES)
