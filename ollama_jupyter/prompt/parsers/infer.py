"""How a model answers, by what its template shows."""

from __future__ import annotations

from typing import Literal

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.output import PLAIN, Output, Thinking
from ollama_jupyter.prompt.parsers import table


def infer(kind: Literal["go", "jinja"], source: str | None) -> Output:
    """The output of a model whose template is `source`: tags that are known, else those that stand around the fields
    of thinking and calls in it."""
    if source is None:
        return PLAIN
    return _of_go(source) if kind == "go" else _of_jinja(source)


def _of_jinja(source: str) -> Output:
    thinking = table.thinking_shown(source)
    if "tools" not in source and "tool_call" not in source:
        return table.output("jinja", table.NONE, thinking)
    return table.output("jinja", table.calls_shown(source) or table.BARE, thinking)


def _of_go(source: str) -> Output:
    from ollama_jupyter.prompt.gotemplate import parse, thinking_tags, tool_call_tag

    try:
        template = parse(source)
    except TemplateError:
        return PLAIN
    tags = thinking_tags(template)
    thinking = Thinking(*tags) if tags else None
    if "tools" not in template.variables:
        return table.output("go", table.NONE, thinking)
    tag = tool_call_tag(template).rstrip("[").rstrip()
    form = table.calls_shown(source)
    if form is None:
        form = table.BARE if tag in ("", "{") else table.tagged(tag)
    return table.output("go", form, thinking)
