"""What the tests of parsers share: the tools, and an answer taken apart however it is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ollama_jupyter.prompt.output import Output, Piece, Setup

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {"type": "integer"},
                    "units": {"type": "array"},
                    "exact": {"type": ["boolean", "null"]},
                    "place": {"type": "object"},
                },
            },
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
]


def merged(pieces: Iterable[Piece]) -> list[Any]:
    """Neighbours of one kind joined: `("text", ...)`, `("thinking", ...)`, `("error", ...)`, `(name, arguments)`."""
    found: list[Any] = []
    for piece in pieces:
        if piece.call:
            found.append((piece.call.name, dict(piece.call.arguments)))
            continue
        kind = "error" if piece.error else "text" if piece.text else "thinking"
        text = piece.text or piece.thinking
        if found and found[-1][0] == kind != "error":
            found[-1] = (kind, found[-1][1] + text)
        elif text:
            found.append((kind, text))
    return found


def parse(output: Output, parts: Sequence[str], **setup: Any) -> list[Any]:
    given = {"tools": TOOLS, "think": bool(output.thinking), **setup}
    parser = output.make(Setup(**given))
    pieces = [piece for part in parts for piece in parser.feed(part)]
    return merged([*pieces, *parser.finish()])


def cuts(text: str) -> Iterator[list[str]]:
    """The text whole, cut in two at every place, and letter by letter."""
    yield [text]
    yield list(text)
    for place in range(1, len(text)):
        yield [text[:place], text[place:]]
