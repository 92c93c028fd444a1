"""Messages of chat completions: content in parts, images, calls of tools and their results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from ollama_jupyter.api import media
from ollama_jupyter.api.fields import MAX_DEPTH, Fields, is_shallow, kind_of, whole_text, whole_value
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Message, ToolCall

_IMAGE_TYPES = ("image/jpeg", "image/jpg", "image/png", "image/webp", "image/gif", "image/bmp", "")
_SOUNDS = ("wav", "mp3")


def messages(entries: Iterable[Fields]) -> tuple[Message, ...]:
    """The turns. A result of a tool gets the tool's name from the call that it answers, where it has none."""
    names: dict[str, str] = {}
    made: list[Message] = []
    for entry in entries:
        turn = _message(entry)
        names |= {call.id: call.name for call in turn.tool_calls}
        if turn.role == "tool" and not turn.tool_name:
            turn = replace(turn, tool_name=names.get(turn.tool_call_id, ""))
        made.append(turn)
    return tuple(made)


def _message(fields: Fields) -> Message:
    calls = tuple(_call(index, entry) for index, entry in enumerate(fields.objects("tool_calls")))
    text, images = _content(fields, optional=bool(calls))
    role = fields.text("role").lower()
    return Message(
        role="system" if role == "developer" else role,
        content=text,
        thinking=fields.text("reasoning") or fields.text("reasoning_content"),
        images=images,
        tool_calls=calls,
        tool_name=fields.text("name") if role == "tool" else "",
        tool_call_id=fields.text("tool_call_id"),
    )


def _call(index: int, fields: Fields) -> ToolCall:
    function = fields.child("function")
    return ToolCall(function.text("name"), arguments(function), fields.text("id"), index)


def arguments(function: Fields, name: str = "arguments") -> dict[str, Any]:
    """The decoded arguments of a call: a text of JSON, or (which OpenAI has not) the object itself.

    Raises:
        BadRequest: they are no object.
    """
    if not isinstance(function.get(name), str):
        return function.mapping(name)
    text = function.text(name).strip()
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not is_shallow(value):
        expected = f"a JSON object of at most {MAX_DEPTH} levels"
        raise BadRequest(f'invalid tool call arguments: field "{function.label(name)}" must hold {expected}')
    return whole_value(value)  # type: ignore[no-any-return]


def _content(fields: Fields, *, optional: bool) -> tuple[str, tuple[bytes, ...]]:
    """A string, or the text parts of a list joined by a blank line, and the files of the others."""
    content = fields.get("content")
    if isinstance(content, str):
        return whole_text(content), ()
    if content is None and optional:
        return "", ()
    if not isinstance(content, list):
        raise BadRequest(f'invalid message content type: "{fields.label("content")}" is {kind_of(content)}')
    parts = list(_parts(fields.objects("content")))
    texts = [part for part in parts if isinstance(part, str)]
    return "\n\n".join(texts), tuple(part for part in parts if isinstance(part, bytes))


def _parts(parts: Iterable[Fields]) -> Iterator[str | bytes]:
    for part in parts:
        kind = part.text("type")
        if kind in ("text", "refusal"):
            yield part.text(kind)
        elif kind == "image_url":
            yield _image(part)
        elif kind == "input_audio":
            yield _sound(part.child("input_audio"))
        elif kind == "file":
            raise BadRequest(f'"{part.label("file")}": file inputs are not supported')
        else:
            raise BadRequest(f'invalid message format: "{part.label("type")}" is "{kind}"')


def _image(part: Fields) -> bytes:
    if isinstance(part.get("image_url"), str):
        return image(part.text("image_url"), part.label("image_url"))
    holder = part.child("image_url")
    return image(holder.text("url"), holder.label("url"))


def image(url: str, label: str) -> bytes:
    """The image in a data URL. Nothing is fetched.

    Raises:
        BadRequest: it is another kind of URL, or no image.
    """
    if url.startswith(("http://", "https://")):
        raise BadRequest("image URLs are not currently supported, please use base64 encoded data instead")
    head, comma, data = url.partition(";base64,")
    if not comma or not head.startswith("data:") or head.removeprefix("data:").lower() not in _IMAGE_TYPES:
        raise BadRequest(f'invalid image input: field "{label}" must be a data URL with base64 of an image')
    return media.decode(data, label)


def _sound(fields: Fields) -> bytes:
    if fields.text("format") not in _SOUNDS:
        raise BadRequest(f'invalid input_audio format: field "{fields.label("format")}" must be "wav" or "mp3"')
    return media.decode(fields.text("data"), fields.label("data"))
