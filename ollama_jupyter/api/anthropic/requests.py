"""The bodies of `/v1/messages` and `/v1/messages/count_tokens`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ollama_jupyter.api import media
from ollama_jupyter.api.fields import Fields, kind_of, whole_text
from ollama_jupyter.api.tools import schema
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import ChatRequest, Message, Tool, ToolCall, ToolChoice

_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max"}


def messages_request(body: dict[str, Any]) -> ChatRequest:
    """The body of `/v1/messages`.

    Raises:
        BadRequest: for a wrong type or value, with Ollama's texts for what is required.
    """
    fields = Fields(body)
    _require_model(fields)
    limit = fields.integer("max_tokens")
    if limit is None or limit <= 0:
        raise BadRequest("max_tokens is required and must be positive")
    return _request(fields, {"num_predict": limit, **_sampling(fields)})


def count_request(body: dict[str, Any]) -> ChatRequest:
    """The body of `/v1/messages/count_tokens`, which asks for no answer. Raises BadRequest."""
    fields = Fields(body)
    _require_model(fields)
    return _request(fields, {})


def _require_model(fields: Fields) -> None:
    if not fields.text("model").strip():
        raise BadRequest("model is required")


def _request(fields: Fields, options: dict[str, object]) -> ChatRequest:
    if not fields.array("messages"):
        raise BadRequest("messages is required")
    system = _system(fields)
    turns = [turn for entry in fields.objects("messages") for turn in _turns(entry)]
    tools = tuple(_tool(entry) for entry in fields.objects("tools"))
    choice, parallel = _choice(fields, tools)
    return ChatRequest(
        fields.text("model"),
        messages=tuple(([Message("system", system)] if system else []) + turns),
        stream=fields.flag("stream", False),
        options=options,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        think=_think(fields),
        think_if_able=True,
    )


def _sampling(fields: Fields) -> dict[str, object]:
    """What is given; for the rest the model's own parameters hold."""
    options = {
        "temperature": fields.number("temperature"),
        "top_p": fields.number("top_p"),
        "top_k": fields.integer("top_k"),
        "stop": list(fields.texts("stop_sequences")) or None,
    }
    return {name: value for name, value in options.items() if value is not None}


def _think(fields: Fields) -> bool | str | None:
    """`thinking` says whether, `output_config.effort` how hard. Budgets in tokens have no counterpart."""
    kind = fields.child("thinking").text("type")
    if kind == "disabled":
        return False
    effort = fields.child("output_config").text("effort")
    if effort and effort not in _EFFORTS:
        raise BadRequest(f'field "output_config.effort" must be one of {", ".join(_EFFORTS)}, got "{effort}"')
    return _EFFORTS.get(effort) or (True if kind in ("enabled", "adaptive") else None)


# ---- tools --------------------------------------------------------------------------------------------------------


def _tool(fields: Fields) -> Tool:
    kind = fields.text("type")
    if kind not in ("", "custom"):
        raise BadRequest(
            f'field "{fields.label("type")}": tools that run on the server, as "{kind}", are not supported'
        )
    name = fields.text("name")
    if not name:
        raise BadRequest(f'field "{fields.label("name")}" must name the tool')
    told = {"name": name, "description": fields.text("description"), "parameters": schema(fields, "input_schema")}
    return {"type": "function", "function": told}


def _choice(fields: Fields, tools: Sequence[Tool]) -> tuple[ToolChoice, bool]:
    """The choice, and whether several calls may come in one answer."""
    if "tool_choice" not in fields:
        return ToolChoice(), True
    choice = fields.child("tool_choice")
    parallel = not choice.flag("disable_parallel_tool_use", False)
    kind, name = choice.text("type"), choice.text("name")
    if kind in ("auto", "none"):
        return ToolChoice("auto" if kind == "auto" else "none"), parallel
    if kind not in ("any", "tool"):
        raise BadRequest(f'field "{choice.label("type")}" must be "auto", "any", "tool" or "none", got "{kind}"')
    if not tools:
        raise BadRequest('field "tool_choice" asks for a call, but "tools" offers none')
    if kind == "any":
        return ToolChoice("required"), parallel
    if name not in [tool["function"]["name"] for tool in tools]:
        raise BadRequest(f'field "{choice.label("name")}" must be one of "tools", got "{name}"')
    return ToolChoice("required", name), False


# ---- content ------------------------------------------------------------------------------------------------------


def _system(fields: Fields) -> str:
    """A string, or blocks of text, which are put together without a joint."""
    if not isinstance(fields.get("system"), list):
        return fields.text("system")
    return "".join(block.text("text") for block in fields.objects("system") if block.text("type") == "text")


def _turns(fields: Fields) -> list[Message]:
    """One message as turns: results of tools are turns of their own and come first, as they answer what was said."""
    role = fields.text("role").lower()
    if role not in ("user", "assistant", "system"):
        raise BadRequest(f'field "{fields.label("role")}" must be "user" or "assistant", got "{role}"')
    content = fields.get("content")
    if isinstance(content, str):
        return [Message(role, whole_text(content))]
    if not isinstance(content, list):
        raise BadRequest(f'field "{fields.label("content")}" must be a string or an array, got {kind_of(content)}')
    turn = _Turn(role)
    for block in fields.objects("content"):
        _BLOCKS.get(block.text("type"), _ignored)(turn, block)
    return turn.messages()


class _Turn:
    """A message under reading, block by block."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.texts: list[str] = []
        self.thinking: list[str] = []
        self.images: list[bytes] = []
        self.calls: list[ToolCall] = []
        self.results: list[Message] = []

    def messages(self) -> list[Message]:
        own = Message(
            self.role,
            "".join(self.texts),
            thinking="".join(self.thinking),
            images=tuple(self.images),
            tool_calls=tuple(self.calls),
        )
        is_empty = not (own.content or own.thinking or own.images or own.tool_calls)
        return [*self.results, *([] if is_empty and self.results else [own])]


def _ignored(turn: _Turn, block: Fields) -> None:
    """Kinds that nobody here knows, or that only their own server can read."""


def _text(turn: _Turn, block: Fields) -> None:
    turn.texts.append(block.text("text"))


def _thought(turn: _Turn, block: Fields) -> None:
    turn.thinking.append(block.text("thinking"))


def _image(turn: _Turn, block: Fields) -> None:
    turn.images.append(_source(block.child("source")))


def _source(source: Fields) -> bytes:
    kind = source.text("type")
    if kind != "base64":
        raise BadRequest(f"invalid image source type: {kind}. Only base64 images are supported.")
    return media.decode(source.text("data"), source.label("data"))


def _call(turn: _Turn, block: Fields) -> None:
    for name in ("id", "name"):
        if not block.text(name):
            raise BadRequest(f'field "{block.label(name)}" is required in a tool_use block')
    turn.calls.append(ToolCall(block.text("name"), block.mapping("input"), block.text("id"), len(turn.calls)))


def _result(turn: _Turn, block: Fields) -> None:
    content, images = block.get("content"), list[bytes]()
    if isinstance(content, list):
        blocks = list(block.objects("content"))
        text = "".join(part.text("text") for part in blocks if part.text("type") == "text")
        images = [_source(part.child("source")) for part in blocks if part.text("type") == "image"]
    else:
        text = whole_text(content) if isinstance(content, str) else json.dumps(content) if content else ""
    if block.flag("is_error", False) and not text:
        text = "error"
    turn.results.append(Message("tool", text, images=tuple(images), tool_call_id=block.text("tool_use_id")))


_BLOCKS: dict[str, Callable[[_Turn, Fields], None]] = {
    "text": _text,
    "thinking": _thought,
    "image": _image,
    "tool_use": _call,
    "tool_result": _result,
}
