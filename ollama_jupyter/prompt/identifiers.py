"""Names of tools for models that are shown functions of a programming language and can call only such names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ollama_jupyter.messages import Message

_OTHER = re.compile(r"[^A-Za-z0-9_$]")


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """An identifier for each name, which is the name itself where that is one; no two names share one."""
    found: dict[str, str] = {}
    for name in names:
        if name not in found:
            found[name] = _free(_identifier(name), set(found.values()))
    return found


def _identifier(name: str) -> str:
    text = _OTHER.sub("_", name) or "unnamed"
    return f"_{text}" if text[0].isdigit() else text


def _free(wanted: str, taken: set[str]) -> str:
    count, name = 1, wanted
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    return name


def tool_names(tools: Sequence[Any]) -> list[str]:
    functions = (tool.get("function") for tool in tools if isinstance(tool, Mapping))
    return [str(function.get("name", "")) for function in functions if isinstance(function, Mapping)]


def renamed(messages: Sequence[Message], tools: Sequence[Any]) -> tuple[tuple[Message, ...], list[Any]]:
    """The conversation and its tools with identifiers in place of names."""
    names = identifiers(tool_names(tools))

    def of(name: str) -> str:
        return names.get(name) or _identifier(name) if name else ""

    told = tuple(
        replace(
            message,
            tool_name=of(message.tool_name),
            tool_calls=tuple(replace(call, name=of(call.name)) for call in message.tool_calls),
        )
        for message in messages
    )
    return told, [{**tool, "function": {**tool["function"], "name": of(_name(tool))}} for tool in tools]


def _name(tool: Mapping[str, Any]) -> str:
    return str(tool["function"].get("name", ""))
