"""The functions that a template can call: Go's builtins and Ollama's.

`and`, `or` and `call` are the executor's, since they do not simply take values. Each function here gets the run's
budget and its evaluated arguments, and raises FunctionError where Go's would return an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from ollama_jupyter.prompt.gotemplate.formatting import sprint, sprintf, sprintln
from ollama_jupyter.prompt.gotemplate.values import Struct, is_true, kind, text_of, to_json, type_name
from ollama_jupyter.prompt.limits import Budget


class FunctionError(Exception):
    """What a function refuses. The executor adds the place."""


def _is_list(value: Any) -> bool:
    return isinstance(value, (Sequence, bytes)) and not isinstance(value, str)


# ---- comparison


def eq(budget: Budget, first: Any, *others: Any) -> bool:
    if not others:
        raise FunctionError("missing argument for comparison")
    return any(_equal(first, other, budget) for other in others)


def _equal(first: Any, second: Any, budget: Budget) -> bool:
    if first is None or second is None:
        return first is second
    if kind(first) != kind(second):
        raise FunctionError(f"incompatible types for comparison: {type_name(first)} and {type_name(second)}")
    if not kind(first):
        raise FunctionError(f"non-comparable type {text_of(second, budget)}: {type_name(second)}")
    if isinstance(first, str):
        budget.read(len(first))
    return bool(first == second)


def ne(budget: Budget, first: Any, second: Any) -> bool:
    return not eq(budget, first, second)


def lt(budget: Budget, first: Any, second: Any) -> bool:
    if not kind(first) or not kind(second):
        raise FunctionError("invalid type for comparison")
    if kind(first) != kind(second):
        raise FunctionError(f"incompatible types for comparison: {type_name(first)} and {type_name(second)}")
    if kind(first) == "bool":
        raise FunctionError("invalid type for comparison")
    return bool(first < second)


def le(budget: Budget, first: Any, second: Any) -> bool:
    return lt(budget, first, second) or eq(budget, first, second)


def gt(budget: Budget, first: Any, second: Any) -> bool:
    return not le(budget, first, second)


def ge(budget: Budget, first: Any, second: Any) -> bool:
    return not lt(budget, first, second)


def not_(budget: Budget, value: Any) -> bool:
    return not is_true(value)


# ---- lists, maps and strings


def length(budget: Budget, value: Any) -> int:
    if value is None:
        raise FunctionError("len of nil pointer")
    if isinstance(value, str):
        return len(_bytes(value, budget))
    if isinstance(value, Mapping) or _is_list(value):
        return len(value)
    raise FunctionError(f"len of type {type_name(value)}")


def index(budget: Budget, item: Any, *keys: Any) -> Any:
    if item is None:
        raise FunctionError("index of untyped nil")
    for key in keys:
        item = _indexed(item, key, budget)
    return item


def _bytes(text: str, budget: Budget) -> bytes:
    """Go counts and cuts strings in bytes."""
    budget.read(4 * len(text))
    return text.encode("utf-8", "replace")


def _indexed(item: Any, key: Any, budget: Budget) -> Any:
    if item is None:
        raise FunctionError("index of nil pointer")
    if isinstance(item, Mapping):
        if not isinstance(key, str):
            raise FunctionError(f"value has type {type_name(key)}; should be string")
        return item.get(key)
    values = _bytes(item, budget) if isinstance(item, str) else item
    if not _is_list(values):
        raise FunctionError(f"can't index item of type {type_name(item)}")
    position = _position(key, len(values))
    if position == len(values):
        raise FunctionError("reflect: slice index out of range")
    return values[position]


def _position(key: Any, limit: int) -> int:
    if key is None:
        raise FunctionError("cannot index slice/array with nil")
    if kind(key) != "int":
        raise FunctionError(f"cannot index slice/array with type {type_name(key)}")
    if not 0 <= key <= limit:
        raise FunctionError(f"index out of range: {key}")
    return int(key)


def slice_(budget: Budget, item: Any, *bounds: Any) -> Any:
    if item is None:
        raise FunctionError("slice of untyped nil")
    if len(bounds) > 3:
        raise FunctionError(f"too many slice indexes: {len(bounds)}")
    if isinstance(item, str) and len(bounds) == 3:
        raise FunctionError("cannot 3-index slice a string")
    values = _bytes(item, budget) if isinstance(item, str) else item
    if not _is_list(values):
        raise FunctionError(f"can't slice item of type {type_name(item)}")
    start, end, *capacity = [*(_position(bound, len(values)) for bound in bounds), *(0, len(values))[len(bounds) :]]
    for low, high in [(start, end), *((end, c) for c in capacity)]:
        if low > high:
            raise FunctionError(f"invalid slice index: {low} > {high}")
    budget.items((end - start) // (64 if isinstance(item, str) else 1))
    part = values[start:end]
    return part.decode("utf-8", "replace") if isinstance(item, str) else part


# ---- text


def print_(budget: Budget, *values: Any) -> str:
    return sprint(values, budget)


def println(budget: Budget, *values: Any) -> str:
    return sprintln(values, budget)


def printf(budget: Budget, template: Any, *values: Any) -> str:
    if not isinstance(template, str):
        raise FunctionError(f"wrong type for value; expected string; got {type_name(template)}")
    return sprintf(template, values, budget)


def _joined(values: Sequence[Any], budget: Budget) -> str:
    return sprint(["<no value>" if value is None else value for value in values], budget)


_HTML = {ord("<"): "&lt;", ord(">"): "&gt;", ord("&"): "&amp;", ord('"'): "&#34;", ord("'"): "&#39;", 0: "\ufffd"}
_JS = {ord("\\"): "\\\\", ord("'"): "\\'", ord('"'): '\\"'}
_JS |= {ord(c): f"\\u{ord(c):04X}" for c in "<>&=" + "".join(map(chr, range(0x20)))}


def html(budget: Budget, *values: Any) -> str:
    text = _joined(values, budget)
    budget.characters(5 * len(text))
    return text.translate(_HTML)


def js(budget: Budget, *values: Any) -> str:
    text = _joined(values, budget)
    budget.characters(6 * len(text))
    return "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in text.translate(_JS))


def urlquery(budget: Budget, *values: Any) -> str:
    text = _joined(values, budget)
    budget.characters(12 * len(text))
    return quote_plus(text, errors="replace")


# ---- Ollama's


def json_(budget: Budget, value: Any) -> str:
    return to_json(value, budget)


def current_date(budget: Budget, *_: Any) -> str:
    return date.today().isoformat()


def yesterday_date(budget: Budget, *_: Any) -> str:
    return (date.today() - timedelta(days=1)).isoformat()


_TYPESCRIPT = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}


def to_typescript(budget: Budget, value: Any, depth: int = 0) -> str:
    """A tool property's type in TypeScript: unions joined by ` | `, objects as `Record<string, any>`, else `any`."""
    if not isinstance(value, Struct) or depth > 20:
        return "any"
    budget.step()
    options = _field(value, "AnyOf")
    if options:
        return " | ".join(to_typescript(budget, option, depth + 1) for option in options)
    types = _field(value, "Type") or []
    return " | ".join(_typescript(name, value, budget, depth) for name in types) or "any"


def _typescript(name: str, value: Struct, budget: Budget, depth: int) -> str:
    if name == "array":
        items = _field(value, "Items")
        inner = items.get("type") if isinstance(items, Mapping) else None
        return f"{_TYPESCRIPT.get(inner, 'any') if isinstance(inner, str) else 'any'}[]"
    return "Record<string, any>" if name == "object" else _TYPESCRIPT.get(name, "any")


def _field(value: Struct, name: str) -> Any:
    return value.fields[name][1] if name in value.fields else None


class Function(NamedTuple):
    """`most` None takes any number of arguments from `least` on."""

    call: Callable[..., Any]
    least: int
    most: int | None


FUNCTIONS: dict[str, Function] = {
    "eq": Function(eq, 1, None),
    "ne": Function(ne, 2, 2),
    "lt": Function(lt, 2, 2),
    "le": Function(le, 2, 2),
    "gt": Function(gt, 2, 2),
    "ge": Function(ge, 2, 2),
    "not": Function(not_, 1, 1),
    "len": Function(length, 1, 1),
    "index": Function(index, 1, None),
    "slice": Function(slice_, 1, None),
    "print": Function(print_, 0, None),
    "println": Function(println, 0, None),
    "printf": Function(printf, 1, None),
    "html": Function(html, 0, None),
    "js": Function(js, 0, None),
    "urlquery": Function(urlquery, 0, None),
    "json": Function(json_, 1, 1),
    "currentDate": Function(current_date, 0, None),
    "yesterdayDate": Function(yesterday_date, 0, None),
    "toTypeScriptType": Function(to_typescript, 1, 1),
}

NAMES = frozenset([*FUNCTIONS, "and", "or", "call"])
