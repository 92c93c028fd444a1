"""Tests, the words after `is`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ollama_jupyter.prompt.jinja.operators import compare
from ollama_jupyter.prompt.jinja.values import Function, Undefined, is_number
from ollama_jupyter.prompt.limits import Budget

Check = Callable[..., Any]


def _type(*kinds: type) -> Check:
    return lambda budget, value: isinstance(value, kinds)


def _compare(name: str) -> Check:
    return lambda budget, value, other: compare(name, value, other, budget)


def _divisible(budget: Budget, value: Any, by: Any) -> bool:
    return bool(value % by == 0) if is_number(value) and is_number(by) else False


def _parity(remainder: int) -> Check:
    return lambda budget, value: value % 2 == remainder if is_number(value) else False


CHECKS: dict[str, Check] = {
    "defined": lambda budget, value: not isinstance(value, Undefined),
    "undefined": _type(Undefined),
    "none": lambda budget, value: value is None,
    "string": _type(str),
    "mapping": _type(dict),
    "sequence": _type(str, list, tuple, dict),
    "iterable": _type(str, list, tuple, dict, Undefined),
    "number": _type(int, float),
    "integer": lambda budget, value: isinstance(value, int) and not isinstance(value, bool),
    "float": _type(float),
    "boolean": _type(bool),
    "true": lambda budget, value: value is True,
    "false": lambda budget, value: value is False,
    "truthy": lambda budget, value: bool(value),
    "callable": _type(Function),
    "odd": _parity(1),
    "even": _parity(0),
    "divisibleby": _divisible,
    "lower": lambda budget, value: str(value).islower() if isinstance(value, str) else False,
    "upper": lambda budget, value: str(value).isupper() if isinstance(value, str) else False,
    "escaped": lambda budget, value: False,
    "sameas": lambda budget, value, other: value is other,
    "in": lambda budget, value, other: compare("in", value, other, budget),
    **dict.fromkeys(("eq", "equalto", "=="), _compare("eq")),
    **dict.fromkeys(("ne", "!="), _compare("ne")),
    **dict.fromkeys(("lt", "lessthan", "<"), _compare("lt")),
    **dict.fromkeys(("le", "<="), _compare("lteq")),
    **dict.fromkeys(("gt", "greaterthan", ">"), _compare("gt")),
    **dict.fromkeys(("ge", ">="), _compare("gteq")),
}
