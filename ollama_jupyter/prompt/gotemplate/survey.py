"""A survey of a Go template, from its parsed form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ollama_jupyter.prompt.gotemplate.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Field,
    Identifier,
    Invoke,
    Literal,
    Operand,
    Pipe,
    Statement,
    Text,
    Variable,
)
from ollama_jupyter.prompt.gotemplate.template import parse
from ollama_jupyter.prompt.survey import Condition, Survey

_CONTENT = frozenset({"content", "prompt", "system", "response"})
_COMPARING = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})


def survey(source: str) -> Survey:
    """The facts of a template. Go's language knows no files and no attributes, so it reaches for nothing.

    Raises:
        TemplateError: if it does not parse.
    """
    template = parse(source)
    found = Survey()
    statements = [node for body in template.bodies.values() for node in _all(body)]
    operands = [operand for node in statements for operand in _operands(node)]
    found.fixed = [node.text for node in statements if isinstance(node, Text)]
    found.hidden = [node.value for node in operands if isinstance(node, Literal) and isinstance(node.value, str)]
    numbers = [node.value for node in operands if isinstance(node, Literal) and type(node.value) is int]
    found.largest_number = max(map(abs, numbers), default=0)
    found.conditions = [condition for node in statements for condition in _conditions(node)]
    found.depth = max((_depth(body) for body in template.bodies.values()), default=0)
    found.recursive = any(isinstance(node, Invoke) and node.name in template.bodies for node in statements)
    return found


def _all(statements: Sequence[Statement]) -> Iterator[Statement]:
    for node in statements:
        yield node
        if isinstance(node, Branch):
            yield from _all(node.body)
            yield from _all(node.otherwise or ())


def _operands(node: Statement) -> Iterator[Operand]:
    if isinstance(node, (Action, Branch, Invoke)) and node.pipe:
        yield from _below(node.pipe)


def _below(node: Operand) -> Iterator[Operand]:
    yield node
    if isinstance(node, Pipe):
        for command in node.commands:
            for argument in command.args:
                yield from _below(argument)
    elif isinstance(node, Chain):
        yield from _below(node.base)


def _conditions(node: Statement) -> Iterator[Condition]:
    """Where a branch depends on a comparison of what a message says with a fixed text."""
    if not isinstance(node, Branch) or node.keyword == "range":
        return
    for pipe in (part for part in _below(node.pipe) if isinstance(part, Pipe)):
        for command in pipe.commands:
            literals = tuple(_compared(command))
            if literals:
                yield Condition("content", literals, "".join(n.text for n in _all(node.body) if isinstance(n, Text)))


def _compared(command: Command) -> Iterator[str]:
    first = command.args[0]
    if not isinstance(first, Identifier) or first.name not in _COMPARING:
        return
    parts = [part for argument in command.args[1:] for part in _below(argument)]
    if any(isinstance(part, (Field, Variable)) and _CONTENT & {n.lower() for n in part.names} for part in parts):
        yield from (part.value for part in parts if isinstance(part, Literal) and isinstance(part.value, str))


def _depth(statements: Sequence[Statement]) -> int:
    inner = (max(_depth(n.body), _depth(n.otherwise or ())) for n in statements if isinstance(n, Branch))
    loops = any(isinstance(n, Branch) and n.keyword == "range" for n in statements)
    return max(inner, default=0) + loops
