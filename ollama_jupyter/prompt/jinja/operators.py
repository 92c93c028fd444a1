"""Arithmetic and comparison, each asking the budget before it makes anything long."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.jinja.values import Undefined, bounded, measure, text
from ollama_jupyter.prompt.limits import Budget

_NUMERIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": operator.truediv,
    "FloorDiv": operator.floordiv,
    "Mod": operator.mod,
}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}
_PERCENT = re.compile(r"%(?:\((?P<name>\w+)\))?(?P<flags>[-+ #0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<verb>.)")
_MAX_WIDTH = 1000


def binary(name: str, left: Any, right: Any, budget: Budget) -> Any:
    """`left name right` for Add, Sub, Mul, Div, FloorDiv, Mod and Pow, as Python does it on plain data.

    Raises:
        TemplateError: over the budget, or a value is undefined. TypeError, ArithmeticError: as Python.
    """
    refuse_undefined(left, right)
    if name == "Add" and type(left) is type(right) and isinstance(left, (str, list, tuple)):
        return _joined(left, right, budget)
    if name == "Mul" and isinstance(left, (str, list, tuple)) != isinstance(right, (str, list, tuple)):
        return _repeated(left, right, budget)
    if name == "Mod" and isinstance(left, str):
        return percent(left, right, budget)
    if not isinstance(left, (int, float)) or not isinstance(right, (int, float)):
        raise TypeError(f"cannot compute with {type(left).__name__} and {type(right).__name__}")
    return bounded(_power(left, right) if name == "Pow" else _NUMERIC[name](left, right))


def refuse_undefined(*values: Any) -> None:
    for value in values:
        if isinstance(value, Undefined):
            raise TemplateError(value.why)


def _joined(left: Any, right: Any, budget: Budget) -> Any:
    (budget.characters if isinstance(left, str) else budget.items)(len(left) + len(right))
    return left + right


def _repeated(left: Any, right: Any, budget: Budget) -> Any:
    value, count = (right, left) if isinstance(left, int) else (left, right)
    if not isinstance(count, int):
        raise TypeError(f"cannot repeat {type(count).__name__} times")
    (budget.characters if isinstance(value, str) else budget.items)(len(value) * max(count, 0))
    return value * count


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int):
        # Asked before it is computed: 10**10**10 would not end.
        bounded(1 << min(base.bit_length() * abs(exponent), 1 << 20))
    return base**exponent


def compare(name: str, left: Any, right: Any, budget: Budget) -> bool:
    """`left name right` for eq, ne, lt, lteq, gt, gteq, in and notin."""
    if name in ("in", "notin"):
        return contains(right, left, budget) == (name == "in")
    if name not in ("eq", "ne"):
        refuse_undefined(left, right)
    for value in (left, right):
        if isinstance(value, (str, list, tuple, dict)):
            measure(value, budget)
    return bool(_COMPARE[name](left, right))


def contains(container: Any, item: Any, budget: Budget) -> bool:
    if isinstance(container, str):
        if not isinstance(item, str):
            refuse_undefined(item)
            raise TypeError(f"'in' needs a string on the left, got {type(item).__name__}")
        budget.read(len(container))
        return item in container
    if isinstance(container, dict):
        return is_key(item) and item in container
    if isinstance(container, Undefined):
        return False
    if isinstance(container, (list, tuple)):
        measure(container, budget)
        return item in container
    raise TypeError(f"'{type(container).__name__}' is no container")


def is_key(value: Any) -> bool:
    """Only scalars are keys: hashing a nested tuple can take exponential time."""
    return value is None or isinstance(value, (str, bool, int, float))


def percent(template: str, values: Any, budget: Budget) -> str:
    """Python's `%` on strings, for the verbs s d i r f e g x o c and %, widths up to 1000."""
    queue = list(values) if isinstance(values, tuple) else [values]
    parts: list[str] = []
    done = 0
    for match in _PERCENT.finditer(template):
        parts += template[done : match.start()], _verb(match, values, queue, budget)
        budget.characters(len(parts[-1]))
        done = match.end()
    parts.append(template[done:])
    if queue and not isinstance(values, dict):
        raise TypeError("not all arguments converted during string formatting")
    budget.characters(sum(map(len, parts)))
    return "".join(parts)


def _verb(match: re.Match[str], values: Any, queue: list[Any], budget: Budget) -> str:
    if match["verb"] == "%":
        return "%"
    for digits in (match["width"], match["precision"] or ""):
        if digits and (len(digits) > 4 or int(digits) > _MAX_WIDTH):
            raise TemplateError(f"chat template formats wider than {_MAX_WIDTH}")
    if match["name"] is not None:
        value = values[match["name"]] if isinstance(values, dict) else None
    elif not queue:
        raise TypeError("not enough arguments for format string")
    else:
        value = queue.pop(0)
    precision = "" if match["precision"] is None else "." + match["precision"]
    form = f"%{match['flags']}{match['width']}{precision}{match['verb']}"
    if match["verb"] in "sr":
        shown = repr(value) if match["verb"] == "r" and isinstance(value, str) else text(value, budget)
        return form.replace("r", "s") % shown
    return form % (value,)
