"""The body of `/v1/responses`: input items to a conversation. Nothing is stored, so nothing can be referred to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ollama_jupyter.api.fields import Fields, kind_of, whole_text
from ollama_jupyter.api.openai import options
from ollama_jupyter.api.openai.choice import tool_choice
from ollama_jupyter.api.openai.messages import arguments, image
from ollama_jupyter.api.tools import function, schema
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import ChatRequest, Message, Tool, ToolCall

LOGPROBS = "message.output_text.logprobs"
"""What `include` names for log probabilities."""

_NOT_STORED = (
    ("previous_response_id", "responses are not stored: send the whole conversation as input"),
    ("conversation", "conversations are not stored: send the whole conversation as input"),
    ("prompt", "prompts are not stored: send the text as instructions and input"),
    ("background", "nothing is stored that could be asked for later: use a stream"),
)


@dataclass(frozen=True, slots=True)
class ResponseCall:
    """The request, and what its answer says back of it."""

    request: ChatRequest
    echo: Mapping[str, Any]


def response_request(body: dict[str, Any]) -> ResponseCall:
    """The body of `/v1/responses`.

    Raises:
        BadRequest: for a wrong type or value, and for what would have to be stored.
    """
    fields = Fields(body)
    for name, reason in _NOT_STORED:
        if fields.get(name) not in (None, "", False, {}):
            raise BadRequest(f'field "{name}" is not supported: {reason}')
    model = options.require_model(fields)
    offered = tuple(_tools(fields))
    request = ChatRequest(
        model,
        stream=fields.flag("stream", False),
        messages=_conversation(fields),
        tools=offered,
        tool_choice=tool_choice(fields, offered),
        parallel_tool_calls=fields.flag("parallel_tool_calls", True),
        options=options.sampling(fields) | options.limit(fields, "max_output_tokens"),
        think=options.effort(fields),
        format=options.response_format(fields.child("text"), "format"),
        logprobs=LOGPROBS in fields.texts("include"),
        top_logprobs=options.top_logprobs(fields),
        truncate=fields.text("truncation") != "disabled",
    )
    return ResponseCall(request, _echo(fields, request))


def _echo(fields: Fields, request: ChatRequest) -> dict[str, Any]:
    """What the answer repeats, spelled as the answer has it."""
    reasoning = fields.child("reasoning")
    return {
        "instructions": fields.get("instructions"),
        "tools": fields.array("tools"),
        "tool_choice": fields.get("tool_choice") or "auto",
        "truncation": fields.text("truncation") or "disabled",
        "parallel_tool_calls": request.parallel_tool_calls,
        "text": {"format": fields.child("text").get("format") or {"type": "text"}},
        "top_p": fields.number("top_p"),
        "presence_penalty": fields.number("presence_penalty") or 0,
        "frequency_penalty": fields.number("frequency_penalty") or 0,
        "top_logprobs": request.top_logprobs,
        "temperature": fields.number("temperature"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "max_output_tokens": fields.integer("max_output_tokens"),
        "metadata": fields.mapping("metadata"),
    }


# ---- tools ------------------------------------------------------------------------------------------------------


def _tools(fields: Fields) -> Iterator[Tool]:
    """Functions, those in namespaces as `namespace.name`. Tools that only OpenAI's servers could run are ignored."""
    for entry in fields.objects("tools"):
        kind = entry.text("type")
        if kind == "function":
            yield _function(entry)
        elif kind == "namespace":
            for inner in entry.objects("tools"):
                yield _function(inner, f"{entry.text('name')}.")
        else:
            fields.ignore(f"tools.{kind}")


def _function(entry: Fields, prefix: str = "") -> Tool:
    if "function" in entry:  # as chat completions have it
        return {"type": "function", "function": function(entry, "function")}
    name = entry.text("name")
    if not name:
        raise BadRequest(f'field "{entry.label("name")}" must name the function')
    told = {"name": prefix + name, "description": entry.text("description"), "parameters": schema(entry, "parameters")}
    return {"type": "function", "function": {key: value for key, value in told.items() if key in entry}}


# ---- input ------------------------------------------------------------------------------------------------------


def _conversation(fields: Fields) -> tuple[Message, ...]:
    """The instructions as a system turn, then the input. Without either there is nothing to answer: that loads."""
    instructions = fields.text("instructions")
    opening = (Message("system", instructions),) if instructions else ()
    value = fields.get("input")
    if value is None or isinstance(value, str):
        asked = whole_text(value or "")
        return (*opening, Message("user", asked)) if asked else opening
    if not isinstance(value, list):
        raise BadRequest(f"input must be a string or array: got {kind_of(value)}")
    return (*opening, *_Dialogue().of(fields.objects("input")))


class _Dialogue:
    """Items one after another as turns: thinking and calls belong to the assistant's turn around them."""

    def __init__(self) -> None:
        self._turns: list[Message] = []
        self._names: dict[str, str] = {}
        self._thinking = ""

    def of(self, items: Iterable[Fields]) -> list[Message]:
        for item in items:
            kind = item.text("type") or ("message" if "role" in item else "")
            place = item.label("").rstrip(".")
            if not kind:
                raise BadRequest(f"{place}: input item missing required 'type' field")
            if kind == "item_reference":
                raise BadRequest(f"{place}: items are not stored: send them whole")
            self._read(kind, item, place)
        return self._turns

    def _read(self, kind: str, item: Fields, place: str) -> None:
        if kind == "message":
            self._message(item)
        elif kind == "function_call":
            self._call(item)
        elif kind == "function_call_output":
            self._output(item)
        elif kind == "reasoning":
            self._reasoning(item)
        elif kind != "web_search_call":  # which says nothing to a model
            raise BadRequest(f'{place}: unknown input item type: "{kind}"')

    def _message(self, item: Fields) -> None:
        role = item.text("role").lower()
        text, images = content(item, "content")
        thinking = self._take_thinking() if role == "assistant" else ""
        self._turns.append(Message("system" if role == "developer" else role, text, thinking, images))

    def _call(self, item: Fields) -> None:
        call = ToolCall(item.text("name"), arguments(item), item.text("call_id"))
        self._names[call.id] = call.name
        if not (self._turns and self._turns[-1].role == "assistant"):
            self._turns.append(Message("assistant", thinking=self._take_thinking()))
        last = self._turns[-1]
        self._turns[-1] = replace(last, tool_calls=(*last.tool_calls, replace(call, index=len(last.tool_calls))))

    def _output(self, item: Fields) -> None:
        call_id = item.text("call_id")
        text, images = content(item, "output")
        name = self._names.get(call_id, "")
        self._turns.append(Message("tool", text, images=images, tool_name=name, tool_call_id=call_id))

    def _reasoning(self, item: Fields) -> None:
        """What we sent as its encrypted content is the thinking itself."""
        summary = "\n".join(part.text("text") for part in item.objects("summary"))
        self._thinking = item.text("encrypted_content") or summary

    def _take_thinking(self) -> str:
        thinking, self._thinking = self._thinking, ""
        return thinking


def content(item: Fields, name: str) -> tuple[str, tuple[bytes, ...]]:
    """A string, or the text parts of a list joined by a blank line, and the images among them."""
    if isinstance(item.get(name), str) or item.get(name) is None:
        return item.text(name), ()
    texts, images = [], []
    for part in item.objects(name):
        kind = part.text("type")
        if kind in ("input_text", "output_text", "text"):
            texts.append(part.text("text"))
        elif kind == "refusal":
            texts.append(part.text("refusal"))
        elif kind == "input_image":
            images.append(image(part.text("image_url"), part.label("image_url")))
        elif kind == "input_file":
            raise BadRequest(f"{part.label('')[:-1]}: file inputs are not currently supported")
        else:
            raise BadRequest(f"{part.label('')[:-1]}: unknown content type: {kind}")
    return "\n\n".join(texts), tuple(images)
