"""What OpenAI's errors and counts look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ollama_jupyter.api.ollama_answers import truncated
from ollama_jupyter.messages import Chunk

_ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


def error(status: int, message: str) -> dict[str, Any]:
    """OpenAI's error envelope."""
    kind = _ERROR_TYPES.get(status, "api_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def usage(last: Sequence[Chunk]) -> dict[str, Any]:
    """What a request cost: `last` are the last chunks of its answers, which share one prompt."""
    stats = [chunk.stats for chunk in last if chunk.stats]
    prompt = max((each.prompt_eval_count for each in stats), default=0)
    answer = sum(each.eval_count for each in stats)
    # What the first answer found in the cache; the others share its prefill.
    cached = min((each.cached_tokens for each in stats), default=0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def cut(last: Sequence[Chunk]) -> dict[str, Any]:
    """What was cut from the prompt, where something was: a field of ours in final objects."""
    found = next((chunk.truncated for chunk in last if chunk.truncated), None)
    return {"truncated": truncated(found)} if found else {}
