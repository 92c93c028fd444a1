"""`/v1/chat/completions`."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ollama_jupyter.api.fields import Fields
from ollama_jupyter.api.ollama_answers import logprob
from ollama_jupyter.api.openai import options
from ollama_jupyter.api.openai.choice import tool_choice
from ollama_jupyter.api.openai.envelope import cut, usage
from ollama_jupyter.api.openai.messages import messages
from ollama_jupyter.api.tools import tools
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import ChatRequest, Chunk, TokenLogprob, ToolCall


def chat_request(body: dict[str, Any]) -> tuple[ChatRequest, bool]:
    """The body of `/v1/chat/completions`, and whether the stream shall end with a chunk of usage.

    Raises:
        BadRequest: for a wrong type or value.
    """
    fields = Fields(body)
    if not fields.array("messages"):
        raise BadRequest("[] is too short - 'messages'")
    turns = messages(fields.objects("messages"))
    offered = tools(fields)
    request = ChatRequest(
        **options.common(fields),
        messages=turns,
        tools=offered,
        tool_choice=tool_choice(fields, offered),
        parallel_tool_calls=fields.flag("parallel_tool_calls", True),
        options=options.sampling(fields) | options.limit(fields, "max_completion_tokens", "max_tokens"),
        think=options.effort(fields),
        format=options.response_format(fields),
        logprobs=fields.flag("logprobs", False),
        top_logprobs=options.top_logprobs(fields),
    )
    _only_text(fields)
    return request, options.include_usage(fields)


def _only_text(fields: Fields) -> None:
    if "modalities" in fields and fields.texts("modalities") not in ((), ("text",)):
        raise BadRequest('field "modalities" must be ["text"]: models here write')


# ---- answers ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Completion:
    """Makes the objects of one request's answers, and knows what is out already."""

    model: str
    include_usage: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{random.randrange(999)}")
    created: int = field(default_factory=lambda: int(time.time()))
    _begun: set[int] = field(default_factory=set)
    _called: set[int] = field(default_factory=set)

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_ollama",
        }

    def whole(self, answers: Sequence[Chunk]) -> dict[str, Any]:
        """The answer of a request that does not stream. Each chunk holds all of one of its answers."""
        choices = [_choice(index, "message", _message(chunk), chunk) for index, chunk in enumerate(answers)]
        return self._head("chat.completion") | {"choices": choices, "usage": usage(answers)} | cut(answers)

    def rendered(self, chunk: Chunk) -> dict[str, Any]:
        """The prompt, where nothing but that was asked for."""
        info = {"rendered_template": chunk.rendered} | ({"image_count": chunk.image_count} if chunk.image_count else {})
        return self._head("chat.completion") | {"choices": [], "usage": usage([chunk]), "_debug_info": info}

    def pieces(self, chunk: Chunk) -> Iterator[dict[str, Any]]:
        """What a chunk is in a stream: a piece of an answer, and at its end the one that says why it ended."""
        first = chunk.index not in self._begun
        self._begun.add(chunk.index)
        if chunk.tool_calls:
            self._called.add(chunk.index)
        if first or not chunk.done:
            yield self._delta(chunk, first=first)
        if chunk.done:
            choice = {"index": chunk.index, "delta": {}, "finish_reason": _reason(chunk, chunk.index in self._called)}
            yield self._piece(choice) | cut([chunk])

    def ending(self, last: Sequence[Chunk]) -> Iterator[dict[str, Any]]:
        """The piece of `include_usage`, without choices: `last` are the last chunks of all answers."""
        if self.include_usage:
            yield self._head("chat.completion.chunk") | {"choices": [], "usage": usage(last)}

    def _delta(self, chunk: Chunk, *, first: bool) -> dict[str, Any]:
        """The role comes with the first one only."""
        delta = {name: value for name, value in _message(chunk).items() if first or name != "role"}
        return self._piece(_choice(chunk.index, "delta", delta, chunk, ended=False))

    def _piece(self, choice: dict[str, Any]) -> dict[str, Any]:
        return self._head("chat.completion.chunk") | {"choices": [choice]}


def _choice(index: int, name: str, held: dict[str, Any], chunk: Chunk, *, ended: bool = True) -> dict[str, Any]:
    reason = _reason(chunk, bool(chunk.tool_calls)) if ended else None
    choice: dict[str, Any] = {"index": index, name: held, "finish_reason": reason}
    if chunk.logprobs:
        choice["logprobs"] = {"content": [_logprob(item) for item in chunk.logprobs], "refusal": None}
    if chunk.tool_parse_error:
        choice["tool_parse_error"] = chunk.tool_parse_error
    return choice


def _message(chunk: Chunk) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": chunk.text}
    if chunk.thinking:
        message["reasoning"] = chunk.thinking
    if chunk.tool_calls:
        message["tool_calls"] = [_call(call) for call in chunk.tool_calls]
    return message


def _call(call: ToolCall) -> dict[str, Any]:
    text = json.dumps(dict(call.arguments), ensure_ascii=False, separators=(",", ":"))
    return {
        "id": call.id,
        "index": call.index,
        "type": "function",
        "function": {"name": call.name, "arguments": text},
    }


def _logprob(item: TokenLogprob) -> dict[str, Any]:
    """As Ollama's, but that the list of alternatives is always there."""
    return {"top_logprobs": [], **logprob(item)}


def _reason(chunk: Chunk, called: bool) -> str | None:
    if called and chunk.done_reason == "stop":
        return "tool_calls"
    return chunk.done_reason or None
