"""The parsed template. Nodes carry their position in the source, and print as Go prints them in error messages."""

from __future__ import annotations

from dataclasses import dataclass, field

from ollama_jupyter.prompt.gotemplate.lexer import quote


@dataclass(slots=True)
class Node:
    pos: int


@dataclass(slots=True)
class Text(Node):
    text: str


@dataclass(slots=True)
class Literal(Node):
    """A bool, string, number or character constant. `source` is its spelling."""

    value: bool | str | int | float
    source: str

    def __str__(self) -> str:
        return self.source


@dataclass(slots=True)
class Nil(Node):
    def __str__(self) -> str:
        return "nil"


@dataclass(slots=True)
class Dot(Node):
    def __str__(self) -> str:
        return "."


@dataclass(slots=True)
class Field(Node):
    names: list[str]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass(slots=True)
class Variable(Node):
    """`names[0]` is the variable with its dollar sign, the rest a field chain."""

    names: list[str]

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(slots=True)
class Identifier(Node):
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True)
class Command(Node):
    args: list[Operand]

    def __str__(self) -> str:
        return " ".join(f"({arg})" if isinstance(arg, Pipe) else str(arg) for arg in self.args)


@dataclass(slots=True)
class Pipe(Node):
    commands: list[Command]
    declared: list[str] = field(default_factory=list)
    assigns: bool = False

    @property
    def last(self) -> Operand:
        """The operand that was evaluated last, where Go places an error of what uses the pipe."""
        return self.commands[-1].args[-1]

    def __str__(self) -> str:
        text = " | ".join(map(str, self.commands))
        if not self.declared:
            return text
        return f"{', '.join(self.declared)} {'=' if self.assigns else ':='} {text}"


@dataclass(slots=True)
class Chain(Node):
    """A field chain on a parenthesized pipeline or a function's result."""

    base: Operand
    names: list[str]

    def __str__(self) -> str:
        base = f"({self.base})" if isinstance(self.base, Pipe) else str(self.base)
        return base + "".join(f".{name}" for name in self.names)


Operand = Literal | Nil | Dot | Field | Variable | Identifier | Pipe | Chain


@dataclass(slots=True)
class Action(Node):
    pipe: Pipe


@dataclass(slots=True)
class Branch(Node):
    """if, with or range."""

    keyword: str
    pipe: Pipe
    body: list[Statement]
    otherwise: list[Statement] | None


@dataclass(slots=True)
class Invoke(Node):
    """{{template}}, and the use of a {{block}}."""

    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        return f"{{{{template {quote(self.name)}{f' {self.pipe}' if self.pipe else ''}}}}}"


@dataclass(slots=True)
class Jump(Node):
    """break or continue."""

    keyword: str


Statement = Text | Action | Branch | Invoke | Jump
