"""Ollama's requests: the bodies of `/api/*` to neutral requests. Reference: Ollama 0.33, `api/types.go`."""

from __future__ import annotations

import json
from typing import Any

from ollama_jupyter.api import media
from ollama_jupyter.api.fields import Fields
from ollama_jupyter.api.tools import tools
from ollama_jupyter.durations import parse_keep_alive
from ollama_jupyter.errors import BadRequest, ModelNotFound
from ollama_jupyter.messages import (
    OPTIONS,
    ChatRequest,
    CreateRequest,
    Format,
    GenerateRequest,
    Message,
    PullRequest,
    PushRequest,
    ToolCall,
)

_THINK_LEVELS = ("high", "medium", "low", "max")
_MAX_QUOTED = 200  # characters of a wrong value that are said back
_THINK_WORDS = '"high", "medium", "low", "max", true, or false'


# ---- generate and chat ------------------------------------------------------------------------------------------


def generate_request(body: dict[str, Any]) -> GenerateRequest:
    """The body of `/api/generate`.

    Raises:
        BadRequest: for a wrong type or a value out of range.
        ModelNotFound: for an empty model name, as Ollama answers it here.
    """
    fields = Fields(body)
    common = _common(fields)
    if not common["model"].strip():
        raise ModelNotFound("")
    return GenerateRequest(
        **common,
        prompt=fields.text("prompt"),
        suffix=fields.text("suffix"),
        system=fields.text("system") or None,
        template=fields.text("template") or None,
        context=_tokens(fields, "context"),
        raw=fields.flag("raw", False),
        images=media.files(fields, "images"),
    )


def chat_request(body: dict[str, Any]) -> ChatRequest:
    """The body of `/api/chat`. Raises as `generate_request`, but an empty model name is a BadRequest."""
    fields = Fields(body)
    common = _common(fields)
    messages = tuple(message(entry) for entry in fields.objects("messages"))
    offered = tools(fields)
    _require(common["model"])
    return ChatRequest(**common, messages=messages, tools=offered)


def _common(fields: Fields) -> dict[str, Any]:
    """What generate and chat share."""
    top = fields.integer("top_logprobs") or 0
    if not 0 <= top <= 20:
        raise BadRequest("top_logprobs must be between 0 and 20")
    return {
        "model": fields.text("model"),
        "stream": fields.flag("stream", True),
        "keep_alive": keep_alive(fields),
        "options": fields.known("options", OPTIONS),
        "truncate": fields.flag("truncate", True),
        "shift": fields.flag("shift", True),
        "think": think(fields),
        "format": _format(fields),
        "logprobs": fields.flag("logprobs", False),
        "top_logprobs": top,
        "debug_render_only": fields.flag("_debug_render_only", False),
    }


def think(fields: Fields) -> bool | str | None:
    """Whether to think, and how hard; None leaves it to the model."""
    value = fields.get("think")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or value in _THINK_LEVELS:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        raise BadRequest(f'invalid think value: "{value}" (must be {_THINK_WORDS})')
    raise BadRequest(f"think must be a boolean or string ({_THINK_WORDS})")


def _format(fields: Fields) -> Format | None:
    value = fields.get("format")
    if value is None or value == "":
        return None
    if value == "json":
        return Format("json")
    if isinstance(value, dict):
        return Format("schema", fields.mapping("format"))
    sent = json.dumps(json.dumps(value))[:_MAX_QUOTED]
    raise BadRequest(f'invalid format: {sent}; expected "json" or a valid JSON Schema object')


def keep_alive(fields: Fields) -> float | None:
    """The field `keep_alive` in seconds, None where absent. Raises BadRequest."""
    try:
        return parse_keep_alive(fields.get("keep_alive"))
    except (ValueError, OverflowError) as error:
        raise BadRequest(str(error)) from None


def _tokens(fields: Fields, name: str) -> tuple[int, ...]:
    values = fields.array(name)
    if not all(type(value) is int and 0 <= value < 2**31 for value in values):
        raise BadRequest(f'field "{name}" must be an array of token ids')
    return tuple(values)


def message(fields: Fields) -> Message:
    """One message of a conversation. Any role is taken, in lower case; tool arguments must be an object."""
    return Message(
        role=fields.text("role").lower(),
        content=fields.text("content"),
        thinking=fields.text("thinking"),
        images=media.files(fields, "images"),
        tool_calls=tuple(_tool_call(call) for call in fields.objects("tool_calls")),
        tool_name=fields.text("tool_name"),
        tool_call_id=fields.text("tool_call_id"),
    )


def _tool_call(fields: Fields) -> ToolCall:
    function = Fields(fields.mapping("function"), f"{fields.label('function')}.")
    return ToolCall(
        name=function.text("name"),
        arguments=function.mapping("arguments"),
        id=fields.text("id"),
        index=function.integer("index") or 0,
    )


# ---- models -----------------------------------------------------------------------------------------------------


def _require(model: str) -> str:
    if not model.strip():
        raise BadRequest("model is required")
    return model


def _model(fields: Fields) -> str:
    """The field `model`, or its older name `name`."""
    return fields.text("model") or fields.text("name")


def show_arguments(body: dict[str, Any]) -> dict[str, Any]:
    """The body of `/api/show` as the arguments of `Library.show`."""
    fields = Fields(body)
    return {
        "name": _require(_model(fields)),
        "system": fields.text("system") or None,
        "options": fields.mapping("options") or None,
        "verbose": fields.flag("verbose", False),
    }


def create_request(body: dict[str, Any]) -> CreateRequest:
    """The body of `/api/create`. `parameters` are not checked here: that is the library's part."""
    fields = Fields(body)
    return CreateRequest(
        model=_model(fields),
        from_=fields.text("from"),
        files=fields.text_mapping("files"),
        adapters=fields.text_mapping("adapters"),
        template=fields.text("template"),
        system=fields.text("system"),
        license=_licenses(fields),
        parameters=fields.mapping("parameters"),
        messages=tuple(message(entry) for entry in fields.objects("messages")),
        renderer=fields.text("renderer"),
        parser=fields.text("parser"),
        requires=fields.text("requires"),
        quantize=fields.text("quantize") or fields.text("quantization"),
        draft_files=fields.text_mapping("draft_files"),
        draft_quantize=fields.text("draft_quantize"),
        remote_host=fields.text("remote_host"),
        info=fields.mapping("info"),
        stream=fields.flag("stream", True),
    )


def _licenses(fields: Fields) -> tuple[str, ...]:
    if isinstance(fields.get("license"), str):
        return (fields.text("license"),) if fields.get("license") else ()
    return fields.texts("license")


def copy_arguments(body: dict[str, Any]) -> tuple[str, str]:
    """Source and destination of `/api/copy`."""
    fields = Fields(body)
    return fields.text("source"), fields.text("destination")


def delete_argument(body: dict[str, Any]) -> str:
    """The model that `/api/delete` names."""
    return _require(_model(Fields(body)))


def pull_request(body: dict[str, Any]) -> PullRequest:
    """The body of `/api/pull`. `username` and `password` are read by nobody, as in Ollama."""
    fields = Fields(body)
    return PullRequest(_model(fields), fields.flag("insecure", False), fields.flag("stream", True))


def push_request(body: dict[str, Any]) -> PushRequest:
    """The body of `/api/push`. Raises BadRequest for an empty model name."""
    fields = Fields(body)
    return PushRequest(_require(_model(fields)), fields.flag("insecure", False), fields.flag("stream", True))
