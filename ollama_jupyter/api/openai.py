"""OpenAI's chat completions and model list, as far as Ollama speaks them.

What is not acted on yet is refused by name.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ollama_jupyter.api.fields import Fields, kind_of, whole_text
from ollama_jupyter.api.ollama import refuse_later
from ollama_jupyter.api.ollama_answers import truncated
from ollama_jupyter.errors import BadRequest, NotSupportedYet
from ollama_jupyter.messages import ChatRequest, Chunk, Message, ModelSummary
from ollama_jupyter.names import ModelName

_LATER = ("tools", "functions", "logprobs", "logit_bias", "audio", "web_search_options", "prediction")
_ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


def error(status: int, message: str) -> dict[str, Any]:
    """OpenAI's error envelope."""
    kind = _ERROR_TYPES.get(status, "api_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


# ---- requests ---------------------------------------------------------------------------------------------------


def chat_request(body: dict[str, Any]) -> tuple[ChatRequest, bool]:
    """The body of `/v1/chat/completions`, and whether the stream shall end with a chunk of usage.

    Raises:
        BadRequest: for a wrong type or value.
        NotSupportedYet: for a field that a later version acts on.
    """
    fields = Fields(body)
    _refuse(fields)
    if not fields.array("messages"):
        raise BadRequest("[] is too short - 'messages'")
    messages = tuple(_message(entry) for entry in fields.objects("messages"))
    model = fields.text("model")
    if not model.strip():
        raise BadRequest("model is required")
    think = False if _effort(fields) == "none" else None
    stream = fields.flag("stream", False)
    request = ChatRequest(model, messages, stream=stream, options=_options(fields), think=think)
    return request, Fields(fields.mapping("stream_options"), "stream_options.").flag("include_usage", False)


def _refuse(fields: Fields) -> None:
    refuse_later(fields, *_LATER)
    if (fields.integer("n") or 1) != 1:
        raise NotSupportedYet("n")
    if fields.mapping("response_format").get("type", "text") != "text":
        raise NotSupportedYet("response_format")
    if fields.get("modalities") not in (None, [], ["text"]):
        raise NotSupportedYet("modalities")
    if _effort(fields) not in ("", "none"):
        raise NotSupportedYet("reasoning_effort")
    top = fields.integer("top_logprobs") or 0
    if not 0 <= top <= 20:
        raise BadRequest("top_logprobs must be between 0 and 20")
    if top:
        raise NotSupportedYet("top_logprobs")


def _effort(fields: Fields) -> str:
    return Fields(fields.mapping("reasoning"), "reasoning.").text("effort") or fields.text("reasoning_effort")


def _options(fields: Fields) -> dict[str, object]:
    """Sampling options. Absent temperature and top_p are 1.0, as OpenAI and Ollama's translation have it."""
    temperature, top_p = fields.number("temperature"), fields.number("top_p")
    limit = fields.integer("max_completion_tokens")
    options: dict[str, object] = {
        "temperature": 1.0 if temperature is None else temperature,
        "top_p": 1.0 if top_p is None else top_p,
        "num_predict": fields.integer("max_tokens") if limit is None else limit,
        "seed": fields.integer("seed"),
        "frequency_penalty": fields.number("frequency_penalty"),
        "presence_penalty": fields.number("presence_penalty"),
        "stop": _stop(fields),
    }
    return {name: value for name, value in options.items() if value is not None}


def _stop(fields: Fields) -> list[str] | None:
    if isinstance(fields.get("stop"), str):
        return [fields.text("stop")]
    return list(fields.texts("stop")) if "stop" in fields else None


def _message(fields: Fields) -> Message:
    refuse_later(fields, "tool_calls", "function_call", "audio")
    return Message(
        role=fields.text("role").lower(),
        content=_content(fields),
        thinking=fields.text("reasoning"),
        tool_name=fields.text("name") if fields.get("role") == "tool" else "",
        tool_call_id=fields.text("tool_call_id"),
    )


def _content(fields: Fields) -> str:
    """A string, or the text parts of a list joined by a blank line."""
    content = fields.get("content")
    if isinstance(content, str):
        return whole_text(content)
    if not isinstance(content, list):
        raise BadRequest(f'invalid message content type: "{fields.label("content")}" is {kind_of(content)}')
    return "\n\n".join(_part(part) for part in fields.objects("content"))


def _part(part: Fields) -> str:
    kind = part.text("type")
    if kind in ("image_url", "input_audio", "file"):
        raise NotSupportedYet(part.label(kind))
    if kind not in ("text", "refusal"):
        raise BadRequest(f'invalid message format: "{part.label("type")}" is "{kind}"')
    return part.text(kind)


# ---- answers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Completion:
    """What all objects of one answer share."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{random.randrange(999)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_ollama",
        }

    def whole(self, chunk: Chunk) -> dict[str, Any]:
        """The answer of a request that does not stream. `chunk` holds all text and the statistics."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": chunk.text},
            "finish_reason": chunk.done_reason or None,
        }
        return self._head("chat.completion") | {"choices": [choice], "usage": usage(chunk)} | _cut(chunk)

    def delta(self, text: str, first: bool) -> dict[str, Any]:
        """A piece of text. The role comes with the first one only."""
        return self._choice(({"role": "assistant"} if first else {}) | {"content": text}, None)

    def last(self, chunk: Chunk) -> dict[str, Any]:
        """The piece that says why it ended."""
        return self._choice({}, chunk.done_reason or None) | _cut(chunk)

    def usage(self, chunk: Chunk) -> dict[str, Any]:
        """The piece of `include_usage`: no choices."""
        return self._head("chat.completion.chunk") | {"choices": [], "usage": usage(chunk)}

    def _choice(self, delta: dict[str, str], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return self._head("chat.completion.chunk") | {"choices": [choice]}


def usage(chunk: Chunk) -> dict[str, int]:
    prompt = chunk.stats.prompt_eval_count if chunk.stats else 0
    answer = chunk.stats.eval_count if chunk.stats else 0
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _cut(chunk: Chunk) -> dict[str, Any]:
    return {} if chunk.truncated is None else {"truncated": truncated(chunk.truncated)}


def model(name: str, modified_at: float) -> dict[str, Any]:
    """One entry of the model list. `owned_by` is the namespace."""
    owner = ModelName.parse(name).namespace
    return {"id": name, "object": "model", "created": int(modified_at), "owned_by": owner}


def models(summaries: Sequence[ModelSummary]) -> dict[str, Any]:
    return {"object": "list", "data": [model(summary.name, summary.modified_at) for summary in summaries]}
