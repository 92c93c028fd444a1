"""Statements of a chat template: output, loops, conditions, assignments, macros."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jinja2 import nodes

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.jinja.evaluator import Evaluator, Scope
from ollama_jupyter.prompt.jinja.values import Function, Loop, Namespace, Undefined, items_of, text
from ollama_jupyter.prompt.limits import Budget


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Interpreter(Evaluator):
    """One run of a template. `out` is where statements write: the prompt, or a macro's or block's own text."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.out: list[str] = []
        self.capturing = False

    def run(self, template: nodes.Template, names: dict[str, Any]) -> str:
        """The text of the template with these names.

        Raises:
            TemplateError: the template refuses, uses a value wrongly, or runs over its limits.
        """
        try:
            self.body(template.body, Scope({}, Scope(names)))
        except RecursionError:
            raise TemplateError("chat template is nested too deeply to run") from None
        except (TypeError, ValueError, ArithmeticError, LookupError, MemoryError) as error:
            raise TemplateError(f"chat template, line {self.line}: {error}") from None
        return "".join(self.out)

    def write(self, piece: str) -> None:
        pay = self.budget.characters if self.capturing else self.budget.output
        pay(len(piece))
        self.out.append(piece)

    def captured(self, body: Sequence[nodes.Node], scope: Scope) -> str:
        outside = self.out, self.capturing
        self.out, self.capturing = [], True
        try:
            self.body(body, scope)
            self.budget.characters(sum(map(len, self.out)))
            return "".join(self.out)
        finally:
            self.out, self.capturing = outside

    def body(self, statements: Iterable[nodes.Node], scope: Scope) -> None:
        for node in statements:
            self.budget.step()
            self.line = node.lineno
            run = _RUN.get(type(node).__name__)
            if run is None:
                raise TemplateError(f"chat template, line {node.lineno}: {type(node).__name__} is not supported")
            run(self, node, scope)

    # ---- assignment

    def assign(self, target: nodes.Node, value: Any, scope: Scope) -> None:
        if isinstance(target, nodes.Name):
            scope.names[target.name] = value
        elif isinstance(target, nodes.NSRef):
            self.assign_in_namespace(target, value, scope)
        elif isinstance(target, (nodes.Tuple, nodes.List)):
            items = items_of(value, self.budget)
            if len(items) != len(target.items):
                raise ValueError(f"cannot unpack {len(items)} values into {len(target.items)} names")
            for part, item in zip(target.items, items, strict=True):
                self.assign(part, item, scope)
        else:
            raise TemplateError(f"chat template, line {self.line}: cannot assign to {type(target).__name__}")

    def assign_in_namespace(self, target: nodes.NSRef, value: Any, scope: Scope) -> None:
        space = scope.find(target.name)
        if not isinstance(space, Namespace):
            raise TemplateError("cannot assign attribute on non-namespace object")
        space.values[target.attr] = value

    # ---- loops

    def loop(self, node: nodes.For, scope: Scope) -> None:
        self.iterate(node, self.value(node.iter, scope), scope, 0)

    def iterate(self, node: nodes.For, iterable: Any, scope: Scope, depth: int) -> None:
        items = items_of(iterable, self.budget)
        if node.test is not None:
            items = [item for item in items if self.passes(node, item, scope)]
        loop = Loop(items, depth, self.recursion(node, scope, depth) if node.recursive else None, self.budget)
        for index, item in enumerate(items):
            self.budget.step()
            loop.index0 = index
            inner = Scope({"loop": loop}, scope)
            self.assign(node.target, item, inner)
            try:
                self.body(node.body, inner)
            except _Continue:
                continue
            except _Break:
                break
        if not items:
            self.body(node.else_, Scope({}, scope))

    def passes(self, node: nodes.For, item: Any, scope: Scope) -> bool:
        inner = Scope({}, scope)
        self.assign(node.target, item, inner)
        return bool(node.test is None or self.value(node.test, inner))

    def recursion(self, node: nodes.For, scope: Scope, depth: int) -> Any:
        def render(iterable: Any) -> str:
            outside = self.out, self.capturing
            self.out, self.capturing = [], True
            try:
                self.iterate(node, iterable, scope, depth + 1)
                return "".join(self.out)
            finally:
                self.out, self.capturing = outside

        return render

    # ---- macros

    def macro(self, node: Any, scope: Scope, name: str) -> Function:
        def call(*args: Any, **kwargs: Any) -> str:
            inner = Scope({}, scope)
            rest = self.bind(node, inner, args, kwargs)
            inner.names.update(varargs=rest, kwargs=kwargs)
            return self.captured(node.body, inner)

        return Function(name, call)

    def bind(self, node: Any, inner: Scope, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Give the macro's parameters their values, and return the positional ones left over."""
        if "caller" in kwargs:
            inner.names["caller"] = kwargs.pop("caller")
        without_default = len(node.args) - len(node.defaults)
        for place, parameter in enumerate(node.args):
            name = parameter.name
            if place < len(args):
                inner.names[name] = args[place]
            elif name in kwargs:
                inner.names[name] = kwargs.pop(name)
            elif place >= without_default:
                inner.names[name] = self.value(node.defaults[place - without_default], inner)
            else:
                inner.names[name] = Undefined(f"parameter '{name}' was not provided")
        return args[len(node.args) :]


# ---- one function a statement


def _output(run: Interpreter, node: nodes.Output, scope: Scope) -> None:
    for part in node.nodes:
        run.write(part.data if isinstance(part, nodes.TemplateData) else text(run.value(part, scope), run.budget))


def _if(run: Interpreter, node: nodes.If, scope: Scope) -> None:
    if run.value(node.test, scope):
        run.body(node.body, scope)
        return
    for branch in node.elif_:
        if run.value(branch.test, scope):
            run.body(branch.body, scope)
            return
    run.body(node.else_, scope)


def _assign(run: Interpreter, node: nodes.Assign, scope: Scope) -> None:
    run.assign(node.target, run.value(node.node, scope), scope)


def _assign_block(run: Interpreter, node: nodes.AssignBlock, scope: Scope) -> None:
    value = run.captured(node.body, Scope({}, scope))
    run.assign(node.target, _filtered(run, node.filter, value, scope), scope)


def _filtered(run: Interpreter, node: nodes.Filter | None, value: Any, scope: Scope) -> Any:
    """A chain of filters whose innermost has no value of its own but the block's."""
    if node is None:
        return value
    inner = _filtered(run, node.node, value, scope) if isinstance(node.node, nodes.Filter) else value
    args, kwargs = run.arguments(node, scope)
    return run.filter(node.name, inner, args, kwargs)


def _filter_block(run: Interpreter, node: nodes.FilterBlock, scope: Scope) -> None:
    value = run.captured(node.body, Scope({}, scope))
    run.write(text(_filtered(run, node.filter, value, scope), run.budget))


def _with(run: Interpreter, node: nodes.With, scope: Scope) -> None:
    inner = Scope({}, scope)
    for target, value in zip(node.targets, run.values(node.values, scope), strict=True):
        run.assign(target, value, inner)
    run.body(node.body, inner)


def _macro(run: Interpreter, node: nodes.Macro, scope: Scope) -> None:
    scope.names[node.name] = run.macro(node, scope, node.name)


def _call_block(run: Interpreter, node: nodes.CallBlock, scope: Scope) -> None:
    function = run.value(node.call.node, scope)
    args, kwargs = run.arguments(node.call, scope)
    run.write(text(run.call(function, args, {**kwargs, "caller": run.macro(node, scope, "caller")}), run.budget))


def _jump(run: Interpreter, node: nodes.Node, scope: Scope) -> None:
    raise _Break if isinstance(node, nodes.Break) else _Continue


_RUN: dict[str, Callable[[Interpreter, Any, Scope], None]] = {
    "Output": _output,
    "If": _if,
    "For": Interpreter.loop,
    "Assign": _assign,
    "AssignBlock": _assign_block,
    "FilterBlock": _filter_block,
    "With": _with,
    "Macro": _macro,
    "CallBlock": _call_block,
    "Break": _jump,
    "Continue": _jump,
    "ExprStmt": lambda run, node, scope: run.value(node.node, scope),
}
