"""The answers of `/v1/messages`: one object, or a stream of named events."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ollama_jupyter.api.ollama_answers import truncated
from ollama_jupyter.messages import Chunk, ToolCall

Event = tuple[str, dict[str, Any]]

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def error(status: int, message: str) -> dict[str, Any]:
    """Anthropic's error envelope."""
    kind = _ERROR_TYPES.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": _id("req")}


def count(tokens: int) -> dict[str, Any]:
    """The answer of `/v1/messages/count_tokens`."""
    return {"input_tokens": tokens}


def _id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


@dataclass(slots=True)
class Answer:
    """Makes the objects of one answer. `estimate` is how many tokens the prompt may have, told before they are counted.

    In a stream the content is a list of blocks, of which one is open: a piece of another kind closes it.
    """

    model: str
    estimate: int = 0
    id: str = field(default_factory=lambda: _id("msg"))
    _open: str = ""  # the kind of the block that is open
    _blocks: int = 0  # how many have begun
    _called: bool = False

    def whole(self, chunk: Chunk) -> dict[str, Any]:
        """The answer of a request that does not stream. `chunk` holds all of it."""
        content: list[dict[str, Any]] = []
        if chunk.thinking:
            content.append({"type": "thinking", "thinking": chunk.thinking, "signature": ""})
        if chunk.text:
            content.append({"type": "text", "text": chunk.text})
        content += [_tool_use(call, dict(call.arguments)) for call in chunk.tool_calls]
        return self._message(content) | _ending(chunk, bool(chunk.tool_calls)) | {"usage": _usage(chunk)} | _cut(chunk)

    def begin(self) -> Iterator[Event]:
        """The first event: the message, still empty. Its count is an estimate; the last event has the real one."""
        usage = {"input_tokens": self.estimate, "output_tokens": 0}
        message = self._message([]) | {"stop_reason": None, "stop_sequence": None, "usage": usage}
        yield "message_start", {"message": message}

    def pieces(self, chunk: Chunk) -> Iterator[Event]:
        """What a chunk adds."""
        if chunk.thinking:
            yield from self._continue("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            yield self._delta({"type": "thinking_delta", "thinking": chunk.thinking})
        if chunk.text:
            yield from self._continue("text", {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": chunk.text})
        for call in chunk.tool_calls:
            self._called = True
            yield from self._close()
            yield from self._continue("tool_use", _tool_use(call, {}))
            yield self._delta({"type": "input_json_delta", "partial_json": json.dumps(dict(call.arguments))})
        if chunk.done:
            yield from self._close()
            usage = {"usage": _usage(chunk)}
            yield "message_delta", {"delta": _ending(chunk, self._called)} | usage | _cut(chunk)
            yield "message_stop", {}

    def _message(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content}

    def _continue(self, kind: str, block: dict[str, Any]) -> Iterator[Event]:
        if self._open != kind:
            yield from self._close()
            self._open = kind
            self._blocks += 1
            yield "content_block_start", {"index": self._blocks - 1, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> Event:
        return "content_block_delta", {"index": self._blocks - 1, "delta": delta}

    def _close(self) -> Iterator[Event]:
        if not self._open:
            return
        if self._open == "thinking":
            yield self._delta({"type": "signature_delta", "signature": ""})
        self._open = ""
        yield "content_block_stop", {"index": self._blocks - 1}


def _tool_use(call: ToolCall, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _ending(chunk: Chunk, called: bool) -> dict[str, Any]:
    if chunk.done_reason == "length":
        reason = "max_tokens"
    elif called:
        reason = "tool_use"
    else:
        reason = "stop_sequence" if chunk.stop_sequence else "end_turn"
    return {"stop_reason": reason, "stop_sequence": chunk.stop_sequence or None}


def _usage(chunk: Chunk) -> dict[str, int]:
    """Tokens that came from the cache are counted apart, as Anthropic counts them."""
    stats = chunk.stats
    prompt, cached = (stats.prompt_eval_count, stats.cached_tokens) if stats else (0, 0)
    return {
        "input_tokens": prompt - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": stats.eval_count if stats else 0,
    }


def _cut(chunk: Chunk) -> dict[str, Any]:
    return {"truncated": truncated(chunk.truncated)} if chunk.truncated else {}
