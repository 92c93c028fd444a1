"""What a template says about the model: the variables it knows, its thinking tags, its tool-call tag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ollama_jupyter.prompt.gotemplate.nodes import (
    Action,
    Branch,
    Chain,
    Field,
    Invoke,
    Operand,
    Pipe,
    Statement,
    Text,
    Variable,
)

if TYPE_CHECKING:
    from ollama_jupyter.prompt.gotemplate.template import Template


def identifiers(statements: Sequence[Statement]) -> Iterator[str]:
    """The names of all fields and variables in the statements, each part of a chain on its own."""
    for node in statements:
        if isinstance(node, (Action, Branch, Invoke)) and node.pipe:
            yield from _in_pipe(node.pipe)
        if isinstance(node, Branch):
            yield from identifiers(node.body)
            yield from identifiers(node.otherwise or ())


def _in_pipe(pipe: Pipe) -> Iterator[str]:
    for command in pipe.commands:
        for arg in command.args:
            yield from _in_operand(arg)


def _in_operand(node: Operand) -> Iterator[str]:
    if isinstance(node, Pipe):
        yield from _in_pipe(node)
    elif isinstance(node, Chain):
        yield from _in_operand(node.base)
        yield from node.names
    elif isinstance(node, (Field, Variable)):
        yield from node.names


def cut_after(name: str, statements: Sequence[Statement]) -> list[Statement]:
    """The statements up to and with the first action that prints the field `name`, on every level around it."""
    return _cut(name, statements)[0]


def _cut(name: str, statements: Sequence[Statement]) -> tuple[list[Statement], bool]:
    kept: list[Statement] = []
    for node in statements:
        node, found = _cut_node(name, node)
        kept.append(node)
        if found:
            return kept, True
    return kept, False


def _cut_node(name: str, node: Statement) -> tuple[Statement, bool]:
    if isinstance(node, Action):
        return node, name in _field_names(node.pipe)
    if isinstance(node, Branch):
        body, found = _cut(name, node.body)
        if found:
            return replace(node, body=body, otherwise=None), True
        otherwise, found = _cut(name, node.otherwise or ())
        return replace(node, body=body, otherwise=otherwise), found
    return node, False


def _field_names(pipe: Pipe) -> Iterator[str]:
    for command in pipe.commands:
        for arg in command.args:
            if isinstance(arg, Field):
                yield from arg.names
            elif isinstance(arg, Pipe):
                yield from _field_names(arg)


def thinking_tags(template: Template) -> tuple[str, str] | None:
    """The texts around `.Thinking` inside a range over messages, such as `("<think>", "</think>")`.

    The nearest list of nodes around the field must begin and end with text; those, trimmed, are the tags.
    """
    for body in template.bodies.values():
        for message_loop in _branches(body, "range"):
            if "Messages" not in set(_in_pipe(message_loop.pipe)):
                continue
            nodes = _nearest_list(message_loop.body, "Thinking")
            if nodes and isinstance(nodes[0], Text) and isinstance(nodes[-1], Text) and len(nodes) > 1:
                opening, closing = nodes[0].text.strip(), nodes[-1].text.strip()
                return (opening, closing) if opening and closing else None
    return None


def _branches(statements: Sequence[Statement], keyword: str) -> Iterator[Branch]:
    for node in statements:
        if isinstance(node, Branch):
            if node.keyword == keyword:
                yield node
            yield from _branches(node.body, keyword)
            yield from _branches(node.otherwise or (), keyword)


def _nearest_list(statements: Sequence[Statement], name: str) -> Sequence[Statement] | None:
    """The list that holds the first action printing the field, an action and no condition on it."""
    for node in statements:
        if isinstance(node, Action) and name in set(_in_pipe(node.pipe)):
            return statements
        if isinstance(node, Branch):
            found = _nearest_list(node.body, name) or _nearest_list(node.otherwise or (), name)
            if found:
                return found
    return None


def tool_call_tag(template: Template) -> str:
    """What the model writes before a tool call: the first text inside the first `if` on `.ToolCalls`, up to a `{`.

    `{` itself where the template has no such text.
    """
    for body in template.bodies.values():
        for branch in _branches(body, "if"):
            if "ToolCalls" in set(_in_pipe(branch.pipe)):
                return _first_text(branch.body).partition("{")[0].strip() or "{"
    return "{"


def _first_text(statements: Sequence[Statement]) -> str:
    for node in statements:
        if isinstance(node, Text) and node.text.strip():
            return node.text
        if isinstance(node, Branch):
            return _first_text(node.body)
        if not isinstance(node, Text):
            return ""
    return ""
