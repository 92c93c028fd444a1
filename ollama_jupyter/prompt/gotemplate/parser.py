"""Tokens to nodes, after `text/template/parse`, with its error texts for the mistakes that people make."""

from __future__ import annotations

from ollama_jupyter.prompt.gotemplate.expressions import ExpressionParser
from ollama_jupyter.prompt.gotemplate.lexer import SPACES, Token, quote
from ollama_jupyter.prompt.gotemplate.nodes import Action, Branch, Invoke, Jump, Statement, Text
from ollama_jupyter.prompt.limits import check_source


def parse_source(source: str, functions: frozenset[str]) -> dict[str, list[Statement]]:
    """The bodies of the template (under the name "") and of all that it defines.

    Raises:
        TemplateError: with Go's text, `template: :LINE: ...`.
    """
    check_source(source)
    parser = _Parser(source, functions)
    parser.parse()
    return parser.bodies


class _Parser(ExpressionParser):
    def __init__(self, source: str, functions: frozenset[str]) -> None:
        super().__init__(source, functions)
        self.bodies: dict[str, list[Statement]] = {}
        self.loops = 0

    def parse(self) -> None:
        root: list[Statement] = []
        while self.peek().kind != "EOF":
            node = self.statement(top=True)
            if isinstance(node, Token):
                raise self.error(f"unexpected {{{{{node.value}}}}}")
            if node is not None:
                root.append(node)
        self.add("", root)

    def add(self, name: str, body: list[Statement]) -> None:
        if _is_blank(self.bodies.get(name, [])):
            self.bodies[name] = body
        elif not _is_blank(body):
            raise self.error(f"template: multiple definition of template {quote(name)}")

    def body(self) -> tuple[list[Statement], Token]:
        """Statements up to {{end}} or {{else}}, and that keyword."""
        statements: list[Statement] = []
        self.deeper()
        while self.peek_word().kind != "EOF":
            node = self.statement()
            if isinstance(node, Token):
                self.depth -= 1
                return statements, node
            if node is not None:
                statements.append(node)
        raise self.error("unexpected EOF")

    def statement(self, top: bool = False) -> Statement | Token | None:
        token = self.next_word()
        if token.kind == "text":
            return Text(token.pos, token.value)
        if token.kind != "{{":
            self.unexpected(token, "input")
        self.action_line = token.line
        try:
            return self.action(top)
        finally:
            self.action_line = 0

    def action(self, top: bool) -> Statement | Token | None:
        token = self.next_word()
        if token.kind == "keyword":
            if token.value in ("if", "with", "range"):
                return self.branch(token)
            if token.value == "end":
                self.expect("}}", "end")
                return token
            if token.value == "else":
                return self.otherwise(token)
            if token.value in ("break", "continue"):
                return self.jump(token)
            if token.value in ("template", "block"):
                return self.invoke(token)
            if token.value == "define" and top:
                self.define()
                return None
        self.back(token)
        start = self.peek_word()
        return Action(start.pos, self.pipeline("command", "}}"))

    def jump(self, token: Token) -> Jump:
        after = self.next_word()
        if after.kind != "}}":
            self.unexpected(after, f"{{{{{token.value}}}}}")
        if not self.loops:
            raise self.error(f"{{{{{token.value}}}}} outside {{{{range}}}}")
        return Jump(token.pos, token.value)

    def otherwise(self, token: Token) -> Token:
        after = self.peek_word()
        if after.kind != "keyword" or after.value not in ("if", "with"):
            self.expect("}}", "else")
        return token

    def branch(self, keyword: Token) -> Branch:
        known = len(self.variables)
        context = keyword.value
        pipe = self.pipeline(context, "}}")
        self.loops += context == "range"
        body, stop = self.body()
        self.loops -= context == "range"
        otherwise = self.else_part(context) if stop.value == "else" else None
        del self.variables[known:]
        return Branch(keyword.pos, context, pipe, body, otherwise)

    def else_part(self, context: str) -> list[Statement]:
        token = self.peek()
        if token.kind == "keyword" and token.value == context and context != "range":
            self.next()
            self.deeper()
            nested = self.branch(token)
            self.depth -= 1
            return [nested]
        body, stop = self.body()
        if stop.value != "end":
            raise self.error("expected end; found {{else}}")
        return body

    def define(self) -> None:
        name = self.template_name("define clause")
        self.expect("}}", "define clause")
        self.add(name, self.separate("define clause"))

    def separate(self, context: str) -> list[Statement]:
        """The body of a template of its own: it sees no variables and no loop from around it."""
        outside = self.variables, self.loops
        self.variables, self.loops = ["$"], 0
        body, stop = self.body()
        self.variables, self.loops = outside
        if stop.value != "end":
            raise self.error(f"unexpected {{{{else}}}} in {context}")
        return body

    def invoke(self, keyword: Token) -> Invoke:
        context = f"{keyword.value} clause"
        start = self.peek_word().pos
        name = self.template_name(context)
        pipe = None
        if keyword.value == "block" or self.peek_word().kind != "}}":
            pipe = self.pipeline(context, "}}")
        else:
            self.next_word()
        if keyword.value == "block":
            self.add(name, self.separate(context))
        return Invoke(start, name, pipe)

    def template_name(self, context: str) -> str:
        token = self.expect("string", context)
        return self.literal(token)


def _is_blank(body: list[Statement]) -> bool:
    return all(isinstance(node, Text) and not node.text.strip(SPACES) for node in body)
