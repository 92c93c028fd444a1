"""Expressions of a chat template: jinja2's syntax tree over plain data, with a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import nodes

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.jinja import methods
from ollama_jupyter.prompt.jinja.checks import CHECKS
from ollama_jupyter.prompt.jinja.filters import FILTERS
from ollama_jupyter.prompt.jinja.operators import binary, compare, is_key, refuse_undefined
from ollama_jupyter.prompt.jinja.values import Function, Loop, Namespace, Undefined, bounded, kind_of, text
from ollama_jupyter.prompt.limits import Budget


class Scope:
    """Names and values. An inner scope sees the outer's names; what it sets stays its own."""

    __slots__ = ("names", "outer")

    def __init__(self, names: dict[str, Any], outer: Scope | None = None) -> None:
        self.names = names
        self.outer = outer

    def find(self, name: str) -> Any:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return Undefined(f"'{name}' is undefined")


class Evaluator:
    """Evaluates nodes in a scope. `line` is the line of the statement at work, for errors."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.line = 1

    def value(self, node: nodes.Node, scope: Scope) -> Any:
        self.budget.step()
        self.line = node.lineno or self.line
        evaluate = _EVALUATE.get(type(node).__name__)
        if evaluate is None:
            raise TemplateError(f"chat templates cannot use {type(node).__name__}")
        return evaluate(self, node, scope)

    def values(self, items: Sequence[nodes.Node], scope: Scope) -> list[Any]:
        return [self.value(item, scope) for item in items]

    # ---- for filters

    def filter(self, name: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        function = FILTERS.get(name) if isinstance(name, str) else None
        if function is None:
            raise TemplateError(f"No filter named {name!r}.")
        return function(self, value, *args, **kwargs)

    def test(self, name: Any, value: Any, args: Sequence[Any]) -> bool:
        check = CHECKS.get(name) if isinstance(name, str) else None
        if check is None:
            raise TemplateError(f"No test named {name!r}.")
        return bool(check(self.budget, value, *args))

    def path(self, value: Any, path: Any) -> Any:
        """Follow `a.b.0`, an attribute path as filters take it."""
        parts = path.split(".") if isinstance(path, str) else [path]
        for part in parts:
            value = self.item(value, int(part) if isinstance(part, str) and part.isdecimal() else part)
        return value

    def scalar(self, value: Any) -> Any:
        if not is_key(value):
            raise TypeError(f"{kind_of(value)} cannot be a key")
        return value

    def add(self, left: Any, right: Any) -> Any:
        return binary("Add", left, right, self.budget)

    # ---- looking into values

    def attribute(self, value: Any, name: str) -> Any:
        refuse_undefined(value)
        method = methods.find(value, name)
        if method is not None:
            return Function(name, lambda *args, **kwargs: method(self.budget, value, *args, **kwargs))
        if isinstance(value, Loop):
            return value.attribute(name)
        names = value.values if isinstance(value, Namespace) else value if isinstance(value, dict) else {}
        return names[name] if name in names else Undefined(f"'{kind_of(value)}' has no attribute '{name}'")

    def item(self, value: Any, key: Any) -> Any:
        refuse_undefined(value)
        if isinstance(value, dict) and is_key(key) and key in value:
            return value[key]
        if isinstance(value, (str, list, tuple)) and isinstance(key, int):
            inside = -len(value) <= key < len(value)
            return value[key] if inside else Undefined(f"{kind_of(value)} has no element {key}")
        if isinstance(key, str):
            return self.attribute(value, key)
        return Undefined(f"{kind_of(value)} has no element")

    def cut(self, value: Any, bounds: slice) -> Any:
        refuse_undefined(value)
        if not isinstance(value, (str, list, tuple)):
            raise TypeError(f"{kind_of(value)} cannot be sliced")
        count = len(range(*bounds.indices(len(value))))
        (self.budget.characters if isinstance(value, str) else self.budget.items)(count)
        return value[bounds]

    def call(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        refuse_undefined(function)
        self.budget.step()
        if isinstance(function, Loop) and function.render:
            return function.render(*args)
        if not isinstance(function, Function):
            raise TypeError(f"{kind_of(function)} is not callable")
        return function.call(*args, **kwargs)

    def arguments(self, node: Any, scope: Scope) -> tuple[list[Any], dict[str, Any]]:
        args = self.values(node.args, scope)
        kwargs = {pair.key: self.value(pair.value, scope) for pair in node.kwargs}
        if node.dyn_args is not None:
            args += self.value(node.dyn_args, scope)
        if node.dyn_kwargs is not None:
            kwargs.update(self.value(node.dyn_kwargs, scope))
        self.budget.items(len(args) + len(kwargs))
        return args, kwargs


Evaluate = Callable[[Evaluator, Any, Scope], Any]


def _dict(run: Evaluator, node: nodes.Dict, scope: Scope) -> dict[Any, Any]:
    return {run.scalar(run.value(pair.key, scope)): run.value(pair.value, scope) for pair in node.items}


def _condition(run: Evaluator, node: nodes.CondExpr, scope: Scope) -> Any:
    if run.value(node.test, scope):
        return run.value(node.expr1, scope)
    if node.expr2 is None:
        return Undefined("the inline if-expression evaluated to false and no else section was defined.")
    return run.value(node.expr2, scope)


def _filter(run: Evaluator, node: nodes.Filter, scope: Scope) -> Any:
    if node.node is None:
        raise TemplateError("a filter without a value")
    value = run.value(node.node, scope)
    args, kwargs = run.arguments(node, scope)
    return run.filter(node.name, value, args, kwargs)


def _test(run: Evaluator, node: nodes.Test, scope: Scope) -> bool:
    if node.name in ("filter", "test"):
        return run.value(node.node, scope) in (FILTERS if node.name == "filter" else CHECKS)
    value = run.value(node.node, scope)
    args, _ = run.arguments(node, scope)
    return run.test(node.name, value, args)


def _call(run: Evaluator, node: nodes.Call, scope: Scope) -> Any:
    function = run.value(node.node, scope)
    return run.call(function, *run.arguments(node, scope))


def _item(run: Evaluator, node: nodes.Getitem, scope: Scope) -> Any:
    value = run.value(node.node, scope)
    if isinstance(node.arg, nodes.Slice):
        bounds = [part and run.value(part, scope) for part in (node.arg.start, node.arg.stop, node.arg.step)]
        return run.cut(value, slice(*bounds))
    return run.item(value, run.value(node.arg, scope))


def _concat(run: Evaluator, node: nodes.Concat, scope: Scope) -> str:
    parts = [text(value, run.budget) for value in run.values(node.nodes, scope)]
    run.budget.characters(sum(map(len, parts)))
    return "".join(parts)


def _compare(run: Evaluator, node: nodes.Compare, scope: Scope) -> bool:
    left = run.value(node.expr, scope)
    for operand in node.ops:
        right = run.value(operand.expr, scope)
        if not compare(operand.op, left, right, run.budget):
            return False
        left = right
    return True


def _binary(run: Evaluator, node: Any, scope: Scope) -> Any:
    return binary(type(node).__name__, run.value(node.left, scope), run.value(node.right, scope), run.budget)


def _sign(run: Evaluator, node: Any, scope: Scope) -> Any:
    value = run.value(node.node, scope)
    refuse_undefined(value)
    if not isinstance(value, (int, float)):
        raise TypeError(f"{kind_of(value)} has no sign")
    return -value if isinstance(node, nodes.Neg) else +value


_EVALUATE: dict[str, Evaluate] = {
    "Const": lambda run, node, scope: bounded(node.value),
    "TemplateData": lambda run, node, scope: node.data,
    "Name": lambda run, node, scope: scope.find(node.name),
    "NSRef": lambda run, node, scope: run.attribute(scope.find(node.name), node.attr),
    "List": lambda run, node, scope: run.values(node.items, scope),
    "Tuple": lambda run, node, scope: tuple(run.values(node.items, scope)),
    "Dict": _dict,
    "CondExpr": _condition,
    "Filter": _filter,
    "Test": _test,
    "Call": _call,
    "Getattr": lambda run, node, scope: run.attribute(run.value(node.node, scope), node.attr),
    "Getitem": _item,
    "Concat": _concat,
    "Compare": _compare,
    "Not": lambda run, node, scope: not run.value(node.node, scope),
    "And": lambda run, node, scope: run.value(node.left, scope) and run.value(node.right, scope),
    "Or": lambda run, node, scope: run.value(node.left, scope) or run.value(node.right, scope),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"), _binary),
    **dict.fromkeys(("Neg", "Pos"), _sign),
}
