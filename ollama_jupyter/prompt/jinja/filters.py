"""Filters: jinja2's usual ones, and Hugging Face's `tojson`. Each gets the evaluator and the value first."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.jinja import methods
from ollama_jupyter.prompt.jinja.operators import percent, refuse_undefined
from ollama_jupyter.prompt.jinja.values import Undefined, bounded, items_of, measure, text

if TYPE_CHECKING:
    from ollama_jupyter.prompt.jinja.evaluator import Evaluator

_MAX_INDENT = 16
_HTML = {ord("<"): "&lt;", ord(">"): "&gt;", ord("&"): "&amp;", ord('"'): "&#34;", ord("'"): "&#39;"}


def tojson(
    run: Evaluator,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML escapes: a prompt is not a page."""
    refuse_undefined(value)
    if indent is not None and not 0 <= indent <= _MAX_INDENT:
        raise TemplateError(f"tojson indents by at most {_MAX_INDENT}")
    size = measure(value, run.budget)
    run.budget.characters(
        size.characters + size.nodes * (size.depth * (indent or 0) + 2 * _MAX_INDENT * bool(separators))
    )
    pair = tuple(text(part, run.budget) for part in separators) if separators else None
    if pair and max(map(len, pair)) > _MAX_INDENT:
        raise TemplateError(f"tojson takes separators of at most {_MAX_INDENT} characters")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=pair, sort_keys=sort_keys)


# ---- text


def _of_text(name: str) -> Callable[..., Any]:
    """A filter that is a method of strings; other values are made into text first."""
    method = methods.STRING[name]

    def apply(run: Evaluator, value: Any, *args: Any, **kwargs: Any) -> Any:
        return method(run.budget, text(value, run.budget), *args, **kwargs)

    return apply


def trim(run: Evaluator, value: Any, chars: str | None = None) -> str:
    return str(methods.STRING["strip"](run.budget, text(value, run.budget), chars))


def capitalize_words(run: Evaluator, value: Any) -> str:
    words = methods.STRING["split"](run.budget, text(value, run.budget), " ")
    return " ".join(word[:1].upper() + word[1:].lower() for word in words)


def join(run: Evaluator, value: Any, d: str = "", attribute: Any = None) -> str:
    items = items_of(value, run.budget)
    if attribute is not None:
        items = [run.path(item, attribute) for item in items]
    return methods.join(run.budget, text(d, run.budget), items)


def replace(run: Evaluator, value: Any, old: Any, new: Any, count: int | None = None) -> Any:
    parts = (text(part, run.budget) for part in (value, old, new))
    return methods.STRING["replace"](run.budget, *parts, -1 if count is None else count)


def indent(run: Evaluator, value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    source = text(value, run.budget)
    margin = len(width) if isinstance(width, str) else width
    lines = methods.STRING["splitlines"](run.budget, source + "\n")
    run.budget.characters(len(source) + len(lines) * max(margin, 0))
    prefix = width if isinstance(width, str) else " " * width
    shown = [line if not line and not blank else prefix + line for line in lines]
    return "\n".join(shown if first or not lines else [lines[0], *shown[1:]])


def escape(run: Evaluator, value: Any) -> str:
    source = text(value, run.budget)
    run.budget.characters(5 * len(source))
    return source.translate(_HTML)


def to_text(run: Evaluator, value: Any) -> str:
    return text(value, run.budget)


def format_(run: Evaluator, value: Any, *args: Any, **kwargs: Any) -> str:
    return percent(text(value, run.budget), kwargs or args, run.budget)


def wordcount(run: Evaluator, value: Any) -> int:
    return len(methods.STRING["split"](run.budget, text(value, run.budget)))


# ---- numbers


def to_int(run: Evaluator, value: Any, default: int = 0, base: int = 10) -> Any:
    try:
        return bounded(int(value, base) if isinstance(value, str) else int(value))
    except (TypeError, ValueError, OverflowError):
        try:
            return bounded(int(float(value)))
        except (TypeError, ValueError, OverflowError):
            return default


def to_float(run: Evaluator, value: Any, default: float = 0.0) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return default


def absolute(run: Evaluator, value: Any) -> Any:
    refuse_undefined(value)
    return abs(value)


def round_(run: Evaluator, value: Any, precision: int = 0, method: str = "common") -> Any:
    if method == "common":
        return round(float(value), precision)
    import math

    factor = 10 ** max(-20, min(precision, 20))
    return (math.ceil if method == "ceil" else math.floor)(value * factor) / factor


# ---- sequences


def length(run: Evaluator, value: Any) -> int:
    if isinstance(value, Undefined):
        return 0
    if not isinstance(value, (str, list, tuple, dict)):
        raise TypeError(f"object of type '{type(value).__name__}' has no len()")
    return len(value)


def first(run: Evaluator, value: Any) -> Any:
    items = value if isinstance(value, str) else items_of(value, run.budget)
    return items[0] if items else Undefined("No first item, sequence was empty.")


def last(run: Evaluator, value: Any) -> Any:
    items = value if isinstance(value, str) else items_of(value, run.budget)
    return items[-1] if items else Undefined("No last item, sequence was empty.")


def to_list(run: Evaluator, value: Any) -> list[Any]:
    return list(items_of(value, run.budget))


def reverse(run: Evaluator, value: Any) -> Any:
    if isinstance(value, str):
        run.budget.characters(len(value))
        return value[::-1]
    return to_list(run, value)[::-1]


def items_filter(run: Evaluator, value: Any) -> list[Any]:
    if isinstance(value, Undefined):
        return []
    if not isinstance(value, dict):
        raise TypeError("Can only get item pairs from a mapping.")
    run.budget.items(len(value))
    return list(value.items())


def _key(run: Evaluator, attribute: Any, case_sensitive: bool) -> Callable[[Any], Any]:
    def key(item: Any) -> Any:
        value = item if attribute is None else run.path(item, attribute)
        if case_sensitive or not isinstance(value, str):
            return value
        run.budget.characters(len(value))
        return value.lower()

    return key


def _sorted(run: Evaluator, items: Sequence[Any], key: Callable[[Any], Any], backwards: bool) -> list[Any]:
    keys = [key(item) for item in items]
    size = measure(keys, run.budget)
    # Each key takes part in about log2(n) comparisons.
    run.budget.step(size.nodes * len(keys).bit_length() + size.characters // 256)
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=backwards)
    return [items[place] for place in order]


def sort(
    run: Evaluator, value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None
) -> list[Any]:
    return _sorted(run, items_of(value, run.budget), _key(run, attribute, case_sensitive), reverse)


def dictsort(
    run: Evaluator, value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False
) -> list[Any]:
    return _sorted(run, items_filter(run, value), _key(run, 1 if by == "value" else 0, case_sensitive), reverse)


def unique(run: Evaluator, value: Any, case_sensitive: bool = False, attribute: Any = None) -> list[Any]:
    key = _key(run, attribute, case_sensitive)
    found: dict[Any, Any] = {}
    for item in items_of(value, run.budget):
        run.budget.step()
        found.setdefault(run.scalar(key(item)), item)
    return list(found.values())


def groupby(run: Evaluator, value: Any, attribute: Any, default: Any = None, case_sensitive: bool = False) -> list[Any]:
    key = _key(run, attribute, case_sensitive)
    groups: dict[Any, list[Any]] = {}
    for item in _sorted(run, items_of(value, run.budget), key, False):
        groups.setdefault(run.scalar(key(item)), []).append(item)
    return [(run.path(group[0], attribute), group) for group in groups.values()]


def sum_(run: Evaluator, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    total = start
    for item in items_of(value, run.budget):
        total = run.add(total, item if attribute is None else run.path(item, attribute))
    return total


def minimum(run: Evaluator, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
    items = sort(run, value, False, case_sensitive, attribute)
    return items[0] if items else Undefined("No aggregated item, sequence was empty.")


def maximum(run: Evaluator, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
    items = sort(run, value, True, case_sensitive, attribute)
    return items[0] if items else Undefined("No aggregated item, sequence was empty.")


def batch(run: Evaluator, value: Any, linecount: int, fill_with: Any = None) -> list[list[Any]]:
    items = to_list(run, value)
    rows = [items[at : at + linecount] for at in range(0, len(items), linecount)]
    if fill_with is not None and rows:
        missing = linecount - len(rows[-1])
        run.budget.items(missing)
        rows[-1] += [fill_with] * missing
    return rows


def default(run: Evaluator, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if isinstance(value, Undefined) or (boolean and not value) else value


def same(run: Evaluator, value: Any) -> Any:
    return value


# ---- by function


def map_(
    run: Evaluator, value: Any, *args: Any, attribute: Any = None, default: Any = None, **kwargs: Any
) -> list[Any]:
    items = items_of(value, run.budget)
    run.budget.step(len(items))
    if attribute is None:
        name, *rest = args
        return [run.filter(name, item, rest, kwargs) for item in items]
    found = (run.path(item, attribute) for item in items)
    return [default if default is not None and isinstance(item, Undefined) else item for item in found]


def _chosen(keep: bool, by_attribute: bool) -> Callable[..., list[Any]]:
    def choose(run: Evaluator, value: Any, *args: Any) -> list[Any]:
        rest = list(args)
        attribute = rest.pop(0) if by_attribute else None
        name, *parameters = rest or ["truthy"]

        def passes(item: Any) -> bool:
            run.budget.step()
            return run.test(name, item if attribute is None else run.path(item, attribute), parameters)

        return [item for item in items_of(value, run.budget) if passes(item) == keep]

    return choose


FILTERS: dict[str, Callable[..., Any]] = {
    **{name: _of_text(name) for name in ("upper", "lower", "capitalize", "center")},
    **dict.fromkeys(("count", "length"), length),
    **dict.fromkeys(("d", "default"), default),
    **dict.fromkeys(("e", "escape", "forceescape"), escape),
    "abs": absolute,
    "batch": batch,
    "dictsort": dictsort,
    "first": first,
    "float": to_float,
    "format": format_,
    "groupby": groupby,
    "indent": indent,
    "int": to_int,
    "items": items_filter,
    "join": join,
    "last": last,
    "list": to_list,
    "map": map_,
    "max": maximum,
    "min": minimum,
    "reject": _chosen(False, False),
    "rejectattr": _chosen(False, True),
    "replace": replace,
    "reverse": reverse,
    "round": round_,
    "safe": same,
    "select": _chosen(True, False),
    "selectattr": _chosen(True, True),
    "sort": sort,
    "string": to_text,
    "sum": sum_,
    "title": capitalize_words,
    "tojson": tojson,
    "trim": trim,
    "unique": unique,
    "wordcount": wordcount,
}
