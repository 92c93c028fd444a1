"""The methods of strings, lists and dicts that templates may call. Only one of them, `append`, changes a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ollama_jupyter.prompt.jinja.values import items_of, measure, text
from ollama_jupyter.prompt.limits import MAX_ITEMS, Budget

Method = Callable[..., Any]


def _replace(budget: Budget, value: str, old: str, new: str, count: int = -1) -> str:
    times = value.count(old) if count < 0 else min(count, value.count(old))
    budget.characters(len(value) + times * max(len(new) - len(old), 0))
    return value.replace(old, new, count)


def _split(budget: Budget, value: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    return _pieces(budget, value, value.split(sep, _splits(maxsplit)))


def _rsplit(budget: Budget, value: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    return _pieces(budget, value, value.rsplit(sep, _splits(maxsplit)))


def _splits(asked: int) -> int:
    # One more than is allowed, so that a longer list is seen and refused without being made.
    return MAX_ITEMS if asked < 0 else min(asked, MAX_ITEMS)


def _pieces(budget: Budget, value: str, pieces: list[str]) -> list[str]:
    budget.characters(len(value))
    budget.items(len(pieces))
    return pieces


def _splitlines(budget: Budget, value: str, keepends: bool = False) -> list[str]:
    breaks = sum(value.count(c) for c in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
    budget.items(breaks)
    return _pieces(budget, value, value.splitlines(keepends))


def join(budget: Budget, separator: str, values: Any) -> str:
    """Python's str.join, over texts and numbers alike, as the filter does."""
    parts = [text(value, budget) for value in items_of(values, budget)]
    budget.characters(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def _wide(name: str) -> Method:
    def padded(budget: Budget, value: str, width: int, *fill: str) -> str:
        budget.characters(max(len(value), width))
        return str(getattr(str, name)(value, width, *fill))

    return padded


def _same_size(name: str) -> Method:
    function = getattr(str, name)

    def method(budget: Budget, value: str, *args: Any, **kwargs: Any) -> Any:
        budget.characters(len(value))
        return function(value, *args, **kwargs)

    return method


def _format(budget: Budget, value: str, *args: Any, **kwargs: Any) -> str:
    """`str.format` for plain `{}`, `{0}` and `{name}`; what could reach into values or pad without end is refused."""
    parts: list[str] = []
    rest, automatic = value, 0
    while rest:
        before, brace, rest = rest.partition("{")
        parts.append(before.replace("}}", "}"))
        if not brace:
            break
        if rest.startswith("{"):
            parts.append("{")
            rest = rest[1:]
            continue
        name, _, rest = rest.partition("}")
        parts.append(text(_argument(name or str(automatic), args, kwargs), budget))
        automatic += not name
    budget.characters(sum(map(len, parts)))
    return "".join(parts)


def _argument(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if name.isdecimal() and len(name) < 5:
        return args[int(name)]
    if not name.isidentifier():
        raise ValueError(f"format field {{{name[:20]}}} is not supported")
    return kwargs[name]


_SAME_SIZE = (
    "strip lstrip rstrip upper lower title capitalize casefold swapcase startswith endswith find rfind index rindex "
    "count isdigit isalpha isalnum isspace isupper islower istitle isnumeric isdecimal isidentifier "
    "removeprefix removesuffix partition rpartition"
)

STRING: dict[str, Method] = {
    **{name: _same_size(name) for name in _SAME_SIZE.split()},
    **{name: _wide(name) for name in ("ljust", "rjust", "center", "zfill")},
    "replace": _replace,
    "split": _split,
    "rsplit": _rsplit,
    "splitlines": _splitlines,
    "join": join,
    "format": _format,
}


def _index(budget: Budget, value: Any, item: Any) -> int:
    measure((value, item), budget)
    return int(value.index(item))


def _count(budget: Budget, value: Any, item: Any) -> int:
    measure((value, item), budget)
    return int(value.count(item))


def _append(budget: Budget, value: Any, item: Any) -> None:
    """The one change that templates make (Kimi's collect results by it). Their lists are copies of ours."""
    if not isinstance(value, list):
        raise TypeError("only lists can be appended to")
    if len(value) >= MAX_ITEMS:
        budget.items(len(value) + 1)
    budget.step()
    value.append(item)


LIST: dict[str, Method] = {"append": _append, "count": _count, "index": _index}


def _items(budget: Budget, value: dict[Any, Any]) -> list[Any]:
    budget.items(len(value))
    return list(value.items())


def _keys(budget: Budget, value: dict[Any, Any]) -> list[Any]:
    budget.items(len(value))
    return list(value)


def _values(budget: Budget, value: dict[Any, Any]) -> list[Any]:
    budget.items(len(value))
    return list(value.values())


def _get(budget: Budget, value: dict[Any, Any], key: Any, default: Any = None) -> Any:
    return default if isinstance(key, (list, tuple, dict)) else value.get(key, default)


DICT: dict[str, Method] = {"items": _items, "keys": _keys, "values": _values, "get": _get}


def find(value: Any, name: str) -> Method | None:
    """The method of the value by that name, or None."""
    if isinstance(value, str):
        return STRING.get(name)
    if isinstance(value, dict):
        return DICT.get(name)
    return LIST.get(name) if isinstance(value, (list, tuple)) else None
