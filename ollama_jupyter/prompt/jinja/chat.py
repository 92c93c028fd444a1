"""Conversations by a chat template: what Hugging Face passes to it, in the shape that the template takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.conversation import linked
from ollama_jupyter.prompt.jinja.run import render
from ollama_jupyter.prompt.jinja.traits import Traits, traits

# What a model whose GGUF has no chat template is given, as by llama.cpp.
CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

# Stands at the end of a turn that is to be continued. Its trailing space tells whether the template trims contents.
_CONTINUE = "<|continue-from-here-7f3a|> "


def render_chat(
    source: str | None,
    messages: Sequence[Message],
    *,
    bos: str = "",
    eos: str = "",
    think: bool | str | None = None,
    tools: Sequence[Any] = (),
) -> str:
    """The prompt of a conversation. A trailing assistant turn is left open, so that the model continues it.

    Args:
        source: the template; None for chatml.
        think: passed as `enable_thinking` and `thinking`, and as `reasoning_effort` where it is a level.
        tools: as Ollama's wire has them, which is also what Hugging Face's templates take.

    Raises:
        TemplateError: the template does not parse, refuses the conversation, or runs over its limits.
    """
    source = CHATML if source is None else source
    takes = traits(source)
    offered = list(tools) or ([] if takes.tools_list else None)
    names = {"bos_token": bos, "eos_token": eos, "tools": offered, "documents": None, **_thinking(think)}
    messages = linked(messages)
    if not takes.system:
        messages = _without_system(messages)
    turns = [_turn(message, takes) for message in messages]
    last = messages[-1] if messages else None
    if last is None or last.role != "assistant" or last.tool_calls:
        return render(source, {**names, "messages": turns, "add_generation_prompt": True})
    return _continued(source, names, turns, last.content, takes)


def _thinking(think: bool | str | None) -> dict[str, Any]:
    """Every name by which published templates ask for thinking; without a wish they follow their own default."""
    names: dict[str, Any] = {}
    if think is not None:
        names["enable_thinking"] = names["thinking"] = bool(think)
    if isinstance(think, str) and think:
        # No published template has a level above high.
        names["reasoning_effort"] = "high" if think == "max" else think
    return names


def _continued(source: str, names: dict[str, Any], turns: list[dict[str, Any]], content: str, takes: Traits) -> str:
    """The prompt up to the end of the last turn's content, without what the template puts after it."""
    if content.strip():
        marked = [*turns[:-1], {**turns[-1], "content": _content(content + _CONTINUE, takes)}]
        rendered = render(source, {**names, "messages": marked, "add_generation_prompt": False})
        before, mark, after = rendered.rpartition(_CONTINUE.strip())
        if mark and content.strip() in before:
            return before if after.startswith(" ") else before.rstrip()
    # Nothing to continue, or the template rewrites old answers: what a new answer begins with, and the content.
    return render(source, {**names, "messages": turns[:-1], "add_generation_prompt": True}) + content


# ---- what the template takes ----------------------------------------------------------------------------------------


def _without_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The system messages, for a template that knows none, in front of the user turn that follows them."""
    kept: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message.role == "system":
            waiting.append(message.content)
        elif waiting and message.role == "user":
            kept.append(replace(message, content="\n\n".join([*waiting, message.content])))
            waiting = []
        else:
            kept.append(message)
    return (*kept, Message("user", "\n\n".join(waiting))) if waiting else tuple(kept)


def _turn(message: Message, takes: Traits) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": _content(message.content, takes)}
    if message.thinking:
        turn["reasoning_content"] = turn["thinking"] = message.thinking
    if message.tool_calls:
        turn["tool_calls"] = [_call(call, takes) for call in message.tool_calls]
    if message.tool_name:
        turn["name"] = message.tool_name
    if message.tool_call_id:
        turn["tool_call_id"] = _id(message.tool_call_id, takes)
    return turn


def _content(text: str, takes: Traits) -> Any:
    return text if takes.text else [{"type": "text", "text": text}]


def _call(call: ToolCall, takes: Traits) -> dict[str, Any]:
    function = {"name": call.name, "arguments": _arguments(call.arguments, takes)}
    return {"type": "function", "id": _id(call.id, takes), "function": function}


def _arguments(arguments: Mapping[str, Any], takes: Traits) -> Any:
    return dict(arguments) if takes.objects else json.dumps(dict(arguments), ensure_ascii=False)


def _id(call_id: str, takes: Traits) -> str:
    """The id, or where the template insists on nine letters and digits, nine that follow from it."""
    if not takes.short_ids or (len(call_id) == 9 and call_id.isalnum()):
        return call_id
    return hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:9]
