"""What `/v1/responses` answers: one object, or the events that build it."""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from ollama_jupyter.api.ollama_answers import logprob
from ollama_jupyter.api.openai.envelope import cut
from ollama_jupyter.api.openai.response_requests import ResponseCall
from ollama_jupyter.messages import Chunk, ToolCall

Object = dict[str, Any]


def _id(prefix: str) -> str:
    return f"{prefix}_{random.getrandbits(64):016x}"


class Response:
    """One response under way: makes its objects and events, and knows what is out already."""

    def __init__(self, call: ResponseCall) -> None:
        self._call = call
        self._id = _id("resp")
        self._created = int(time.time())
        self._output: list[Object] = []
        self._open: _Item | None = None
        self._sequence = 0

    # ---- objects --------------------------------------------------------------------------------------------------

    def whole(self, answers: Sequence[Chunk]) -> Object:
        """The answer of a request that does not stream."""
        (chunk,) = answers
        deque(self.pieces(chunk), maxlen=0)  # what they build is what counts
        return self._object(*_ended(chunk), last=chunk)

    def rendered(self, chunk: Chunk) -> Object:
        """The prompt, where nothing but that was asked for."""
        return self._object("completed", None) | {"_debug_info": {"rendered_template": chunk.rendered}}

    def _object(self, status: str, why: Object | None, *, last: Chunk | None = None, error: str = "") -> Object:
        echo = self._call.echo
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "incomplete_details": why,
            "model": self._call.request.model,
            "previous_response_id": None,
            "instructions": echo["instructions"],
            "output": list(self._output),
            "error": {"code": "server_error", "message": error} if error else None,
            **{name: value for name, value in echo.items() if name not in ("instructions", "metadata")},
            "usage": _usage(last) if last else None,
            "max_tool_calls": None,
            "store": False,
            "background": False,
            "service_tier": "default",
            "metadata": echo["metadata"],
            "safety_identifier": None,
            "prompt_cache_key": None,
        } | (cut([last]) if last else {})

    # ---- events ---------------------------------------------------------------------------------------------------

    def _begin(self) -> Iterator[Object]:
        """The events before anything is written."""
        for kind in ("response.created", "response.in_progress"):
            yield self._event(kind, response=self._object("in_progress", None))

    def pieces(self, chunk: Chunk) -> Iterator[Object]:
        """The events of a chunk; those of the last one close what is open. There is always an item, if an empty one."""
        if not self._sequence:
            yield from self._begin()
        yield from self._follow(chunk)
        if chunk.done:
            yield from self._close()
            if not self._output:
                yield from self._write(_Text, Chunk())
                yield from self._close()

    def ending(self, last: Sequence[Chunk]) -> Iterator[Object]:
        """The event with the whole response."""
        status, why = _ended(last[0])
        yield self._event(f"response.{status}", response=self._object(status, why, last=last[0]))

    def failed(self, message: str) -> Object:
        """The last event of a stream that failed. Its `error` beside the response is what SDKs raise."""
        event = self._event("response.failed", response=self._object("failed", None, error=message))
        return event | {"error": {"message": message, "type": "api_error", "param": None, "code": "server_error"}}

    def _event(self, kind: str, **fields: Any) -> Object:
        self._sequence += 1
        return {"type": kind, "sequence_number": self._sequence - 1, **fields}

    def _follow(self, chunk: Chunk) -> Iterator[Object]:
        if chunk.thinking:
            yield from self._write(_Reasoning, chunk)
        if chunk.text or (chunk.logprobs and not chunk.thinking):
            yield from self._write(_Text, chunk)
        for call in chunk.tool_calls:
            yield from self._close()
            yield from self._called(call)

    def _write(self, kind: type[_Item], chunk: Chunk) -> Iterator[Object]:
        if not isinstance(self._open, kind):
            yield from self._close()
            self._open = kind(len(self._output))
            yield from self._numbered(self._open.begin())
        yield from self._numbered(self._open.write(chunk))

    def _close(self) -> Iterator[Object]:
        if self._open is not None:
            item, self._open = self._open, None
            self._output.append(item.item("completed"))
            yield from self._numbered(item.end())

    def _called(self, call: ToolCall) -> Iterator[Object]:
        item = _Call(len(self._output), call)
        self._output.append(item.item("completed"))
        yield from self._numbered((*item.begin(), *item.end()))

    def _numbered(self, events: Sequence[Object]) -> Iterator[Object]:
        for event in events:
            yield self._event(**event)


class _Item:
    """An output item under way. The events have no numbers yet."""

    prefix = ""

    def __init__(self, index: int) -> None:
        self.id = _id(self.prefix)
        self.index = index
        self.text = ""

    def item(self, status: str) -> Object:
        """The item as far as it has come."""
        raise NotImplementedError

    def begin(self) -> Sequence[Object]:
        return [{"kind": "response.output_item.added", "output_index": self.index, "item": self.item("in_progress")}]

    def write(self, chunk: Chunk) -> Sequence[Object]:
        raise NotImplementedError

    def end(self) -> Sequence[Object]:
        return [{"kind": "response.output_item.done", "output_index": self.index, "item": self.item("completed")}]

    def at(self, kind: str, **fields: Any) -> Object:
        return {"kind": kind, "item_id": self.id, "output_index": self.index, **fields}


class _Reasoning(_Item):
    prefix = "rs"

    def item(self, status: str) -> Object:
        summary = [self._part] if status == "completed" else []
        return {"id": self.id, "type": "reasoning", "summary": summary, "encrypted_content": self.text}

    @property
    def _part(self) -> Object:
        return {"type": "summary_text", "text": self.text}

    def begin(self) -> Sequence[Object]:
        return [*super().begin(), self.at("response.reasoning_summary_part.added", summary_index=0, part=self._part)]

    def write(self, chunk: Chunk) -> Sequence[Object]:
        self.text += chunk.thinking
        return [self.at("response.reasoning_summary_text.delta", summary_index=0, delta=chunk.thinking)]

    def end(self) -> Sequence[Object]:
        return [
            self.at("response.reasoning_summary_text.done", summary_index=0, text=self.text),
            self.at("response.reasoning_summary_part.done", summary_index=0, part=self._part),
            *super().end(),
        ]


class _Text(_Item):
    prefix = "msg"

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self._logprobs: list[Object] = []

    def item(self, status: str) -> Object:
        parts = [self._part] if status == "completed" else []
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": parts}

    @property
    def _part(self) -> Object:
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": list(self._logprobs)}

    def begin(self) -> Sequence[Object]:
        return [*super().begin(), self.at("response.content_part.added", content_index=0, part=self._part)]

    def write(self, chunk: Chunk) -> Sequence[Object]:
        told: list[Object] = [{"top_logprobs": [], **logprob(item)} for item in chunk.logprobs]
        self.text += chunk.text
        self._logprobs += told
        return [self.at("response.output_text.delta", content_index=0, delta=chunk.text, logprobs=told)]

    def end(self) -> Sequence[Object]:
        return [
            self.at("response.output_text.done", content_index=0, text=self.text, logprobs=list(self._logprobs)),
            self.at("response.content_part.done", content_index=0, part=self._part),
            *super().end(),
        ]


class _Call(_Item):
    prefix = "fc"

    def __init__(self, index: int, call: ToolCall) -> None:
        super().__init__(index)
        self._call = call
        self.text = json.dumps(dict(call.arguments), ensure_ascii=False, separators=(",", ":"))

    def item(self, status: str) -> Object:
        text = self.text if status == "completed" else ""
        told = {"call_id": self._call.id, "name": self._call.name, "arguments": text}
        return {"id": self.id, "type": "function_call", "status": status, **told}

    def end(self) -> Sequence[Object]:
        name = self._call.name
        return [
            self.at("response.function_call_arguments.delta", delta=self.text),
            self.at("response.function_call_arguments.done", name=name, arguments=self.text),
            *super().end(),
        ]


def _ended(chunk: Chunk) -> tuple[str, Object | None]:
    """The status of a response that ended so, and why it is incomplete."""
    if chunk.done_reason == "length":
        return "incomplete", {"reason": "max_output_tokens"}
    return "completed", None


def _usage(chunk: Chunk) -> Object:
    stats = chunk.stats
    prompt, answer = (stats.prompt_eval_count, stats.eval_count) if stats else (0, 0)
    return {
        "input_tokens": prompt,
        "output_tokens": answer,
        "total_tokens": prompt + answer,
        "input_tokens_details": {"cached_tokens": stats.cached_tokens if stats else 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
