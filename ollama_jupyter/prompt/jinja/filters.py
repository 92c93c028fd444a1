"""The table of filters, and those that work on lists. Each gets the evaluator and the value first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ollama_jupyter.prompt.jinja import scalar_filters as scalar
from ollama_jupyter.prompt.jinja.values import Undefined, items_of, measure

if TYPE_CHECKING:
    from ollama_jupyter.prompt.jinja.evaluator import Evaluator


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
    items = items_of(value or (), run.budget)
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

        # As jinja2 has it, nothing is chosen from what is false: no tools, or None for them.
        return [item for item in items_of(value or (), run.budget) if passes(item) == keep]

    return choose


FILTERS: dict[str, Callable[..., Any]] = {
    **{name: scalar.of_text(name) for name in ("upper", "lower", "capitalize", "center")},
    **dict.fromkeys(("count", "length"), length),
    **dict.fromkeys(("d", "default"), default),
    **dict.fromkeys(("e", "escape", "forceescape"), scalar.escape),
    "abs": scalar.absolute,
    "batch": batch,
    "dictsort": dictsort,
    "first": first,
    "float": scalar.to_float,
    "format": scalar.format_,
    "groupby": groupby,
    "indent": scalar.indent,
    "int": scalar.to_int,
    "items": items_filter,
    "join": scalar.join,
    "last": last,
    "list": to_list,
    "map": map_,
    "max": maximum,
    "min": minimum,
    "reject": _chosen(False, False),
    "rejectattr": _chosen(False, True),
    "replace": scalar.replace,
    "reverse": reverse,
    "round": scalar.rounded,
    "safe": same,
    "select": _chosen(True, False),
    "selectattr": _chosen(True, True),
    "sort": sort,
    "string": scalar.to_text,
    "sum": sum_,
    "title": scalar.capitalize_words,
    "tojson": scalar.tojson,
    "trim": scalar.trim,
    "unique": unique,
    "wordcount": scalar.wordcount,
}
