"""Filters that make text or numbers. Each gets the evaluator and the value first."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.jinja import methods
from ollama_jupyter.prompt.jinja.operators import percent, refuse_undefined
from ollama_jupyter.prompt.jinja.values import bounded, items_of, measure, text

if TYPE_CHECKING:
    from ollama_jupyter.prompt.jinja.evaluator import Evaluator

# What jinja2 takes for a word of a title.
_WORD = re.compile(r"[^-\s({\[<]+")
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
    """JSON as Hugging Face defines it, without HTML escapes: a prompt is not a page."""
    refuse_undefined(value)
    if indent is not None and not 0 <= indent <= _MAX_INDENT:
        raise TemplateError(f"tojson indents by at most {_MAX_INDENT}")
    size = measure(value, run.budget)
    run.budget.characters(
        size.characters + size.nodes * (size.depth * (indent or 0) + 2 * _MAX_INDENT * bool(separators))
    )
    pair = None
    if separators:
        item, colon = (text(part, run.budget) for part in separators)
        if max(len(item), len(colon)) > _MAX_INDENT:
            raise TemplateError(f"tojson takes separators of at most {_MAX_INDENT} characters")
        pair = (item, colon)
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=pair, sort_keys=sort_keys)


# ---- text


def of_text(name: str) -> Callable[..., Any]:
    """A filter that is a method of strings; other values are made into text first."""
    method = methods.STRING[name]

    def apply(run: Evaluator, value: Any, *args: Any, **kwargs: Any) -> Any:
        return method(run.budget, text(value, run.budget), *args, **kwargs)

    return apply


def trim(run: Evaluator, value: Any, chars: str | None = None) -> str:
    return str(methods.STRING["strip"](run.budget, text(value, run.budget), chars))


def capitalize_words(run: Evaluator, value: Any) -> str:
    source = text(value, run.budget)
    run.budget.items(len(source) // 16)
    run.budget.characters(len(source))
    return _WORD.sub(lambda word: word[0][:1].upper() + word[0][1:].lower(), source)


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


def rounded(run: Evaluator, value: Any, precision: int = 0, method: str = "common") -> Any:
    if method == "common":
        return round(float(value), precision)
    factor = 10 ** max(-20, min(precision, 20))
    return (math.ceil if method == "ceil" else math.floor)(value * factor) / factor
