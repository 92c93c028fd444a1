"""Conversations before they are rendered: putting one together, and merging turns as Go templates expect them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ollama_jupyter.messages import Message, ToolCall


def assemble(
    model_system: str,
    model_messages: Sequence[Message],
    request_messages: Sequence[Message],
    *,
    forget_thinking: bool = False,
) -> tuple[Message, ...]:
    """What `/api/chat` renders: the model's SYSTEM unless the request opens with its own, its MESSAGEs, the request.

    `forget_thinking` takes `<think>...</think>` out of the assistant turns before the last user turn, as the qwen3
    family and deepseek-r1 were trained to see them.
    """
    own_system = bool(request_messages) and request_messages[0].role == "system"
    system = [Message("system", model_system)] if model_system and not own_system else []
    messages = (*system, *model_messages, *request_messages)
    return without_thinking(messages) if forget_thinking else messages


def for_generate(
    prompt: str,
    *,
    system: str | None,
    model_system: str,
    model_messages: Sequence[Message],
    has_context: bool,
    images: tuple[bytes, ...] = (),
) -> tuple[Message, ...]:
    """What `/api/generate` renders: the prompt as one user turn. A `context` stands in for the model's MESSAGEs."""
    text = system or model_system
    opening = [Message("system", text)] if text else []
    return (*opening, *(() if has_context else model_messages), Message("user", prompt, images=images))


def without_thinking(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with `<think>` blocks removed from every assistant turn before the last user turn."""
    last_user = max((i for i, m in enumerate(messages) if m.role == "user"), default=-1)
    return tuple(
        replace(m, content=_cut_thinking(m.content)) if m.role == "assistant" and i < last_user else m
        for i, m in enumerate(messages)
    )


def _cut_thinking(text: str) -> str:
    """`text` without its `<think>` blocks and the blanks behind each. An unclosed block stays."""
    kept, at = [], 0
    while (start := text.find("<think>", at)) >= 0 and (end := text.find("</think>", start)) >= 0:
        kept.append(text[at:start])
        at = end + len("</think>")
        while text[at : at + 1].isspace():
            at += 1
    return "".join([*kept, text[at:]])


def collate(messages: Iterable[Message]) -> tuple[str, list[Message]]:
    """The contents of all system turns joined, and the turns with neighbours of equal role merged.

    Tool results stay apart: each answers one call. The joint is a blank line in both.
    """
    system: list[str] = []
    merged: list[Message] = []
    for message in messages:
        if message.role == "system":
            system.append(message.content)
        if merged and merged[-1].role == message.role != "tool":
            last = merged[-1]
            merged[-1] = replace(
                last, content=f"{last.content}\n\n{message.content}", images=last.images + message.images
            )
        else:
            merged.append(message)
    return "\n\n".join(system), merged


def linked(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with every call of a tool, and every result, knowing the other: by id and by name.

    Clients of Ollama send results in the order of the calls, often without an id and sometimes without a name; some
    templates refuse that.
    """
    open_calls: list[ToolCall] = []
    done: list[Message] = []
    for message in messages:
        if message.tool_calls:
            calls = tuple(
                call if call.id else replace(call, id=_call_id(len(done), i))
                for i, call in enumerate(message.tool_calls)
            )
            open_calls = [*calls]
            message = replace(message, tool_calls=calls)
        elif message.role == "tool":
            message = _answering(message, open_calls)
        done.append(message)
    return tuple(done)


def _call_id(place: int, index: int) -> str:
    """Nine letters and digits, which is what the strictest templates (Mistral's) take."""
    return f"call{place % 1000:03d}{index % 100:02d}"


def _answering(result: Message, open_calls: list[ToolCall]) -> Message:
    """The result of the call that it names, else of the first that is still unanswered; that one is taken out."""
    by_id = [call for call in open_calls if result.tool_call_id and call.id == result.tool_call_id]
    by_name = [call for call in open_calls if result.tool_name and call.name == result.tool_name]
    call = next(iter(by_id or ([] if result.tool_call_id else by_name or open_calls)), None)
    if call is None:
        return result
    open_calls.remove(call)
    return replace(result, tool_call_id=call.id, tool_name=result.tool_name or call.name)
