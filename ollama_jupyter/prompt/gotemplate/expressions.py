"""Tokens to the expressions inside an action: pipelines, commands, operands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.gotemplate.lexer import Token, quote, tokens
from ollama_jupyter.prompt.gotemplate.literals import number, unquote, unquote_char
from ollama_jupyter.prompt.gotemplate.nodes import (
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Literal,
    Nil,
    Operand,
    Pipe,
    Variable,
)
from ollama_jupyter.prompt.limits import MAX_DEPTH

MAX_VARIABLES = 1000
_OPERANDS = frozenset(["bool", "char", "field", "identifier", "number", "string", "variable", "("])


class ExpressionParser:
    """Reads pipelines. `variables` are those in scope; `line` is the line of the latest token, for errors."""

    def __init__(self, source: str, functions: frozenset[str]) -> None:
        self.functions = functions
        self.stream: Iterator[Token] = tokens(source)
        self.pushed: list[Token] = []
        self.line = 1
        self.action_line = 0
        self.variables = ["$"]
        self.depth = 0

    # ---- tokens

    def next(self) -> Token:
        if self.pushed:
            return self.pushed.pop()
        token = next(self.stream)
        self.line = token.line
        return token

    def back(self, *read: Token) -> None:
        self.pushed.extend(reversed(read))

    def peek(self) -> Token:
        token = self.next()
        self.back(token)
        return token

    def next_word(self) -> Token:
        token = self.next()
        while token.kind == "space":
            token = self.next()
        return token

    def peek_word(self) -> Token:
        token = self.next_word()
        self.back(token)
        return token

    def error(self, message: str) -> TemplateError:
        return TemplateError(f"template: :{self.line}: {message}")

    def unexpected(self, token: Token, context: str) -> NoReturn:
        if token.kind != "error":
            raise self.error(f"unexpected {token} in {context}")
        if self.action_line and self.action_line != token.line:
            place = " started" if token.value.endswith(" action") else " in action started"
            raise self.error(f"{token}{place} at :{self.action_line}")
        raise self.error(token.value)

    def expect(self, kind: str, context: str) -> Token:
        token = self.next_word()
        if token.kind != kind:
            self.unexpected(token, context)
        return token

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"nested more than {MAX_DEPTH} deep")

    # ---- expressions

    def pipeline(self, context: str, end: str) -> Pipe:
        pipe = Pipe(self.peek_word().pos, [])
        self.declarations(pipe, context)
        while True:
            token = self.next_word()
            if token.kind == end:
                self.check(pipe, context)
                return pipe
            if token.kind not in _OPERANDS and not (token.kind == "keyword" and token.value in (".", "nil")):
                self.unexpected(token, context)
            self.back(token)
            pipe.commands.append(self.command())

    def declarations(self, pipe: Pipe, context: str) -> None:
        while self.peek_word().kind == "variable":
            variable = self.next_word()
            after = self.next()
            following = self.next_word() if after.kind == "space" else after
            if following.kind in ("assign", "declare"):
                pipe.assigns = following.kind == "assign"
                self.declare(pipe, variable)
                return
            if (following.kind, following.value) != ("punctuation", ","):
                self.back(variable, *([after] if after.kind == "space" else []), following)
                return
            self.declare(pipe, variable)
            if context != "range" or len(pipe.declared) == 2:
                raise self.error(f"too many declarations in {context}")
            if self.peek_word().kind not in ("variable", "}}", ")"):
                raise self.error("range can only initialize variables")

    def declare(self, pipe: Pipe, variable: Token) -> None:
        pipe.declared.append(variable.value)
        if len(self.variables) >= MAX_VARIABLES:
            raise self.error(f"declares more than {MAX_VARIABLES} variables")
        self.variables.append(variable.value)

    def check(self, pipe: Pipe, context: str) -> None:
        if not pipe.commands:
            raise self.error(f"missing value for {context}")
        for stage, command in enumerate(pipe.commands[1:], 2):
            if isinstance(command.args[0], (Literal, Dot, Nil)):
                raise self.error(f"non executable command in pipeline stage {stage}")

    def command(self) -> Command:
        command = Command(self.peek_word().pos, [])
        while True:
            self.peek_word()
            operand = self.operand()
            if operand is not None:
                command.args.append(operand)
            token = self.next()
            if token.kind == "space":
                continue
            if token.kind in ("}}", ")"):
                self.back(token)
            elif token.kind != "pipe":
                self.unexpected(token, "operand")
            break
        if not command.args:
            raise self.error("empty command")
        return command

    def operand(self) -> Operand | None:
        node = self.term()
        if node is None or self.peek().kind != "field":
            return node
        start = self.peek().pos
        names: list[str] = []
        while self.peek().kind == "field":
            names.append(self.next().value[1:])
        if isinstance(node, (Field, Variable)):
            return type(node)(start, node.names + names)
        if isinstance(node, (Literal, Nil, Dot)):
            raise self.error(f"unexpected . after term {quote(str(node))}")
        return Chain(start, node, names)

    def term(self) -> Operand | None:
        token = self.next_word()
        match token.kind:
            case "identifier":
                if token.value not in self.functions:
                    raise self.error(f"function {quote(token.value)} not defined")
                return Identifier(token.pos, token.value)
            case "keyword" if token.value in (".", "nil"):
                return Dot(token.pos) if token.value == "." else Nil(token.pos)
            case "variable":
                if token.value not in self.variables:
                    raise self.error(f"undefined variable {quote(token.value)}")
                return Variable(token.pos, [token.value])
            case "field":
                return Field(token.pos, [token.value[1:]])
            case "bool":
                return Literal(token.pos, token.value == "true", token.value)
            case "string":
                return Literal(token.pos, self.literal(token), token.value)
            case "char" | "number":
                return Literal(token.pos, self.constant(token), token.value)
            case "(":
                self.deeper()
                pipe = self.pipeline("parenthesized pipeline", ")")
                self.depth -= 1
                return pipe
        self.back(token)
        return None

    def literal(self, token: Token) -> str:
        try:
            return unquote(token.value)
        except ValueError:
            raise self.error("invalid syntax") from None

    def constant(self, token: Token) -> int | float:
        try:
            return unquote_char(token.value) if token.kind == "char" else number(token.value)
        except ValueError as error:
            raise self.error(str(error)) from None
