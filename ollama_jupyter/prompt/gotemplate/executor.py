"""Running a parsed template over plain data, after `text/template`'s exec.go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.gotemplate.funcs import FUNCTIONS, FunctionError
from ollama_jupyter.prompt.gotemplate.lexer import quote
from ollama_jupyter.prompt.gotemplate.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Invoke,
    Jump,
    Literal,
    Nil,
    Node,
    Operand,
    Pipe,
    Statement,
    Text,
    Variable,
)
from ollama_jupyter.prompt.gotemplate.values import Struct, is_true, kind, text_of, type_name
from ollama_jupyter.prompt.limits import MAX_DEPTH, Budget

# How much of the failing expression an error quotes.
_CONTEXT = 200


class _Missing:
    """No value was piped in, which is not the same as a nil."""


MISSING = _Missing()


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


@dataclass(slots=True)
class Executor:
    """One run. `bodies` are all templates by name; `source` is their text, for the place of an error."""

    source: str
    bodies: Mapping[str, Sequence[Statement]]
    budget: Budget
    out: list[str] = field(default_factory=list)
    name: str = ""
    depth: int = 0
    variables: list[tuple[str, Any]] = field(default_factory=list)

    def run(self, name: str, dot: Any) -> str:
        self.variables = [("$", dot)]
        self.walk(dot, self.bodies[name])
        return "".join(self.out)

    def error(self, node: Node, message: str) -> TemplateError:
        before = self.source[: node.pos]
        column = len(before[before.rfind("\n") + 1 :].encode("utf-8", "replace"))
        place = f"{before.count(chr(10)) + 1}:{column}"
        return TemplateError(f"template: :{place}: executing {quote(self.name)} at <{str(node)[:_CONTEXT]}>: {message}")

    # ---- statements

    def walk(self, dot: Any, statements: Iterable[Statement]) -> None:
        for node in statements:
            self.budget.step()
            if isinstance(node, Text):
                self.write(node.text)
            elif isinstance(node, Action):
                value = self.pipeline(dot, node.pipe)
                if not node.pipe.declared:
                    self.write(text_of(value, self.budget, "<no value>"))
            elif isinstance(node, Branch):
                self.branch(dot, node)
            elif isinstance(node, Invoke):
                self.invoke(dot, node)
            elif isinstance(node, Jump):
                raise _Break if node.keyword == "break" else _Continue

    def write(self, text: str) -> None:
        self.budget.output(len(text))
        self.out.append(text)

    def branch(self, dot: Any, node: Branch) -> None:
        mark = len(self.variables)
        try:
            value = self.pipeline(dot, node.pipe)
            if node.keyword == "range":
                self.loop(dot, node, value)
            elif is_true(value):
                self.walk(value if node.keyword == "with" else dot, node.body)
            else:
                self.walk(dot, node.otherwise or ())
        finally:
            del self.variables[mark:]

    def loop(self, dot: Any, node: Branch, value: Any) -> None:
        ran = False
        mark = len(self.variables)
        for key, item in self.iterate(node, value):
            ran = True
            self.budget.step()
            self.bind(node.pipe, key, item)
            try:
                self.walk(item, node.body)
            except _Continue:
                continue
            except _Break:
                break
            finally:
                del self.variables[mark:]
        if not ran:
            self.walk(dot, node.otherwise or ())

    def iterate(self, node: Branch, value: Any) -> Iterable[tuple[Any, Any]]:
        if value is None:
            return ()
        if isinstance(value, Mapping):
            self.budget.step(len(value))
            return ((key, value[key]) for key in sorted(value))
        if kind(value) == "int":
            if len(node.pipe.declared) > 1:
                raise self.error(node.pipe.last, f"can't use {value} to iterate over more than one variable")
            return ((None, number) for number in range(value))
        if isinstance(value, Sequence) and not isinstance(value, str):
            return enumerate(value)
        raise self.error(node.pipe.last, f"range can't iterate over {text_of(value, self.budget)}")

    def bind(self, pipe: Pipe, key: Any, item: Any) -> None:
        """Give the loop's variables their values. Declared ones are the latest on the stack."""
        values = [key, item] if len(pipe.declared) > 1 else [item]
        for place, (name, value) in enumerate(zip(pipe.declared, values, strict=False)):
            if pipe.assigns:
                self.assign(pipe, name, value)
            else:
                self.variables[len(self.variables) - len(pipe.declared) + place] = (name, value)

    def invoke(self, dot: Any, node: Invoke) -> None:
        body = self.bodies.get(node.name)
        if body is None:
            raise self.error(node, f"template {quote(node.name)} not defined")
        if self.depth >= MAX_DEPTH:
            raise self.error(node, f"exceeded maximum template depth ({MAX_DEPTH})")
        inner = self.pipeline(dot, node.pipe) if node.pipe else None
        outside = self.name, self.variables
        self.name, self.variables = node.name, [("$", inner)]
        self.depth += 1
        self.walk(inner, body)
        self.depth -= 1
        self.name, self.variables = outside

    # ---- expressions

    def pipeline(self, dot: Any, pipe: Pipe) -> Any:
        value: Any = MISSING
        for command in pipe.commands:
            value = self.command(dot, command, value)
        for name in pipe.declared:
            if pipe.assigns:
                self.assign(pipe, name, value)
            else:
                self.variables.append((name, value))
        return value

    def assign(self, pipe: Pipe, name: str, value: Any) -> None:
        self.budget.step(1 + len(self.variables) // 16)
        for place in range(len(self.variables) - 1, -1, -1):
            if self.variables[place][0] == name:
                self.variables[place] = (name, value)
                return
        raise self.error(pipe.last, f"undefined variable: {name}")

    def variable(self, node: Variable) -> Any:
        self.budget.step(1 + len(self.variables) // 16)
        for name, value in reversed(self.variables):
            if name == node.names[0]:
                return value
        raise self.error(node, f"undefined variable: {node.names[0]}")

    def command(self, dot: Any, command: Command, final: Any) -> Any:
        first = command.args[0]
        self.budget.step()
        if isinstance(first, Identifier):
            return self.call(dot, first, command.args[1:], final, command)
        has_arguments = len(command.args) > 1 or final is not MISSING
        if has_arguments:
            self.refuse_arguments(first)
        if isinstance(first, Nil):
            raise self.error(first, "nil is not a command")
        return self.operand(dot, first)

    def refuse_arguments(self, node: Operand) -> NoReturn:
        if isinstance(node, (Field, Chain)) or (isinstance(node, Variable) and len(node.names) > 1):
            raise self.error(node, f"{node.names[-1]} is not a method but has arguments")
        raise self.error(node, f"can't give argument to non-function {node}")

    def operand(self, dot: Any, node: Operand) -> Any:
        self.budget.step()
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Dot):
            return dot
        if isinstance(node, Nil):
            return None
        if isinstance(node, Field):
            return self.fields(node, dot, node.names)
        if isinstance(node, Variable):
            return self.fields(node, self.variable(node), node.names[1:])
        if isinstance(node, Pipe):
            return self.pipeline(dot, node)
        if isinstance(node, Identifier):
            return self.call(dot, node, [], MISSING)
        if isinstance(node.base, Nil):
            raise self.error(node, f"indirection through explicit nil in {node}")
        return self.fields(node, self.operand(dot, node.base), node.names)

    def fields(self, node: Node, value: Any, names: Sequence[str]) -> Any:
        for place, name in enumerate(names):
            value = self.one_field(node, value, name, first=place == 0)
        return value

    def one_field(self, node: Node, value: Any, name: str, *, first: bool) -> Any:
        if isinstance(value, Mapping):
            return value.get(name)
        if isinstance(value, Struct):
            if name in value.fields:
                return value.fields[name][1]
        elif value is None:
            # A nil that a pipeline handed on has no type left to object to; one inside a chain has.
            if first:
                return None
            raise self.error(node, f"nil pointer evaluating interface {{}}.{name}")
        # What comes out of a map has the map's type until it is looked into.
        seen = type_name(value) if first or isinstance(value, Struct) else "interface {}"
        raise self.error(node, f"can't evaluate field {name} in type {seen}")

    # ---- functions

    def call(
        self, dot: Any, node: Identifier, args: Sequence[Operand], final: Any, command: Command | None = None
    ) -> Any:
        if node.name in ("and", "or"):
            return self.choose(dot, node, args, final)
        values = [self.operand(dot, arg) for arg in args]
        if final is not MISSING:
            values.append(final)
        if node.name == "call":
            raise self.error(command or node, "error calling call: " + _call_problem(args, values))
        function = FUNCTIONS[node.name]
        self.check_count(node, len(args), len(values))
        try:
            return function.call(self.budget, *values)
        except FunctionError as error:
            raise self.error(command or node, f"error calling {node.name}: {error}") from None

    def check_count(self, node: Identifier, given: int, count: int) -> None:
        function = FUNCTIONS[node.name]
        if function.most is None and count < function.least:
            raise self.error(node, f"wrong number of args for {node.name}: want at least {function.least} got {given}")
        if function.most is not None and count != function.most:
            raise self.error(node, f"wrong number of args for {node.name}: want {function.most} got {count}")

    def choose(self, dot: Any, node: Identifier, args: Sequence[Operand], final: Any) -> Any:
        """`and` and `or`: the first argument that decides, the later ones not evaluated."""
        if not args and final is MISSING:
            raise self.error(node, f"wrong number of args for {node.name}: want at least 1 got 0")
        value: Any = None
        for arg in args:
            value = self.operand(dot, arg)
            if is_true(value) == (node.name == "or"):
                return value
        return value if final is MISSING else final


def _call_problem(args: Sequence[Operand], values: Sequence[Any]) -> str:
    if not values or values[0] is None:
        return "call of nil"
    return f"non-function {args[0] if args else ''} of type {type_name(values[0])}"
