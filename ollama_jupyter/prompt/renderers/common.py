"""What renderers share: JSON as templates print it, where a dialogue stands, and answers that are continued."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.messages import Message
from ollama_jupyter.prompt.limits import MAX_TEXT

Think = bool | str | None
Render = Callable[[Sequence[Message], Sequence[Any], Think], str]
"""Makes the prompt of a conversation from its messages, the offered tools and whether to think."""


def tojson(value: Any) -> str:
    """JSON as Hugging Face's templates print it: blanks behind separators, keys in their order, nothing escaped."""
    return json.dumps(value, ensure_ascii=False)


def function_of(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The function of a tool, with or without the shell that says that it is one."""
    inner = tool.get("function")
    return inner if isinstance(inner, Mapping) else tool


def properties_of(function: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = function.get("parameters")
    found = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def split_system(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    """The system message that the dialogue opens with, "" if none, and the rest."""
    if messages and messages[0].role == "system":
        return messages[0].content, messages[1:]
    return "", messages


def last_user(messages: Sequence[Message]) -> int:
    """The place of the last user turn, -1 if none: thinking before it is not shown again."""
    return max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)


def split_thinking(message: Message) -> tuple[str, str]:
    """The thinking and the answer of an assistant turn, whether they came apart or with tags in one text."""
    if message.thinking or "</think>" not in message.content:
        return message.thinking, message.content
    before, _, after = message.content.rpartition("</think>")
    thinking = before.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
    return thinking, after.lstrip("\n")


def starts_group(messages: Sequence[Message], place: int) -> bool:
    """Whether this tool result is the first of its neighbours."""
    return place == 0 or messages[place - 1].role != "tool"


def ends_group(messages: Sequence[Message], place: int) -> bool:
    return place + 1 == len(messages) or messages[place + 1].role != "tool"


def guarded(render: Render) -> Render:
    """`render` for any conversation: a trailing answer is continued, and whatever goes wrong is a TemplateError."""

    def checked(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
        try:
            text = _continued(render, messages, tools, think)
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise TemplateError(f"the tools or messages cannot be rendered: {error}") from None
        if len(text) > MAX_TEXT:
            raise TemplateError(f"template writes more than {MAX_TEXT} characters")
        return text

    return checked


def _continued(render: Render, messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
    """The prompt; with a trailing answer, what a new answer would begin with, and then its text."""
    last = messages[-1] if messages else None
    if last is None or last.role != "assistant" or last.tool_calls:
        return render(messages, tools, think)
    if last.thinking and not last.content:
        return render(messages[:-1], tools, True) + last.thinking
    return render(messages[:-1], tools, False) + last.content
