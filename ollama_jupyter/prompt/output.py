"""How a model writes what is not plain text: its thinking and its tool calls.

An `Output` belongs to a template or a named parser. It makes the parser that splits a streamed answer into pieces, and
tells grammars how calls are spelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ollama_jupyter.messages import Tool, ToolCall


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer: text, or thinking, or a call. `error` says why a `text` that began as a call is none."""

    text: str = ""
    thinking: str = ""
    call: ToolCall | None = None
    error: str = ""


class Parser(Protocol):
    """Splits one answer as it streams. Holds back no more than what may be the beginning of a tag."""

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are now certain."""

    def finish(self) -> list[Piece]:
        """What is left when the model has ended."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """The tags around a model's thinking."""

    open: str
    close: str


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """How calls are spelled: `before`, then calls with `between` among them, then `after`.

    A call is `begin` (with `{name}` where the name stands), its arguments, and `end`. `trigger`, the first part of
    `before` and `begin`, is what tells a call from prose: behind it a grammar holds. `arguments` is how these are
    written: as a JSON object, or as the XML-like tags or the Python keywords of some families.
    """

    trigger: str
    begin: str
    end: str
    before: str = ""
    between: str = ""
    after: str = ""
    arguments: Literal["json", "xml", "python"] = "json"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a parser needs to know of a request: the offered tools, whether thinking is wanted, the rendered prompt."""

    tools: Sequence[Tool] = ()
    think: bool = False
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """How one kind of model answers. `tags` are texts that its parser must see, even where they are control tokens."""

    name: str
    make: Callable[[Setup], Parser]
    thinking: Thinking | None = None
    calls: CallSyntax | None = None
    tags: tuple[str, ...] = ()


class _Plain:
    """All of it is text."""

    def feed(self, text: str) -> list[Piece]:
        return [Piece(text)] if text else []

    def finish(self) -> list[Piece]:
        return []


PLAIN = Output("plain", lambda _: _Plain())


def output_for(*, parser: str, kind: Literal["go", "jinja"], source: str | None, family: str = "") -> Output:
    """How the model answers: by the builtin `parser` of that name, else by what its template `source` shows.

    An unknown name is as none, which is Ollama's rule.
    """
    from ollama_jupyter.prompt.parsers import infer, named

    return named(parser) or infer(kind, source)


def _json_parser(setup: Setup) -> Parser:
    from ollama_jupyter.prompt.parsers import json_parser

    return json_parser(setup)


JSON_CALLS = Output(
    "json",
    _json_parser,
    calls=CallSyntax('{"name": "', '{"name": "{name}", "arguments": ', "}", between="\n"),
)
"""Bare JSON calls, one a line: for calls that are forced on models whose template knows no tools."""


def parser_capabilities(name: str) -> tuple[str, ...]:
    """What a model with the builtin parser `name` can do by it: "tools", "thinking"; nothing for an unknown name."""
    from ollama_jupyter.prompt.parsers import capabilities

    return capabilities(name)


def shows_thinking(template: str) -> bool:
    """Whether a template, of any language, has known tags of thinking in it."""
    from ollama_jupyter.prompt.parsers import thinking_shown

    return thinking_shown(template) is not None
