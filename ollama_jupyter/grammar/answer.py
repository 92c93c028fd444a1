"""The grammar of one whole answer: thinking, then prose with calls, or calls, or what a format allows.

It holds from the first token on, so that the engine needs no triggers: prose is a lazy lexeme that ends where a call
begins. Forced calls are always JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ollama_jupyter.errors import BadRequest
from ollama_jupyter.grammar.arguments import can_hold, write
from ollama_jupyter.grammar.lark import Lark
from ollama_jupyter.grammar.schema import held
from ollama_jupyter.grammar.texts import choices, pattern
from ollama_jupyter.messages import Format, Tool, ToolChoice
from ollama_jupyter.prompt.output import CallSyntax, Output

AUTO = ToolChoice()
MAX_CALLS = 16
"""Calls in one forced answer."""

_HEADERS = {"harmony": ("<|start|>assistant", "<|channel|>final<|message|>")}
"""What an output writes before an answer that is no thinking: a part that may be there already, and the rest."""

_ANY_OBJECT = {"type": "object"}
_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


def check(form: Format | None, tools: Sequence[Tool]) -> None:
    """Refuse what no grammar can hold.

    Raises:
        BadRequest: naming the field, the keyword and its path.
    """
    if form is not None:
        _form(Lark({}), form)
    for tool in tools:
        held(_parameters(tool), _field(tool))


def plan(
    *,
    output: Output,
    specials: Mapping[str, int],
    tools: Sequence[Tool] = (),
    choice: ToolChoice = AUTO,
    parallel: bool = True,
    form: Format | None = None,
    think: bool = False,
    prompt: str = "",
) -> str | None:
    """The grammar, or None where nothing is to be held.

    Args:
        output: how the model writes thinking and calls.
        specials: the vocabulary's special tokens, text to id (`engine.constrain.specials`).
        think: thinking is wanted. It may be skipped, unless the `prompt` has opened it.
        prompt: the rendered prompt.

    Raises:
        BadRequest: naming the field, the keyword and its path.
    """
    lark = Lark(specials)
    offered = [] if choice.mode == "none" or output.calls is None else list(tools)
    if choice.mode == "required" and offered:
        named = [tool for tool in offered if not choice.name or _name(tool) == choice.name]
        many = parallel and not choice.name
        body = _forced(lark, _require_json(output.calls), named, many)
    elif form is not None:
        body = f"{_header(lark, output)} {_form(lark, form)}".strip()
        if offered and output.calls is not None and output.calls.arguments == "json":
            body = f"({body} | {_forced(lark, output.calls, offered, parallel, bounded=False)})"
    elif offered and output.calls is not None:
        return _prose(lark, output.calls, offered, parallel)
    else:
        return None
    return lark.text(f"{_thinking(lark, output, think, prompt)} {body}".strip())


# ---- parts --------------------------------------------------------------------------------------------------------


def _thinking(lark: Lark, output: Output, think: bool, prompt: str) -> str:
    """The thinking that comes first. White space behind it is as free as models are used to."""
    tags = output.thinking
    if tags is None:
        return ""
    opened = prompt.rstrip().endswith(tags.open.strip())
    if not opened and not think:
        return ""
    rest = f"{lark.until('thoughts', tags.close.strip())} GAP"
    lark.rule("GAP", r"/\s{0,4}/")
    return rest if opened else f"({lark.literal(tags.open.strip())} {rest})?"


def _header(lark: Lark, output: Output) -> str:
    if output.name not in _HEADERS:
        return ""
    start, channel = map(lark.literal, _HEADERS[output.name])
    return f"(({start})? {channel})?"


def _prose(lark: Lark, calls: CallSyntax, tools: Sequence[Tool], parallel: bool) -> str | None:
    """Free text in which every call that begins is one that a tool takes."""
    if not lark.is_plain(calls.trigger) and lark.literal(calls.trigger).count("<[") != 1:
        return None
    if not all(can_hold(calls.arguments, _parameters(tool)) for tool in tools):
        return None
    head, behind = calls.before or calls.begin, calls.trigger
    if not head.startswith(behind):
        return None
    begun = lark.until("begun", behind)
    if calls.before:
        body = _listed(lark, calls, [_call(lark, calls, i, tool) for i, tool in enumerate(tools)], parallel)
        call = f"{begun} {lark.literal(calls.before[len(behind) :])} {body}"
    else:
        made = [_call(lark, calls, i, tool, behind) for i, tool in enumerate(tools)]
        call = f"{begun} ({' | '.join(made)})"
    lark.rule("call", call)
    others = lark.others(behind)
    free = lark.rule("free", f"TEXT {others}") if others else ""
    if not parallel:
        return lark.text(f"{f'{free}*' if free else ''} (call | TEXT)")
    return lark.text(f"({f'call | {free}' if free else 'call'})* TEXT")


def _forced(lark: Lark, calls: CallSyntax, tools: Sequence[Tool], many: bool, *, bounded: bool = True) -> str:
    made = [_call(lark, calls, i, tool, bounded=bounded) for i, tool in enumerate(tools)]
    return f"{lark.literal(calls.before)} {_listed(lark, calls, made, many)}".strip()


def _listed(lark: Lark, calls: CallSyntax, made: Sequence[str], many: bool) -> str:
    one = lark.rule("one", " | ".join(made))
    more = f"({lark.literal(calls.between)} {one}){{0,{MAX_CALLS - 1}}}" if many else ""
    return f"{one} {more} {lark.literal(calls.after)}".strip()


def _call(lark: Lark, calls: CallSyntax, number: int, tool: Tool, behind: str = "", *, bounded: bool = False) -> str:
    """A rule for a call of `tool`, without the text `behind` that is already there."""
    begin = lark.literal(calls.begin.replace("{name}", _name(tool))[len(behind) :])
    name = f"call_{number}"
    body = write(lark, calls.arguments, _parameters(tool), name, _field(tool), bounded=bounded)
    return lark.rule(name, f"{begin} {body} {lark.literal(calls.end)}")


def _require_json(calls: CallSyntax | None) -> CallSyntax:
    if calls is None or calls.arguments != "json":
        raise BadRequest("calls can only be forced in JSON")  # the caller chooses JSON_CALLS there
    return calls


def _name(tool: Tool) -> str:
    return str((tool.get("function") or {}).get("name", ""))


def _field(tool: Tool) -> str:
    return f"tools.{_name(tool)}.parameters"


def _parameters(tool: Tool) -> dict[str, Any]:
    schema = (tool.get("function") or {}).get("parameters")
    return {**schema, "type": "object"} if schema else _NO_ARGUMENTS


def _form(lark: Lark, form: Format) -> str:
    if form.kind == "regex":
        return lark.rule("MATCH", pattern(form.value))
    if form.kind == "choice":
        return lark.rule("CHOICE", choices(form.value))
    schema = held(_ANY_OBJECT if form.kind == "json" else form.value, "format")
    return f"%json {json.dumps(schema)}"
