"""`/v1/completions`: the older API, with a prompt. The model's chat template is applied, as Ollama does."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ollama_jupyter.api.fields import Fields, whole_text
from ollama_jupyter.api.openai import options
from ollama_jupyter.api.openai.envelope import cut, usage
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Chunk, GenerateRequest, TokenLogprob

MAX_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class CompletionCall:
    """The request, and what is asked of its answer."""

    request: GenerateRequest
    include_usage: bool
    echo: bool


def completion_request(body: dict[str, Any]) -> CompletionCall:
    """The body of `/v1/completions`.

    Raises:
        BadRequest: for a wrong type or value.
    """
    fields = Fields(body)
    logprobs = fields.integer("logprobs")
    if logprobs is not None and not 0 <= logprobs <= MAX_LOGPROBS:
        raise BadRequest(f'field "logprobs" must be between 0 and {MAX_LOGPROBS}, got {logprobs}')
    request = GenerateRequest(
        **options.common(fields),
        prompt=_prompt(fields),
        suffix=fields.text("suffix"),
        options=options.sampling(fields) | options.limit(fields, "max_tokens"),
        format=options.response_format(fields),
        logprobs=logprobs is not None,
        top_logprobs=logprobs or 0,
    )
    if (fields.integer("best_of") or request.n) != request.n:
        raise BadRequest('field "best_of" must be as "n": answers are not ranked here')
    return CompletionCall(request, options.include_usage(fields), fields.flag("echo", False))


def _prompt(fields: Fields) -> str:
    """A text. OpenAI also takes lists: one of one text is as the text."""
    value = fields.get("prompt")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return whole_text(value[0])
    if isinstance(value, list):
        raise BadRequest('field "prompt" must be a string, or a list of one string')
    return fields.text("prompt")


# ---- answers ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class TextCompletion:
    """What all objects of one answer share. `offsets`: how many characters of each answer are out."""

    call: CompletionCall
    id: str = field(default_factory=lambda: f"cmpl-{random.randrange(999)}")
    created: int = field(default_factory=lambda: int(time.time()))
    _offsets: dict[int, int] = field(default_factory=dict)

    def _object(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.call.request.model,
            "system_fingerprint": "fp_ollama",
            "choices": choices,
        }

    def whole(self, answers: Sequence[Chunk]) -> dict[str, Any]:
        """The answer of a request that does not stream. Each chunk holds all of one of its answers."""
        choices = [self._choice(chunk, index) for index, chunk in enumerate(answers)]
        return self._object(choices) | {"usage": usage(answers)} | cut(answers)

    def pieces(self, chunk: Chunk) -> Iterator[dict[str, Any]]:
        """A piece of an answer; its last one says why it ended. Thinking has no place in this API."""
        if chunk.text or chunk.logprobs or chunk.done:
            zero = {"usage": usage([])} if self.call.include_usage else {}
            yield self._object([self._choice(chunk, chunk.index)]) | zero | (cut([chunk]) if chunk.done else {})

    def ending(self, last: Sequence[Chunk]) -> Iterator[dict[str, Any]]:
        """The piece of `include_usage`, without choices: `last` are the last chunks of all answers."""
        if self.call.include_usage:
            yield self._object([]) | {"usage": usage(last)}

    def rendered(self, chunk: Chunk) -> dict[str, Any]:
        """The prompt, where nothing but that was asked for."""
        return self._object([]) | {"usage": usage([chunk]), "_debug_info": {"rendered_template": chunk.rendered}}

    def _choice(self, chunk: Chunk, index: int) -> dict[str, Any]:
        begins = index not in self._offsets
        text = (self.call.request.prompt if begins and self.call.echo else "") + chunk.text
        at = self._offsets.setdefault(index, len(self.call.request.prompt) if self.call.echo else 0)
        choice: dict[str, Any] = {"text": text, "index": index, "finish_reason": chunk.done_reason or None}
        if chunk.logprobs:
            choice["logprobs"] = _logprobs(chunk.logprobs, at)
            self._offsets[index] = at + sum(len(item.token) for item in chunk.logprobs)
        return choice


def _logprobs(items: Sequence[TokenLogprob], at: int) -> dict[str, Any]:
    """The lists of the older API, side by side."""
    offsets, position = [], at
    for item in items:
        offsets.append(position)
        position += len(item.token)
    tops = [{other.token: _finite(other.logprob) for other in item.top} for item in items]
    return {
        "tokens": [item.token for item in items],
        "token_logprobs": [_finite(item.logprob) for item in items],
        "top_logprobs": tops if any(tops) else None,
        "text_offset": offsets,
    }


def _finite(logprob: float) -> float:
    return max(logprob, -9999.0)
